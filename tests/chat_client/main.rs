//! The terminal client, `chat`, over real processes: in a terminal of tmux, in pipes, against chatd
//! and against a server that means no good; and telnet in rich mode, which promises the same.

mod dialects;
mod pipes;
mod servers;
mod telnet;
mod terminal;
mod tmux;
