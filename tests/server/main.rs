//! The built server as its users meet it: the binary is started on a free port, and what it answers
//! is compared byte for byte. Nothing of the server's code is linked, and every word it says is
//! written out here, so that a change of what people see is a change of a test.
//!
//! Nothing waits a fixed time. That something did not come is shown by what came next: all bytes
//! of a connection are compared in order, so a stray line fails the comparison that follows.

/// Starting the server, talking to it as a plain socket, and reading what it tells its operator.
mod harness;
/// A program with somebody before it.
mod person;

/// The admin endpoint and what it counts.
mod admin;
/// How bytes become lines, telnet's commands, and what a reader's terminal is spared.
mod bytes;
/// The programs that people really use: telnet and nc.
mod clients;
/// How connections and the server end.
mod closing;
/// What the operator types: options, the file, exit codes.
mod command_line;
/// What the process gives up after its start.
mod confinement;
/// The dialects for programs, and people of all dialects together.
mod dialects;
/// Bounds: clients at a time, slow readers, unread replies, many at once, one order on all workers.
mod limits;
/// One test for each bug that was found, named by what went wrong.
mod regression;
/// How often a line is rendered.
mod renderings;
/// Rich mode: the line being typed, under what arrives.
mod rich;
/// Rooms, names, commands and their words.
mod small_talk;
/// The service manager: ready, alive, stopping.
mod supervisor;
mod talk;
/// The transcript.
mod transcript;
/// A new process in the place of the one that serves.
mod upgrade;
/// New processes that fail, in every way.
mod upgrade_failures;
/// Servers that are not to be upgraded just now, and who may not do it.
mod upgrade_refusals;
/// Signals, and workers that do not run, while everything stands still for an upgrade.
mod upgrade_stalls;
