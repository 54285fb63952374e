//! The clients of the second, the third and the fourth origin, as processes.

use std::process::Command;

use crate::harness::{Client, Server, WELCOME, has_program, run};
use crate::person::Person;

/// What every client asks a person for a line with.
const YOU: &str = "<You> ";

/// One of the clients in this folder, between two pipes; None, and said aloud, without Python.
fn client(server: &Server, dialect: &str, program: &str, words: &[&str]) -> Option<Person> {
    let addr = server.addr_of(dialect);
    let (host, port) = (addr.ip().to_string(), addr.port().to_string());
    let mut command = python(program);
    has_program("python3", "python3")
        .then(|| Person::at_pipes(command.args([&host, &port]).args(words)))
}

fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(format!("{}/tests/origins/{program}", env!("CARGO_MANIFEST_DIR")));
    command.env("PYTHONIOENCODING", "utf-8");
    command
}

/// Who it was that the watcher saw coming.
#[track_caller]
fn newcomer(watcher: &mut Client) -> String {
    watcher.line().strip_prefix("Client joined ").expect("a newcomer").to_owned()
}

/// An address as Python shows it.
fn pair(name: &str) -> String {
    let (host, port) = name.rsplit_once(':').expect("an address has a port");
    format!("('{host}', {port})")
}

#[test]
fn the_second_origins_clients_talk_in_rooms() {
    let server = Server::start("--listen rid://127.0.0.1:0");
    let mut watcher = server.connect();
    watcher.send("/join 111\n");
    watcher.expect_line("You are alone in 111");
    let enter = |room: &str| -> Option<Person> {
        let mut person = client(&server, "rid", "rooms.py", &[])?;
        person.sees_next("<Room ID> ");
        person.types(&format!("{room}\n"));
        person.sees_next(YOU);
        Some(person)
    };
    let Some(mut one) = enter("111") else { return };
    let first = newcomer(&mut watcher);
    let mut two = enter("111").expect("there is Python");
    let second = newcomer(&mut watcher);
    one.sees_next(&format!("\n[{second}] entered room.\n{YOU}"));

    one.types("hello\n");
    one.sees_next(YOU);
    two.sees_next(&format!("\n<{}>hello\n{YOU}", pair(&first)));
    two.types("grüße, 语言\n");
    two.sees_next(YOU);
    one.sees_next(&format!("\n<{}>grüße, 语言\n{YOU}", pair(&second)));
    watcher.expect(format!("[{first}] hello\r\n[{second}] grüße, 语言\r\n"));

    // Another room hears nothing of it.
    let three = enter("222").expect("there is Python");
    two.leaves();
    one.sees_next(&format!("\n[{second}] left room.\n{YOU}"));
    let stopping = format!("\nThe server is stopping. Goodbye\n{YOU}");
    let ended = format!("{stopping}\nDisconnected from chat server\n");
    server.stop();
    one.sees_at_last(&ended);
    three.sees_at_last(&ended);
}

#[test]
fn the_third_origins_clients_talk_in_one_room() {
    let server = Server::start("");
    let [mut watcher] = server.lobby(["plato"]);
    let enter = || -> Option<Person> {
        let mut person = client(&server, "telnet", "prompt.py", &[])?;
        person.sees_next("Connected to remote host. Start sending messages\n<You> ");
        person.sees_next(&format!("{WELCOME}\r\n{YOU}"));
        Some(person)
    };
    let Some(mut one) = enter() else { return };
    let first = newcomer(&mut watcher);
    let mut two = enter().expect("there is Python");
    let second = newcomer(&mut watcher);
    one.sees_next(&format!("Client joined {second}\r\n{YOU}"));

    one.types("hello\n");
    one.sees_next(YOU);
    two.sees_next(&format!("[{first}] hello\r\n{YOU}"));
    watcher.expect_line(format!("[{first}] hello"));
    watcher.send("hello yourself\n");
    one.sees_next(&format!("[plato] hello yourself\r\n{YOU}"));
    two.sees_next(&format!("[plato] hello yourself\r\n{YOU}"));
    two.leaves();
    one.sees_next(&format!("Client left {second}\r\n{YOU}"));
    server.stop();
    one.sees_at_last(&format!(
        "The server is stopping. Goodbye\r\n{YOU}\nDisconnected from chat server\n"
    ));
}

#[test]
fn the_third_origins_client_says_that_nobody_listens() {
    if !has_program("python3", "python3") {
        return;
    }
    // Taken and not listened at: nobody else gets it meanwhile.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    drop(taken);
    let output = run(python("prompt.py").args(["127.0.0.1", &port.to_string()]));
    assert_eq!(output.stdout, b"Unable to connect\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_fourth_origins_clients_write_to_each_other() {
    let server = Server::start("--listen p2p://127.0.0.1:0");
    let enter = |id: &str| -> Option<Person> {
        let mut person = client(&server, "p2p", "ids.py", &[id])?;
        person.sees_next(&format!("hello {id},you login successed\n{YOU}"));
        Some(person)
    };
    let write = |person: &mut Person, text: &str, to: &str| {
        person.types(&format!("{text}\n"));
        person.sees_next("Please input remote id:");
        person.types(&format!("{to}\n"));
        person.sees_next(YOU);
    };
    let mut watcher = server.connect();
    let Some(mut one) = enter("1") else { return };
    watcher.expect_line("Client joined 1");
    let mut two = enter("2").expect("there is Python");
    watcher.expect_line("Client joined 2");
    write(&mut one, "hi", "2");
    two.sees_next(&format!("1 said : hi\n{YOU}"));
    write(&mut two, "hi yourself", "1");
    one.sees_next(&format!("2 said : hi yourself\n{YOU}"));
    write(&mut one, "to everybody", "all");
    watcher.expect_line("[1] to everybody");
    one.sees_next(&format!("1 said : to everybody\n{YOU}"));
    two.sees_next(&format!("1 said : to everybody\n{YOU}"));
    write(&mut one, "anybody?", "3");
    one.sees_next(&format!("remote is offline\n{YOU}"));
    two.leaves();
    watcher.expect_line("Client left 2");
    write(&mut one, "still there?", "2");
    one.sees_next(&format!("remote is offline\n{YOU}"));
    server.stop();
    let said = "The server is stopping. Goodbye\n";
    one.sees_at_last(&format!("{said}{YOU}\nDisconnected from chat server\n"));
}

#[test]
fn the_clients_of_all_three_talk_to_each_other() {
    let server = Server::start("--listen rid://127.0.0.1:0 --listen p2p://127.0.0.1:0");
    let mut watcher = server.connect();
    let Some(mut one) = client(&server, "p2p", "ids.py", &["zeno"]) else { return };
    one.sees_next(&format!("hello zeno,you login successed\n{YOU}"));
    watcher.expect_line("Client joined zeno");
    let mut two = client(&server, "telnet", "prompt.py", &[]).expect("there is Python");
    let second = newcomer(&mut watcher);
    two.sees(YOU);
    two.sees_next(&format!("{WELCOME}\r\n{YOU}"));
    two.types("to all of you\n");
    two.sees_next(YOU);
    one.sees_next(&format!("{second} said : to all of you\n{YOU}"));
    watcher.expect_line(format!("[{second}] to all of you"));
    watcher.send("/join 111\n");
    watcher.expect_line("You are alone in 111");
    two.sees_next(&format!("Client left {}\r\n{YOU}", watcher.name));
    let mut three = client(&server, "rid", "rooms.py", &[]).expect("there is Python");
    three.types("111\n");
    three.sees_next(&format!("<Room ID> {YOU}"));
    let third = newcomer(&mut watcher);
    one.types("and to you\n");
    one.sees_next("Please input remote id:");
    one.types(&format!("{third}\n"));
    one.sees_next(YOU);
    three.sees_next(&format!("\n<zeno -> you>and to you\n{YOU}"));
    three.types("in the room\n");
    three.sees_next(YOU);
    watcher.expect_line(format!("[{third}] in the room"));
    for person in [one, two, three] {
        person.leaves();
    }
}
