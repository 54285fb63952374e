//! A chat server of threads and plain sockets, in the words of chatd's dialect for people, that
//! makes one kind of mistake on purpose, exactly as often as it says. Its threads end with the
//! test.

use socket2::{Domain, Socket, Type};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// What it does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test file has its own faults")]
pub(crate) enum Fault {
    None,
    /// With one delivery in `FAULT_EVERY`, until it was done `FAULTS` times:
    Drop,
    Double,
    /// The delivery comes after the next one of the same author to the same member.
    Swap,
    /// One bit of it.
    Flip,
    /// A line of another run comes before it.
    Foreign,
    /// Reads and sends nothing for so long, once, before line `at`.
    Pause {
        at: usize,
        time: Duration,
    },
    /// Every line comes so long after it was said.
    Late(Duration),
    /// Says goodbye to the member that gets delivery `CLOSE_AT` and closes its connection.
    Close,
    /// The same, to the last who came, with the first line.
    CloseLast,
    /// Closes all connections and leaves with line `at`.
    Die {
        at: usize,
    },
    /// Who leaves a room goes on hearing it.
    Cling,
    /// Who comes back to a room is told so and does not hear it.
    Forget,
    /// Who comes back to a room does not hear the second line there.
    Stumble,
}

pub(crate) const FAULTS: usize = 16;
const FAULT_EVERY: usize = 500;
const CLOSE_AT: usize = 300;
pub(crate) const GOODBYE: &str = "I do not like you. Goodbye";

/// What a reading thread of the server holds at most, and the kernel for it, in bytes.
const READ_LEN: usize = 1024;
const RECV_BUFFER: usize = 4096;

struct Server {
    fault: Fault,
    members: Vec<Member>,
    delivery_count: usize,
    line_count: usize,
    /// Lines to be said later, and when.
    late: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
}

struct Member {
    stream: TcpStream,
    addr: SocketAddr,
    room: Option<String>,
    /// How often it came to a room.
    joins: usize,
    /// How many lines it was due since.
    heard: usize,
    /// Held back until the next line of its author comes.
    held: Option<(SocketAddr, Vec<u8>)>,
}

enum Event {
    Came(TcpStream, SocketAddr),
    Line(SocketAddr, Vec<u8>),
}

pub(crate) fn start(fault: Fault) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is left");
    // What a paused server has not read waits with who sent it.
    socket.set_recv_buffer_size(RECV_BUFFER).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket.listen(128).expect("bound");
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().expect("bound");
    // Nothing waits between the threads: who does not read does not let others read for it.
    let (sender, events) = sync_channel(0);
    std::thread::spawn(move || accept(&listener, &sender));
    let server = Server {
        fault,
        members: Vec::new(),
        delivery_count: 0,
        line_count: 0,
        late: VecDeque::new(),
    };
    std::thread::spawn(move || server.serve(&events));
    addr
}

fn accept(listener: &TcpListener, events: &SyncSender<Event>) {
    while let Ok((stream, addr)) = listener.accept() {
        stream.set_nodelay(true).expect("a socket");
        let reader = stream.try_clone().expect("a descriptor is left");
        if events.send(Event::Came(stream, addr)).is_err() {
            return;
        }
        let lines = events.clone();
        std::thread::spawn(move || {
            let reader = BufReader::with_capacity(READ_LEN, reader);
            for line in reader.split(b'\n').map_while(Result::ok) {
                if lines.send(Event::Line(addr, line)).is_err() {
                    return;
                }
            }
        });
    }
}

impl Server {
    fn serve(mut self, events: &Receiver<Event>) {
        while let Some(event) = self.next(events) {
            match event {
                Event::Came(mut stream, addr) => {
                    let welcome = b"You're connected to the chatd chatserver\r\n";
                    let _gone = stream.write_all(welcome);
                    self.members.push(Member {
                        stream,
                        addr,
                        room: None,
                        joins: 0,
                        heard: 0,
                        held: None,
                    });
                }
                Event::Line(author, line) => {
                    let text = line.strip_suffix(b"\r").unwrap_or(&line);
                    if let Some(room) = text.strip_prefix(b"/join ") {
                        let room = String::from_utf8_lossy(room).into_owned();
                        self.member(author).come_to(room);
                    } else if text == b"/leave" {
                        let clings = self.fault == Fault::Cling;
                        self.member(author).leave(clings);
                    } else if let Fault::Late(time) = self.fault {
                        self.late.push_back((Instant::now() + time, author, text.to_vec()));
                    } else if !self.say(author, text) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for something to happen, and says in the meantime what is due.
    fn next(&mut self, events: &Receiver<Event>) -> Option<Event> {
        while let Some((at, author, text)) = self.late.front() {
            match events.recv_timeout(at.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {
                    let (author, text) = (*author, text.clone());
                    self.late.pop_front();
                    self.say(author, &text);
                }
                event => return event.ok(),
            }
        }
        events.recv().ok()
    }

    fn member(&mut self, addr: SocketAddr) -> &mut Member {
        let member = self.members.iter_mut().find(|member| member.addr == addr);
        member.expect("who sends has come")
    }

    /// False when it is time to leave.
    fn say(&mut self, author: SocketAddr, text: &[u8]) -> bool {
        self.line_count += 1;
        match self.fault {
            Fault::Pause { at, time } if self.line_count == at => std::thread::sleep(time),
            Fault::Die { at } if self.line_count == at => {
                for member in &self.members {
                    let _gone = member.stream.shutdown(Shutdown::Both);
                }
                return false;
            }
            _ => {}
        }
        let line = [format!("[{author}] ").as_bytes(), text, b"\r\n"].concat();
        let room = self.member(author).room.clone();
        let (fault, delivery_count) = (self.fault, &mut self.delivery_count);
        let others = self.members.iter_mut();
        for member in others.filter(|member| member.addr != author && member.room == room) {
            *delivery_count += 1;
            member.deliver(author, &line, *delivery_count, fault);
        }
        if self.fault == Fault::CloseLast
            && self.line_count == 1
            && let Some(member) = self.members.last_mut()
        {
            member.close();
        }
        true
    }
}

impl Member {
    fn come_to(&mut self, room: String) {
        let notices = format!("Client joined {room}\r\nYou are in {room}\r\n");
        let _gone = self.stream.write_all(notices.as_bytes());
        self.room = Some(room);
        self.joins += 1;
        self.heard = 0;
    }

    fn leave(&mut self, clings: bool) {
        let _gone = self.stream.write_all(b"You are in lobby\r\n");
        if !clings {
            self.room = None;
        }
    }

    fn deliver(&mut self, author: SocketAddr, line: &[u8], delivery: usize, fault: Fault) {
        let due = delivery.is_multiple_of(FAULT_EVERY) && delivery <= FAULT_EVERY * FAULTS;
        self.heard += 1;
        let mut bytes = match fault {
            Fault::Drop if due => vec![],
            Fault::Double if due => [line, line].concat(),
            Fault::Swap if due => {
                assert!(self.held.is_none(), "faults are far from each other");
                self.held = Some((author, line.to_vec()));
                return;
            }
            Fault::Flip if due => {
                let mut changed = line.to_vec();
                let last = changed.len() - 3;
                changed[last] ^= 1;
                changed
            }
            Fault::Foreign if due => foreign(line),
            Fault::Forget if self.joins > 1 => vec![],
            Fault::Stumble if self.joins > 1 && self.heard == 2 => vec![],
            _ => line.to_vec(),
        };
        bytes
            .extend(self.held.take_if(|held| held.0 == author).into_iter().flat_map(|held| held.1));
        let _gone = self.stream.write_all(&bytes);
        if fault == Fault::Close && delivery == CLOSE_AT {
            self.close();
        }
    }

    fn close(&mut self) {
        let _gone = self.stream.write_all(format!("{GOODBYE}\r\n").as_bytes());
        let _gone = self.stream.shutdown(Shutdown::Both);
    }
}

/// The line, and the last line of another run before it: what a mixed-up room would bring.
fn foreign(line: &[u8]) -> Vec<u8> {
    const OTHER: &[u8] = b"[plato] @fffffff0.000000.00000000.0000000000000001.\
        0000000000000002.0ff355fcabcdefghijkl\r\n";
    [OTHER, line].concat()
}
