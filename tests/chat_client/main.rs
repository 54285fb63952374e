//! The terminal client, `chat`, over real processes: in a terminal of tmux, in pipes, against chatd
//! and against a server that means no good.

mod dialects;
mod pipes;
mod servers;
mod terminal;
mod tmux;
