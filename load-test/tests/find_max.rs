//! `load-test find-max` against a server that is known to become slow above a number of clients.
//! The server is a thread with plain sockets.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// The clients that are served well.
const CLIENTS_WELL: usize = 12;
/// How late their lines are, and those of more clients. So much that no generator on a busy machine
/// is as late itself, which would make the run void.
const LATE: Duration = Duration::from_millis(300);
const LATER: Duration = Duration::from_millis(900);

type Members = Arc<Mutex<Vec<TcpStream>>>;

/// Listens, and serves from threads that end with the test.
fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let members = Members::default();
    let (lines, due) = channel();
    let readers = Arc::clone(&members);
    spawn(move || deliver(&due, &members));
    spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (members, lines) = (Arc::clone(&readers), lines.clone());
            spawn(move || serve(stream, &members, &lines));
        }
    });
    addr
}

/// Reads what a client says until it leaves. A room is entered and not told apart from others: a
/// run has one.
fn serve(mut stream: TcpStream, members: &Members, lines: &Sender<(Instant, SocketAddr, String)>) {
    let author = stream.peer_addr().expect("connected");
    stream.write_all(b"You're connected to the chatd chatserver\r\n").expect("welcomed");
    let reader = BufReader::new(stream.try_clone().expect("a descriptor is left"));
    for line in reader.lines().map_while(Result::ok) {
        if let Some(room) = line.strip_prefix("/join ") {
            let mut members = members.lock().expect("no panic");
            let reply = if members.is_empty() { "You are alone in" } else { "You are in" };
            stream.write_all(format!("{reply} {room}\r\n").as_bytes()).expect("it listens");
            members.push(stream.try_clone().expect("a descriptor is left"));
        } else {
            lines.send((Instant::now(), author, line)).expect("as long as the test");
        }
    }
    let is_other = |member: &TcpStream| member.peer_addr().is_ok_and(|other| other != author);
    members.lock().expect("no panic").retain(is_other);
}

fn deliver(due: &Receiver<(Instant, SocketAddr, String)>, members: &Members) {
    for (said, author, line) in due {
        let count = members.lock().expect("no panic").len();
        let late = if count > CLIENTS_WELL { LATER } else { LATE };
        sleep((said + late).saturating_duration_since(Instant::now()));
        for member in members.lock().expect("no panic").iter_mut() {
            if member.peer_addr().is_ok_and(|reader| reader != author) {
                // It fails for those who have just left.
                drop(member.write_all(format!("[{author}] {line}\r\n").as_bytes()));
            }
        }
    }
}

fn find_max(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    command.arg("find-max").args(arguments).output().expect("it runs")
}

#[test]
fn finds_the_number_from_which_on_the_server_is_slow() {
    let target = start().to_string();
    let options = "--by clients --slo p99=600ms --clients 4 --senders 2 --rate 10 --duration 400ms \
                   --warmup 100ms --precision 0% --json -";
    let output = find_max(&[&["--target", &target], &*words(options)].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).expect(&told);
    let steps = found["steps"].as_array().expect("steps");
    let outcomes: Vec<_> = steps
        .iter()
        .map(|step| (step["number"].as_u64(), step["outcome"].as_str().expect("one")))
        .collect();
    assert_eq!(found["most"], CLIENTS_WELL, "{outcomes:?} {told}");
    assert_eq!(found["broke"], CLIENTS_WELL + 1, "{outcomes:?}");
    assert_eq!((&found["limit"], output.status.code()), (&"server".into(), Some(0)));
    assert_eq!(outcomes[..3], [(Some(4), "held"), (Some(8), "held"), (Some(16), "broke")]);
    assert_eq!(steps[2]["report"]["verdict"], "slo");
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let rows = [
        ("--by clients", 2, "--slo"),
        ("--by speed --slo lost=0", 2, "clients"),
        ("--by rate --slo lost=0 --rate 10,20", 2, "one in steps cannot be raised"),
        ("--by rate --slo lost=0 --senders 0", 2, "needs --senders"),
        ("--by clients --slo nothing=0", 2, "no figure is called nothing"),
        ("--by clients --slo lost=0 --precision x", 2, "0% to 100%"),
        ("--by clients --slo lost=0 --target 127.0.0.1:1 --clients 2", 1, "refused"),
    ];
    for (options, code, expected) in rows {
        let output = find_max(&words(options));
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options}: {told}");
        assert!(told.contains(expected), "{options}: {told}");
    }
}

#[test]
fn clients_without_descriptors_are_a_limit_of_the_set_up() {
    let mut command = Command::new("sh");
    // More processes bring descriptors for the generator, and chatd has one worker's.
    let limited = "ulimit -n 400; exec \"$0\" \"$@\"";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_load-test"), "find-max", "--json", "-"]);
    let options = "--by clients --slo lost=0 --clients 20 --senders 0 --duration 100ms \
                   --warmup 0s --precision 100% --most 640";
    let output = command.args(words(options)).output().expect("there is a shell");
    let told = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).expect(&told);
    assert_eq!(found["limit"], "setup", "{found:#} {told}");
    let steps = found["steps"].as_array().expect("steps");
    let refused = steps.iter().find(|step| step["outcome"] == "void").expect("one is");
    assert!(refused["why"][0].as_str().is_some_and(|why| why.contains("ulimit -n")), "{refused}");
    assert!(steps.iter().all(|step| step["outcome"] != "broke"), "{found:#}");
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
