//! The five chat programs that chatd comes from: the clients that came with them, written anew,
//! hold their conversations with it, and none of the faults that their servers had is there.
//!
//! The clients are Python programs, in this folder; the words that they are owed are written out
//! here. The first and the fifth had no client but telnet.
//!
//! | | the fault | what shows that it is gone, in `faults` |
//! |---|---|---|
//! | 1 | reads of 100 bytes are taken for lines | `reads_are_not_lines` |
//! | 1 | who sends key by key is heard key by key | `a_line_sent_key_by_key_is_one_message` |
//! | 1 | a blocked client blocks everyone | `a_blocked_client_blocks_nobody` |
//! | 1 | a failing send ends the server | `a_failing_send_ends_nothing` |
//! | 2 | one frame a read at most | `every_frame_of_a_read_counts` |
//! | 2 | a member that leaves is never announced | `a_member_that_leaves_is_announced` |
//! | 3 | what arrives wipes out what is typed | see below |
//! | 3 | needs a select that takes standard input | `the_client_reads_any_input` |
//! | 4 | an unknown id ends the server | `an_unknown_id_ends_nothing` |
//! | 4 | so does a message without its mark | `a_message_without_its_mark_ends_nothing` |
//! | 4 | and a reset connection | `a_reset_ends_nothing` |
//! | 4 | an id that is taken changes hands in silence | `an_id_stays_with_its_holder` |
//! | 4 | the wrong side hears that one is offline | `the_sender_is_told_that_somebody_is_offline` |
//!
//! That what arrives leaves alone what is typed is shown in a terminal, by
//! `half_a_line_stands_under_what_arrives` in `tests/chat_client`. Of the fifth no fault is known;
//! its hall, rooms and commands: `the_hall_and_the_rooms_of_the_fifth_origin` in `tests/server`.

/// The server and its clients. This target needs a part of it.
#[allow(dead_code)]
#[path = "../server/harness.rs"]
mod harness;
/// A program with somebody before it. This target needs a part of it.
#[allow(dead_code)]
#[path = "../server/person.rs"]
mod person;

/// The origins' own clients.
mod conversations;
/// One test for each fault.
mod faults;
