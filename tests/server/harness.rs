//! The server under test, and a client that knows nothing but bytes.
//!
//! Every wait has a deadline, and every failure shows what was expected, what came, and the
//! server's log.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getpid, getrlimit, kill_process,
    set_child_subreaper, setrlimit, waitpid,
};
use socket2::{Domain, Socket, Type};

/// How long anything may take: long enough for a busy machine, and only ever waited for in full by
/// a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The first line that everybody is sent.
pub(crate) const WELCOME: &str = "You're connected to the chatd chatserver";

/// A running server. Dropped, it is killed; it must still have been running.
#[derive(Debug)]
pub(crate) struct Server {
    /// Until it was waited for.
    process: Option<Pid>,
    stdout: Option<ChildStdout>,
    log: Arc<Log>,
    addr: SocketAddr,
}

/// What the server wrote to stderr so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<(String, bool)>,
    grew: Condvar,
    /// Held for each line that is read.
    reading: Mutex<()>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// What was read and not looked at yet.
    ahead: Vec<u8>,
    /// As others see it.
    pub(crate) name: String,
}

/// What the admin endpoint answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What is left of a server that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Where the command asked for a pipe.
    pub(crate) stdout: Vec<u8>,
    pub(crate) log: String,
}

/// The binary, not yet started.
pub(crate) fn chatd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_chatd"))
}

impl Server {
    /// Starts the server on a free port, with these options as one would type them.
    pub(crate) fn start(options: &str) -> Self {
        Self::spawn(chatd().args(options.split_ascii_whitespace()))
    }

    /// Starts the server on a free port with the command's options.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_as_it_is(command.args(["--listen", "telnet://127.0.0.1:0"]))
    }

    /// Starts the server with the command's options, which have it listen for telnet.
    pub(crate) fn spawn_as_it_is(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let log = Log::of(child.stderr.take().expect("it is piped"));
        let addr = log.wait_for("listening dialect=telnet addr=");
        Self::of(child, log, addr)
    }

    /// Starts a server whose log goes where the command sends it, and waits until it listens.
    #[allow(dead_code, reason = "for tests/faults")]
    pub(crate) fn silent(command: &mut Command, addr: SocketAddr, admin: SocketAddr) -> Self {
        let (listen, answer) = (format!("telnet://{addr}"), admin.to_string());
        command.args(["--listen", &listen, "--admin", &answer]);
        let child = command.spawn().expect("the binary was built");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(admin).is_err() {
            assert!(Instant::now() < deadline, "it does not listen at {admin}");
            thread::yield_now();
        }
        let known = format!("listening admin addr={admin}\n");
        let log = Log { lines: Mutex::new((known, true)), ..Log::default() };
        Self::of(child, Arc::new(log), addr)
    }

    fn of(mut child: Child, log: Arc<Log>, addr: SocketAddr) -> Self {
        Self { process: Some(pid(&child)), stdout: child.stdout.take(), log, addr }
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process.
    pub(crate) fn pid(&self) -> Pid {
        self.process.expect("it has not ended")
    }

    /// Waits until the log says `marker`, and reads what follows it.
    pub(crate) fn logged<T: FromStr>(&self, marker: &str) -> T {
        self.log.wait_for(marker)
    }

    /// How often the log says that, so far.
    pub(crate) fn log_count(&self, words: &str) -> usize {
        self.log.lines.lock().expect("no writer panics").0.matches(words).count()
    }

    /// Leaves the log unread from about here on, for as long as what this returns is kept.
    #[allow(dead_code, reason = "for tests/faults")]
    pub(crate) fn hold_log(&self) -> MutexGuard<'_, ()> {
        self.log.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that was welcomed.
    pub(crate) fn connect(&self) -> Client {
        let mut client = self.connect_unread();
        client.expect_line(WELCOME);
        client
    }

    /// A client that has read nothing yet.
    pub(crate) fn connect_unread(&self) -> Client {
        Client::to(self.addr)
    }

    /// The same at the listener of another dialect.
    pub(crate) fn connect_as(&self, dialect: &str) -> Client {
        Client::to(self.addr_of(dialect))
    }

    /// Where the clients of a dialect connect, at a listener that the options have to open.
    pub(crate) fn addr_of(&self, dialect: &str) -> SocketAddr {
        self.logged(&format!("listening dialect={dialect} addr="))
    }

    /// A client that has read nothing yet, and for which the system keeps as little as it may.
    pub(crate) fn connect_narrow(&self) -> Client {
        self.connect_holding(1)
    }

    /// A client that has read nothing yet, and for which the system keeps about so many bytes.
    pub(crate) fn connect_holding(&self, len: usize) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(len).expect("an option");
        socket.connect(&self.addr.into()).expect("the server listens");
        Client::new(socket.into())
    }

    /// A client that has read nothing yet and comes from this loopback address.
    pub(crate) fn connect_from(&self, host: [u8; 4]) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((host, 0)).into()).expect("all of 127.0.0.0/8 is ours");
        socket.connect(&self.addr.into()).expect("the server listens");
        Client::new(socket.into())
    }

    /// Clients with these nicknames in the lobby, in the order in which they came. Each has read
    /// all that it was told of that.
    pub(crate) fn lobby<const COUNT: usize>(&self, names: [&str; COUNT]) -> [Client; COUNT] {
        let mut clients: Vec<Client> = Vec::with_capacity(COUNT);
        for name in names {
            let mut client = self.connect();
            let address = client.name.clone();
            client.take_name(name);
            for other in &mut clients {
                other.expect_line(format!("Client joined {address}"));
                other.expect_line(format!("{address} is now {name}"));
            }
            clients.push(client);
        }
        clients.try_into().expect("one for each name")
    }

    /// Asks the admin endpoint, which `--admin` has to open.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let addr: SocketAddr = self.logged("listening admin addr=");
        let mut stream = TcpStream::connect(addr).expect("the admin endpoint listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.write_all(request.as_bytes()).expect("a reader");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer, and then the end");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        Answer { head: head.to_owned(), body: body.to_owned() }
    }

    /// What the server counts.
    pub(crate) fn metrics(&self) -> String {
        self.ask("GET /metrics HTTP/1.1\r\nHost: chatd\r\n\r\n").body
    }

    /// One number of those.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        number(&self.metrics(), name)
    }

    /// Waits until that number is as it should be.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str, expected: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics();
            if expected(number(&metrics, name)) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} never was as expected:\n{metrics}");
            thread::yield_now();
        }
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is there");
    }

    /// Puts a new process of the same binary in its place, and returns what was told of it.
    #[track_caller]
    pub(crate) fn upgrade(&mut self) -> String {
        let told = self.upgrade_by(&mut chatd());
        assert!(told.status.success(), "no upgrade: {told:?}");
        String::from_utf8(told.stdout).expect("it is text")
    }

    /// Has the command do that, which may fail, and returns what it told.
    #[track_caller]
    pub(crate) fn upgrade_by(&mut self, command: &mut Command) -> Output {
        let before = self.pid().as_raw_pid();
        // The new process comes to be our child when the one that starts it has ended.
        set_child_subreaper(Some(getpid())).expect("Linux 3.4");
        let told = run(command.arg("upgrade").arg(before.to_string()));
        let text = String::from_utf8_lossy(&told.stdout);
        if let Some((pid, _)) = text.strip_prefix("process ").and_then(|rest| rest.split_once(' '))
        {
            self.is_succeeded_by(pid.parse().ok().and_then(Pid::from_raw).expect("a process"));
        }
        told
    }

    /// A child of ours has taken its place.
    #[track_caller]
    pub(crate) fn is_succeeded_by(&mut self, process: Pid) {
        let before = self.process.replace(process).expect("it was not waited for");
        assert_eq!(wait_for(before, PATIENCE), Some(0), "the old one ends by itself");
    }

    /// Waits for the end of the process, which has to come in time.
    pub(crate) fn wait(mut self, patience: Duration) -> Ended {
        let process = self.process.take().expect("it was not waited for");
        let stdout = self.stdout.take().map(|mut pipe| {
            let mut text = Vec::new();
            thread::spawn(move || pipe.read_to_end(&mut text).map(|_| text))
        });
        let code = wait_for(process, patience);
        let stdout = stdout.map(|pipe| pipe.join().expect("it reads").expect("it is open"));
        Ended { code, stdout: stdout.unwrap_or_default(), log: self.log.all() }
    }

    /// Stops the server as an operator does, and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait(PATIENCE)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        let ended = waitpid(Some(process), WaitOptions::NOHANG).expect("it is our child");
        if ended.is_none() {
            kill_process(process, Signal::KILL).expect("it is our child");
            waitpid(Some(process), WaitOptions::empty()).expect("it is our child");
        }
        let log = self.log.all();
        if thread::panicking() {
            eprintln!("The server's log:\n{log}");
            return;
        }
        assert!(ended.is_none(), "the server ended with {ended:?}:\n{log}");
        assert!(!log.contains("panicked"), "the server panicked:\n{log}");
    }
}

impl Log {
    /// Reads on a thread of its own, so that the server never waits for the test.
    fn of(stderr: ChildStderr) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _reading = writer.reading.lock().unwrap_or_else(PoisonError::into_inner);
                let mut lines = writer.lines.lock().expect("no reader panics");
                lines.0.push_str(&line);
                lines.0.push('\n');
                writer.grew.notify_all();
            }
            writer.lines.lock().expect("no reader panics").1 = true;
            writer.grew.notify_all();
        });
        log
    }

    /// Waits for `marker`, and reads the word behind it.
    fn wait_for<T: FromStr>(&self, marker: &str) -> T {
        let (found, log) = self.wait(|log| {
            let (_, after) = log.split_once(marker)?;
            after.split_once(char::is_whitespace)?.0.parse().ok()
        });
        found.unwrap_or_else(|| panic!("the log never said {marker:?}:\n{log}"))
    }

    /// All of it, once the server has closed it.
    fn all(&self) -> String {
        self.wait(|_| None::<()>).1
    }

    /// Waits until something is found, or there is no more to come.
    fn wait<T>(&self, find: impl Fn(&str) -> Option<T>) -> (Option<T>, String) {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().expect("no writer panics");
        loop {
            let found = find(&lines.0);
            let left = deadline.saturating_duration_since(Instant::now());
            if found.is_some() || lines.1 || left.is_zero() {
                return (found, lines.0.clone());
            }
            lines = self.grew.wait_timeout(lines, left).expect("no writer panics").0;
        }
    }
}

impl Client {
    /// Connects.
    pub(crate) fn to(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).expect("the server listens"))
    }

    /// A client at the end of a connection.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        let name = stream.local_addr().expect("it is connected").to_string();
        Self { stream, ahead: Vec::new(), name }
    }

    /// Sends bytes in one write.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Sends each byte in a segment of its own.
    pub(crate) fn send_bytewise(&mut self, bytes: impl AsRef<[u8]>) {
        bytes.as_ref().iter().for_each(|byte| self.send([*byte]));
    }

    /// Sends bytes, if the server takes them still.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Takes a nickname.
    #[track_caller]
    pub(crate) fn take_name(&mut self, name: &str) {
        self.send(format!("/nick {name}\n"));
        self.expect_line(format!("You are {name}"));
        self.name = name.to_owned();
    }

    /// Says a line, and waits until each of the others has read it and nothing else.
    #[track_caller]
    pub(crate) fn say(&mut self, text: &str, others: &mut [&mut Self]) {
        self.send(format!("{text}\n"));
        for other in others {
            other.expect_line(format!("[{}] {text}", self.name));
        }
    }

    /// Waits until the server has dealt with all that this client sent: answers come in order.
    #[track_caller]
    pub(crate) fn catch_up(&mut self) {
        self.send("/who -\n");
        self.expect_line("There is no room -");
    }

    /// Reads exactly these bytes.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        while self.ahead.len() < expected.len() && expected.starts_with(&self.ahead) {
            if let Err(end) = self.read_more() {
                self.fail(expected.escape_ascii(), &end);
            }
        }
        if !self.ahead.starts_with(expected) {
            self.fail(expected.escape_ascii(), "");
        }
        self.ahead.drain(..expected.len());
    }

    /// Reads whatever comes, up to and with these bytes.
    #[track_caller]
    pub(crate) fn expect_to(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        loop {
            let place = self.ahead.windows(expected.len()).position(|bytes| bytes == expected);
            if let Some(place) = place {
                self.ahead.drain(..place + expected.len());
                return;
            }
            if let Err(end) = self.read_more() {
                self.fail(format!("... {}", expected.escape_ascii()), &end);
            }
        }
    }

    /// Reads exactly this line.
    #[track_caller]
    pub(crate) fn expect_line(&mut self, line: impl Display) {
        self.expect(format!("{line}\r\n"));
    }

    /// Reads the end, and nothing before it.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "expected the end\n     got {}", rest.escape_ascii());
    }

    /// Reads whatever comes until the other end closes.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        match self.read_to_any_end() {
            (read, End::Closed) => read,
            (read, end) => panic!("expected the end\n     got {end:?} after {}", show(&read)),
        }
    }

    /// Reads whatever comes, until the connection is closed or reset.
    #[track_caller]
    pub(crate) fn read_to_any_end(&mut self) -> (Vec<u8>, End) {
        let mut read = std::mem::take(&mut self.ahead);
        let end = match self.stream.read_to_end(&mut read) {
            Ok(_) => End::Closed,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
            Err(error) => panic!("expected an end\n     got {error} after {}", show(&read)),
        };
        (read, end)
    }

    /// The next line, without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let len = loop {
            if let Some(len) = self.ahead.iter().position(|byte| *byte == b'\n') {
                break len + 1;
            }
            if let Err(end) = self.read_more() {
                self.fail("a line", &end);
            }
        };
        let line = String::from_utf8(self.ahead.drain(..len).collect()).expect("a line is text");
        line.strip_suffix("\r\n").expect("a line ends in CR LF").to_owned()
    }

    /// Reads lines up to this one, and returns those before it.
    #[track_caller]
    pub(crate) fn lines_before(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line == last {
                return lines;
            }
            lines.push(line);
        }
    }

    /// A second handle for the same connection, to send while another thread reads.
    pub(crate) fn sender(&self) -> Self {
        Self::new(self.stream.try_clone().expect("a descriptor"))
    }

    /// Sends no more, as nc -N does at its end of file.
    pub(crate) fn end_sending(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    }

    /// Breaks the connection off.
    pub(crate) fn reset(self) {
        let socket = Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("an option");
    }

    /// Reads a byte ahead; false if the connection has ended.
    #[allow(dead_code, reason = "for tests/faults")]
    pub(crate) fn sip(&mut self) -> bool {
        let mut byte = [0];
        let read = self.stream.read(&mut byte).unwrap_or(0);
        self.ahead.extend_from_slice(&byte[..read]);
        read > 0
    }

    fn read_more(&mut self) -> Result<(), String> {
        let mut bytes = [0; 64 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(", and then the end".to_owned()),
            Ok(len) => {
                self.ahead.extend_from_slice(&bytes[..len]);
                Ok(())
            }
            Err(error) => Err(format!(", and then {error}")),
        }
    }

    #[track_caller]
    fn fail(&self, expected: impl Display, end: &str) -> ! {
        let got = show(&self.ahead);
        panic!("{}\nexpected {expected}\n     got {got}{end}", self.name);
    }
}

/// How the other end ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

/// The value of a metric, its labels being part of its name.
pub(crate) fn number(metrics: &str, name: &str) -> u64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("{name} is missing in:\n{metrics}"));
    value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
}

/// Runs a program to its end, which has to come in time.
pub(crate) fn run(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command.spawn().expect("the program is there"), PATIENCE)
}

/// Waits for the end of a process; one that does not end in time is killed.
pub(crate) fn wait(child: Child, patience: Duration) -> Output {
    let pid = pid(&child);
    let (ended, output) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait_with_output()));
    match output.recv_timeout(patience) {
        Ok(output) => output.expect("it is our child"),
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            panic!("the process did not end within {patience:?}");
        }
    }
}

/// Waits for the end of a child, and returns its exit code if it has one. One that does not end in
/// time is killed.
#[track_caller]
pub(crate) fn wait_for(process: Pid, patience: Duration) -> Option<i32> {
    let (ended, status) = mpsc::channel();
    thread::spawn(move || ended.send(waitpid(Some(process), WaitOptions::empty())));
    match status.recv_timeout(patience) {
        Ok(status) => status.expect("it is our child").and_then(|(_, status)| status.exit_status()),
        Err(_) => {
            let _ = kill_process(process, Signal::KILL);
            panic!("the process did not end within {patience:?}");
        }
    }
}

/// A socket for words to the server about upgrades. No program that is started meanwhile has it.
pub(crate) fn seqpacket() -> OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .expect("a socket")
}

/// Lets this process open as many sockets as it may.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit it may be raised");
}

/// Whether the program is there. If not, the test that needs it is passed over, aloud.
pub(crate) fn has_program(program: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !found {
        eprintln!("SKIPPED: there is no {program} here. To run this: apt-get install {package}");
    }
    found
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Bytes for a message: the last of them, where there are many.
fn show(bytes: &[u8]) -> String {
    const SHOWN_LEN: usize = 2_000;
    let start = bytes.len().saturating_sub(SHOWN_LEN);
    let mark = if start > 0 { format!("({start} bytes) ...") } else { String::new() };
    format!("{mark}{}", bytes[start..].escape_ascii())
}
