//! What cannot be done is told at once, in one line that says what to change; nothing hangs and no
//! server that was started stays. All through the program itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_load-test");
/// A run that has not ended by then hangs.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The exit code and what was told on the standard error.
fn run(command: &mut Command) -> (i32, String) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stderr = child.stderr.take().expect("it was asked for");
    let told = std::thread::spawn(move || {
        let mut told = String::new();
        stderr.read_to_string(&mut told).map(|_| told)
    });
    let end = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        if Instant::now() > end {
            child.kill().expect("it runs");
            child.wait().expect("it was ended");
            panic!("{command:?} hangs");
        }
        std::thread::sleep(LOOK_INTERVAL);
    };
    let told = told.join().expect("it reads").expect("UTF-8");
    (status.code().unwrap_or(-1), told)
}

fn load_test(words: &str) -> (i32, String) {
    run(Command::new(PROGRAM).args(words.split_whitespace()))
}

fn check(rows: &[(&str, i32, &str)]) {
    for (words, code, expected) in rows {
        let (exit, told) = load_test(words);
        assert_eq!(exit, *code, "{words}: {told}");
        assert!(told.contains(expected), "{words}: {told}");
        assert!(!told.contains("panicked"), "{words}: {told}");
        // Progress may stand above it; what clap says has its usage below.
        let last = told.lines().last().unwrap_or_default();
        let in_a_line = last.starts_with("load-test: ") && last.contains(expected);
        assert!(in_a_line || told.starts_with("error: "), "{words}: {told}");
    }
}

#[test]
fn whoever_stops_reading_ends_it_without_a_panic() {
    for words in ["list", "bench busy --server /bin/true --floor /bin/true"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(PROGRAM);
        command.args(words.split(' ')).stdout(writer).stderr(Stdio::piped());
        let output = command.output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {told}");
        assert!(told.starts_with("load-test: standard output: "), "{words}: {told}");
    }
}

#[test]
fn impossible_loads_are_refused() {
    check(&[
        ("--clients 0", 2, "--clients must be at least 1"),
        ("--clients 1", 2, "more --clients"),
        ("--clients 5 --senders 6", 2, "6 senders of 5 clients: fewer --senders or more --clients"),
        ("--clients 5 --rooms 6", 2, "6 rooms for 5 clients: fewer --rooms or more --clients"),
        ("--clients 5 --rooms 5", 2, "fewer --rooms"),
        ("--clients 1000001", 2, "--clients 1000000 at most"),
        ("--clients 100000 --senders 100000 --rate 1", 2, "fewer --senders or more --rooms"),
        ("--clients -1", 2, "'-1'"),
        ("--room-skew zipf:1", 2, "--room-skew needs at least --rooms 2"),
        ("--room-skew pareto", 2, "neither uniform nor zipf:S"),
        ("--rate 0", 2, "--rate 0 sends nothing: at least 1 line a second, or --senders 0"),
        ("--rate 10,0", 2, "--rate 10,0 sends nothing"),
        ("--rate 1.5", 2, "is no rate"),
        ("--rate 10:2s,20:2s --duration 5s", 2, "leave one out"),
        ("--rate 10000000 --duration 5m", 2, "lower --rate or --duration"),
        ("--size 67", 2, "--size 67: a line has 68 (its header) to 1024 bytes"),
        ("--size 100-1025", 2, "--size 100-1025: a line has 68"),
        ("--size 100:50%,200:40%", 2, "the shares make 90 %, not 100"),
        ("--burst 0", 2, "--burst must be 1 to "),
        ("--burst 100", 2, "5s is too short for a line at --rate 10 --burst 100: at least 10s"),
        ("--duration 0s", 2, "0s is too short for a line at --rate 10: at least 100ms"),
        ("--duration 50ms", 2, "50ms is too short for a line at --rate 10: at least 100ms"),
        ("--duration 5", 2, "the unit is ms, s, m or h"),
        ("--duration 2000m", 2, "a day at most"),
        ("--threads 0", 2, "--threads must be 1 to 64"),
        ("--connections-in-flight 0", 2, "--connections-in-flight must be at least 1"),
        ("--connect-timeout 0s", 2, "--connect-timeout must be more than nothing"),
        ("--rooms 0 --group rooms=0", 2, "only one group can stay in the lobby"),
        ("--group clients=5,senders=6", 2, "group group 2: 6 senders of 5 clients"),
        ("--group people=5", 2, "unexpected argument '--people' found"),
        ("--preset nowhere", 2, "load-test list"),
        ("--preset flood --clients 5", 2, "10 senders of 5 clients"),
        ("--preset flood --scenario x.toml", 2, "cannot be used with"),
        ("--scenario /nowhere/x.toml", 2, "/nowhere/x.toml: No such file"),
        ("--scenario Cargo.toml", 2, "unknown field `"),
    ]);
}

#[test]
fn impossible_servers_and_outputs_are_refused() {
    check(&[
        ("--target 127.0.0.1", 2, "it has no port: write it as HOST:PORT"),
        ("--target 127.0.0.1:0", 2, "nothing can listen at port 0"),
        ("--target 127.0.0.1:1 --workers 2", 2, "cannot be used with"),
        ("--target 127.0.0.1:1 --server-pid 4294967295", 2, "--server-pid 4294967295: "),
        ("--server /nowhere/chatd", 2, "--server /nowhere/chatd: there is no such file"),
        ("--server /bin/true", 1, "/bin/true left before it listened: nothing"),
        ("--workers 0", 2, "'--workers <N>'"),
        ("--target 127.0.0.1:1 --pin 1000", 2, "binding to the cores [1000]"),
        ("--target 127.0.0.1:1 --pin 0,1000", 2, "there is no core 1000"),
        ("--json /nowhere/x.json", 2, "/nowhere/x.json: No such file"),
        ("--html /nowhere/x.html", 2, "/nowhere/x.html: No such file"),
        ("--hgrm /proc/x", 2, "/proc/x: No such file"),
        ("--json /", 2, "/: Is a directory"),
        ("--slo p99=5", 2, "p99 is a time"),
        ("frobnicate", 2, "frobnicate"),
    ]);
}

/// Serves each connection with `serve`, on threads that end with the test.
fn listen(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    addr
}

/// Says nothing, and stays until the client goes.
fn is_silent(mut stream: TcpStream) {
    let _gone = std::io::copy(&mut stream, &mut std::io::sink());
}

/// Refuses at once, with a reason.
fn is_full(mut stream: TcpStream) {
    let _gone = stream.write_all(b"The server is full\r\n");
}

/// Lets clients in, and ends the process that stands for it at the first line.
fn dies(mut stream: TcpStream) {
    let port = stream.local_addr().expect("connected").port();
    let _gone = stream.write_all(b"You're connected to a server\r\n");
    if stream.read(&mut [0; 1024]).is_ok_and(|len| len > 0) {
        let pid = std::fs::read_to_string(pid_file(port)).expect("it was started");
        let kill = Command::new("kill").args(["-KILL", pid.trim()]).output();
        assert!(kill.expect("kill is there").status.success());
    }
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    listen_and_close().expect("a free port")
}

fn listen_and_close() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

#[test]
fn a_target_that_lets_nobody_in_is_told() {
    let (silent, full) = (listen(is_silent), listen(is_full));
    check(&[
        (&format!("--target {} --clients 3", nobody()), 1, "is the server started"),
        (&format!("--target {full} --clients 3"), 1, "The server is full"),
        (
            &format!("--target {silent} --clients 3 --connect-timeout 200ms"),
            1,
            "only 0 of 3 clients were welcomed in time",
        ),
        (
            &format!("--target {silent} --clients 3 --source 192.0.2.1"),
            1,
            "--source is no address of this machine",
        ),
    ]);
}

#[test]
fn too_few_descriptors_are_told() {
    let target = nobody().to_string();
    for (words, expected) in [
        (&["--target", &target][..], "2000 clients would take 125 processes"),
        (&[], "has descriptors for fewer than 80: a higher limit"),
        (&["--workers", "5"], "has descriptors for fewer than 400: a higher limit"),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 80; exec \"$0\" \"$@\"", PROGRAM, "--clients", "2000"]);
        let (exit, told) = run(command.args(words));
        assert_eq!(exit, 2, "{told}");
        assert!(told.contains(expected) && told.contains("ulimit -n"), "{told}");
    }
}

fn pid_file(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("load-test-{}-{port}", std::process::id()))
}

/// The program with a server that claims to listen at `addr`.
fn with_server(addr: SocketAddr) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--server", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pretender.sh")]);
    command.env("ADDR", addr.to_string()).env("PID_FILE", pid_file(addr.port()));
    command
}

/// Runs it; tells whether the server is gone afterwards, too.
fn with_pretender(addr: SocketAddr, words: &str) -> (i32, String, bool) {
    let (exit, told) = run(with_server(addr).args(words.split_whitespace()));
    let pid_file = pid_file(addr.port());
    let pid = std::fs::read_to_string(&pid_file).expect("it was started");
    std::fs::remove_file(&pid_file).expect("it was written");
    (exit, told, !Path::new("/proc").join(pid.trim()).exists())
}

#[test]
fn a_server_that_dies_midway_is_told() {
    // One line at the end of the schedule: by then the server has died of the first.
    let words = "--clients 3 --rooms 0 --senders 1 --rate 1 --warmup 0s --duration 2s \
        --grace 100ms";
    let (exit, told, gone) = with_pretender(listen(dies), words);
    assert_eq!(exit, 1, "{told}");
    assert!(told.contains("the server left with signal: 9 (SIGKILL)"), "{told}");
    assert!(gone);
}

#[test]
fn a_server_that_was_started_is_stopped_when_the_run_fails() {
    let rows = [
        ("--clients 3", 1, "is the server started"),
        // What comes after its start is impossible.
        ("--clients 3 --pin 1000", 2, "binding to the cores [1000]"),
    ];
    for (words, code, expected) in rows {
        let (exit, told, gone) = with_pretender(nobody(), words);
        assert_eq!(exit, code, "{words}: {told}");
        assert!(told.contains(expected), "{words}: {told}");
        assert!(gone, "{words}");
    }
}

#[test]
fn a_signal_stops_the_server_that_was_started() {
    let addr = listen(is_silent);
    let pid_file = pid_file(addr.port());
    let mut command = with_server(addr);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let end = Instant::now() + DEADLINE;
    let server = loop {
        let pid = std::fs::read_to_string(&pid_file).unwrap_or_default();
        if pid.ends_with('\n') {
            break pid;
        }
        assert!(Instant::now() < end, "no server was started");
        std::thread::sleep(LOOK_INTERVAL);
    };
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(kill.expect("kill is there").success());
    let status = child.wait().expect("it is ours");
    assert_eq!(status.code(), Some(128 + 15));
    std::fs::remove_file(&pid_file).expect("it was written");
    while Path::new("/proc").join(server.trim()).exists() {
        assert!(Instant::now() < end, "the server stays");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
