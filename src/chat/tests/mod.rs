//! Conversations: users on a sink that keeps what each one reads, in telnet's words.

mod conversation;
mod dialects;
mod ignore;
mod property;
mod saved;
mod scale;
mod small_talk;
mod stage;
