//! A line is rendered once for each rendering that somebody on the worker reads, never once for
//! each reader. What there are: the dialects, and telnet with the time before each line.

use crate::harness::{Client, Server};

const LINES: u64 = 5;

/// Readers in the lobby, where `telnet` and `p2p` meet, and in the room 111, where `telnet` and
/// `rid` do.
#[derive(Default)]
struct Readers {
    lobby: Vec<Client>,
    room: Vec<Client>,
}

impl Readers {
    /// `count` more of each dialect in each room.
    fn add(&mut self, server: &Server, count: usize) {
        for _ in 0..count {
            self.lobby.push(server.connect());
            let mut p2p = server.connect_as("p2p");
            p2p.send(format!("p{}\n", self.lobby.len()));
            p2p.expect_to("successed\n");
            self.lobby.push(p2p);

            let mut person = server.connect();
            person.send("/join 111\n");
            person.expect_to("in 111");
            self.room.push(person);
            let mut rid = server.connect_as("rid");
            rid.send("<RID:111></RID:111>?\n");
            rid.expect_to("\nInvalid format message\n");
            self.room.push(rid);
        }
    }

    /// How many renderings it takes that one in the lobby and one in the room write lines.
    fn cost(&mut self, server: &Server, authors: &mut [Client; 2]) -> u64 {
        self.write(authors, "before");
        let before = server.metric("chatd_renderings_total");
        for number in 1..LINES {
            authors.iter_mut().for_each(|author| author.send(format!("line {number}\n")));
        }
        self.write(authors, "after");
        server.metric("chatd_renderings_total") - before
    }

    /// Waits until everybody has read that line.
    fn write(&mut self, authors: &mut [Client; 2], line: &str) {
        authors.iter_mut().for_each(|author| author.send(format!("{line}\n")));
        for reader in self.lobby.iter_mut().chain(&mut self.room) {
            reader.expect_to(line);
        }
    }
}

/// One worker, on which everybody is.
fn start() -> (Server, [Client; 2]) {
    let listeners = "--listen rid://127.0.0.1:0 --listen p2p://127.0.0.1:0";
    let server = Server::start(&format!("--workers 1 --admin 127.0.0.1:0 {listeners}"));
    let [lobby, mut room] = [server.connect(), server.connect()];
    room.send("/join 111\n");
    room.expect_to("in 111");
    (server, [lobby, room])
}

#[test]
fn a_line_is_rendered_once_for_each_dialect_however_many_read_it() {
    let (server, mut authors) = start();
    let mut readers = Readers::default();
    for count in [1, 2, 9] {
        readers.add(&server, count);
        // In each of the two rooms two dialects are spoken.
        assert_eq!(readers.cost(&server, &mut authors), 2 * LINES * 2, "{count} more");
    }
}

#[test]
fn the_time_before_lines_is_one_rendering_more_for_all_who_want_it() {
    let (server, mut authors) = start();
    let mut readers = Readers::default();
    readers.add(&server, 2);
    for count in [1, 4] {
        for _ in 0..count {
            let mut reader = server.connect();
            reader.send("/time on\n/who -\n");
            reader.expect_to("There is no room -");
            readers.lobby.push(reader);
        }
        // One more in the lobby, none in the room.
        assert_eq!(readers.cost(&server, &mut authors), (3 + 2) * LINES, "{count} more");
    }
}

#[test]
fn clients_in_rich_mode_read_what_others_read() {
    let (server, mut authors) = start();
    let mut readers = Readers::default();
    readers.add(&server, 1);
    for _ in 0..3 {
        let mut reader = server.connect();
        reader.send("/rich on\r\n");
        // DO NAWS, DO TTYPE; WONT TTYPE; WILL ECHO, WILL SGA; DO both.
        reader.expect_to(b"\xff\xfd\x1f\xff\xfd\x18");
        reader.send(b"\xff\xfc\x1f\xff\xfc\x18");
        reader.expect_to(b"\xff\xfb\x01\xff\xfb\x03");
        reader.send(b"\xff\xfd\x01\xff\xfd\x03half a line");
        reader.expect_to(b"half a line");
        readers.lobby.push(reader);
        assert_eq!(readers.cost(&server, &mut authors), 2 * LINES * 2);
    }
}
