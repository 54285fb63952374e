//! Lines with the name of their reader.
//!
//! What a client sends first is its id, which is its nickname here as everywhere: up to a line end
//! in the first read, or all of that read, because there need not be a line end. Then each line is
//! `ID||TEXT`; the id `all` means everybody in the lobby, where all who speak it are, the author
//! too. Readers get `AUTHOR said : TEXT`. They are not told who comes and goes.

mod decode;
mod render;

pub use decode::Decoder;
pub use render::render;
