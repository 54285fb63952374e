//! The native dialect: lines for telnet, nc, and whatever else sends them.

mod decode;
mod foreign;
mod help;
mod line;
mod render;

pub use decode::Decoder;
pub use render::render;
