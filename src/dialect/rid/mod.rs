//! Frames with the number of a room, in which one client may be in several rooms.
//!
//! A client sends `<RID:111>text</RID:111>`; a room of that name is the same for everybody. The
//! first frame for a room enters it, and its text goes nowhere. Readers get `\n<AUTHOR>text`, the
//! text with its own line ends, and whatever else the server says as a line with one line end
//! before and one after.

mod decode;
mod render;

pub use decode::Decoder;
pub use render::render;
