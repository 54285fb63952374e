//! A chat server of threads and plain sockets that keeps what it should let go. It is a process of
//! its own, since its memory and descriptors are what is looked at: the test program started once
//! more, with the leak in the environment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const VARIABLE: &str = "LOAD_TEST_LEAK";
const SERVES: &str = "serves ";
/// Kept for each connection, in bytes.
const KEPT: usize = 64 << 10;
/// How long a write may wait for one who does not read.
const PATIENCE: Duration = Duration::from_secs(5);

/// What it keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leak {
    #[default]
    Nothing,
    /// The descriptors of the first connection, and its counters do not tell.
    Connection,
    /// The first connection in its counters.
    Count,
    /// Some memory of every connection.
    Memory,
}

/// The process; it ends with the guard.
pub(crate) struct Server {
    pub(crate) addr: String,
    pub(crate) admin: String,
    child: Child,
}

pub(crate) fn start(leak: Leak) -> Server {
    let program = std::env::current_exe().expect("a program");
    let mut command = Command::new(program);
    command.args(["--exact", "serve_if_told_to", "--nocapture"]).env(VARIABLE, format!("{leak:?}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let told = BufReader::new(child.stdout.as_mut().expect("asked for"));
    let mut places = told.lines().map_while(Result::ok).filter_map(|line| {
        let (_, places) = line.split_once(SERVES)?;
        places.split_once(' ').map(|(addr, admin)| (addr.to_owned(), admin.to_owned()))
    });
    let (addr, admin) = places.next().expect("it says where it listens");
    Server { addr, admin, child }
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn serve_if_told_to() {
    let Ok(leak) = std::env::var(VARIABLE) else { return };
    let leaks = [Leak::Nothing, Leak::Connection, Leak::Count, Leak::Memory];
    let leak = leaks.into_iter().find(|one| format!("{one:?}") == leak).expect("one of them");
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (listener, admin) = (bind(), bind());
    let addr = |listener: &TcpListener| listener.local_addr().expect("bound");
    println!("{SERVES}{} {}", addr(&listener), addr(&admin));
    let chat = Arc::new(Chat { leak, ..Chat::default() });
    std::thread::spawn(|| {
        // It ends with who started it, whatever became of that.
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0)
    });
    let counted = Arc::clone(&chat);
    std::thread::spawn(move || counted.tell_all(&admin));
    for (id, stream) in listener.incoming().map_while(Result::ok).enumerate() {
        chat.accepted.fetch_add(1, Ordering::Relaxed);
        let chat = Arc::clone(&chat);
        std::thread::spawn(move || chat.serve(id, stream));
    }
}

#[derive(Default)]
struct Chat {
    leak: Leak,
    members: Mutex<BTreeMap<usize, Member>>,
    accepted: AtomicU64,
    closed: AtomicU64,
    kept: Mutex<Vec<Vec<u8>>>,
}

struct Member {
    stream: TcpStream,
    room: Option<String>,
}

impl Chat {
    fn serve(&self, id: usize, stream: TcpStream) {
        // Who has reset its connection is gone already.
        let _gone = stream.set_write_timeout(Some(PATIENCE));
        if let Ok(reader) = stream.try_clone() {
            self.members().insert(id, Member { stream, room: None });
            self.converse(id, reader);
        }
        let member = self.members().remove(&id);
        match self.leak {
            Leak::Connection if id == 0 => std::mem::forget(member),
            Leak::Memory => self.kept.lock().expect("no panic").push(vec![1; KEPT]),
            _ => {}
        }
        self.closed.fetch_add(u64::from(self.leak != Leak::Count || id > 0), Ordering::Relaxed);
    }

    fn converse(&self, id: usize, reader: TcpStream) {
        self.write(id, b"You're connected to the chatd chatserver\r\n");
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            if let Some(room) = line.strip_prefix("/join ") {
                self.move_to(id, Some(room.to_owned()));
                self.write(id, format!("You are in {room}\r\n").as_bytes());
            } else if line == "/leave" {
                self.move_to(id, None);
                self.write(id, b"You are in lobby\r\n");
            } else {
                self.say(id, &line);
            }
        }
    }

    fn members(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Member>> {
        self.members.lock().expect("no panic")
    }

    fn move_to(&self, id: usize, room: Option<String>) {
        self.members().get_mut(&id).expect("it came").room = room;
    }

    fn write(&self, id: usize, bytes: &[u8]) {
        self.members().get(&id).expect("it came").write(bytes);
    }

    fn say(&self, id: usize, text: &str) {
        let members = self.members();
        let room = &members.get(&id).expect("it came").room;
        let line = format!("[{id}] {text}\r\n");
        let others = members.iter().filter(|(other, member)| **other != id && member.room == *room);
        others.for_each(|(_, member)| member.write(line.as_bytes()));
    }

    /// What chatd's admin endpoint would say.
    fn tell_all(&self, admin: &TcpListener) {
        for mut stream in admin.incoming().map_while(Result::ok) {
            let [accepted, closed] =
                [&self.accepted, &self.closed].map(|count| count.load(Ordering::Relaxed));
            let open = accepted - closed;
            let text = format!(
                "chatd_connections {open}\nchatd_clients {open}\nchatd_accepted_total {accepted}\n\
                 chatd_closed_total{{reason=\"left\"}} {closed}\nchatd_rooms 1\nchatd_feed_bytes 0\n\
                 chatd_stale_completions_total 0\nchatd_worker_failures_total 0\n# EOF\n"
            );
            let _gone = stream.read(&mut [0; 1024]);
            let _gone = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{text}").as_bytes());
        }
    }
}

impl Member {
    fn write(&self, bytes: &[u8]) {
        if (&self.stream).write_all(bytes).is_err() {
            let _gone = self.stream.shutdown(Shutdown::Both);
        }
    }
}
