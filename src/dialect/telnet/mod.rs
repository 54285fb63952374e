//! The native dialect: lines for telnet, nc, and whatever else sends them.

mod code;
mod decode;
mod foreign;
mod help;
mod line;
mod negotiation;
mod option;
mod render;
mod rich;

pub use decode::Decoder;
pub use render::render;
