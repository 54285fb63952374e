//! What a peak needs: the server has it only as long as it needs it.

use std::thread;
use std::time::Instant;

use crate::harness::{Client, PATIENCE, Server, WELCOME, raise_descriptor_limit};
use crate::rest::{resident, serving, status};

/// Clients who do not read what they are told.
const DEAF: usize = 200;
/// What the system keeps for each of them.
const HELD_LEN: usize = 8 << 10;
/// Messages each is told at a time.
const BATCH: usize = 8;
/// Batches until all their sockets are full, at most: many times what sockets hold.
const TOLD_MAX: usize = 500;
/// Batches once all their sockets are full: fewer bytes than what makes a reader slow.
const BATCHES: usize = 4;

fn named(server: &Server, name: &str) -> Client {
    let mut client = server.connect_holding(HELD_LEN);
    client.expect_line(WELCOME);
    client.send(format!("/nick {name}\n"));
    client.expect_to(format!("You are {name}\r\n"));
    client
}

/// Everybody is told a batch.
fn tell(author: &mut Client) {
    for number in 0..DEAF {
        author.send(format!("/msg deaf{number} {:0>1000}\n", 0).repeat(BATCH) + "/who -\n");
        author.lines_before("There is no room -");
    }
}

/// 200 readers are behind, and then leave: most memory of what they had not read goes back to the
/// system.
#[test]
fn what_a_peak_needed_goes_back() {
    raise_descriptor_limit();
    // As patient as it may be: how fast this machine is does not matter.
    let (server, rest) = serving("--workers 1 --behind-bytes 131072 --behind-age 20");
    let mut author = server.connect_unread();
    author.expect_line(WELCOME);
    let deaf: Vec<_> = (0..DEAF).map(|number| named(&server, &format!("deaf{number}"))).collect();
    for told in 0.. {
        let blocked = server.metric("chatd_blocked_sockets");
        if blocked == DEAF as u64 {
            break;
        }
        assert!(told < TOLD_MAX, "{blocked} sockets are full");
        tell(&mut author);
    }
    (0..BATCHES).for_each(|_| tell(&mut author));
    let (unread, peak) = (server.metric("chatd_feed_bytes") >> 10, resident(&server));
    assert_eq!(server.metric("chatd_closed_total{reason=\"slow\"}"), 0);
    deaf.into_iter().for_each(Client::reset);
    drop(author);
    rest.returns(&server);
    let deadline = Instant::now() + PATIENCE;
    while resident(&server) + unread / 2 > peak {
        let now = resident(&server);
        assert!(Instant::now() < deadline, "{now} KiB of {peak} with {unread} unread");
        thread::yield_now();
    }
    eprintln!("{peak} KiB with {unread} unread, {} KiB then", resident(&server));
}

/// They would be kept whole where a part is used.
#[test]
fn there_are_no_huge_pages() {
    let server = Server::start("--workers 1");
    let _: String = server.logged("INFO serving");
    match status(&server, "THP_enabled:") {
        Some(enabled) => assert_eq!(enabled, "0"),
        None => eprintln!("SKIPPED: this kernel does not tell; Linux 5.0 does"),
    }
}
