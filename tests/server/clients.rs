//! The programs that people really use: telnet, in a terminal, and nc.

use std::process::Command;

use crate::harness::{Server, WELCOME, has_program};
use crate::person::Person;

fn telnet(server: &Server) -> Option<Person> {
    let addr = server.addr();
    let mut command = Command::new("telnet");
    command.args([addr.ip().to_string(), addr.port().to_string()]).env("TERM", "vt100");
    has_program("telnet", "telnet").then(|| Person::at_terminal(&mut command))
}

fn nc(server: &Server, options: &[&str]) -> Option<Person> {
    let addr = server.addr();
    let mut command = Command::new("nc");
    command.args(options).args([addr.ip().to_string(), addr.port().to_string()]);
    has_program("nc", "netcat-openbsd").then(|| Person::at_pipes(&mut command))
}

#[test]
fn telnet_in_line_mode() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    let Some(mut person) = telnet(&server) else { return };
    person.sees("Escape character is '^]'.\r\n");
    person.sees(&format!("{WELCOME}\r\n"));
    let joined = plato.line();
    let name = joined.strip_prefix("Client joined ").expect("a newcomer").to_owned();
    // The terminal echoes what is typed, and edits it.
    person.types("Hello, is anyone thx\x7fere?\r");
    plato.expect_line(format!("[{name}] Hello, is anyone there?"));
    plato.send("Yes, I'm here.\n");
    person.sees("\r\n[plato] Yes, I'm here.\r\n");
    person.types("/nick solon\r");
    person.sees("/nick solon\r\nYou are solon\r\n");
    plato.expect_line(format!("{name} is now solon"));
    person.types("/quit\r");
    person.sees("/quit\r\nGoodbye\r\n");
    person.sees("Connection closed by foreign host.\r\n");
    plato.expect_line("Client left solon");
    person.leaves();
}

#[test]
fn telnet_in_character_mode() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    let Some(mut person) = telnet(&server) else { return };
    person.sees(&format!("{WELCOME}\r\n"));
    let joined = plato.line();
    let name = joined.strip_prefix("Client joined ").expect("a newcomer").to_owned();
    person.types("\x1d");
    person.sees("telnet> ");
    person.types("mode character\r");
    person.types("one by onf\x7fe\r");
    plato.expect_line(format!("[{name}] one by one"));
    plato.send("I see\n");
    person.sees("[plato] I see\r\n");
    person.types("\x1d");
    person.sees("telnet> ");
    person.types("send ayt\r");
    person.sees("Yes, chatd is here\r\n");
    person.types("\x1d");
    person.sees("telnet> ");
    person.types("quit\r");
    person.sees("Connection closed.\r\n");
    plato.expect_line(format!("Client left {name}"));
    person.leaves();
}

#[test]
fn nc_both_ways() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    let Some(mut person) = nc(&server, &[]) else { return };
    person.sees_next(&format!("{WELCOME}\r\n"));
    let joined = plato.line();
    let name = joined.strip_prefix("Client joined ").expect("a newcomer").to_owned();
    person.types("hello\n");
    plato.expect_line(format!("[{name}] hello"));
    plato.send("hello yourself\n");
    person.sees_next("[plato] hello yourself\r\n");
    person.types("/quit\n");
    plato.expect_line(format!("Client left {name}"));
    person.sees_at_last("Goodbye\r\n");
}

/// `printf 'hi\n' | nc -N`: what a script says is heard, though it hangs up at once.
#[test]
fn nc_that_hangs_up_at_once_is_heard() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    for _ in 0..20 {
        let Some(mut person) = nc(&server, &["-N"]) else { return };
        person.types("/nick script\nhi\n/who\nhalf");
        person.sees_at_last(&format!(
            "{WELCOME}\r\nYou are script\r\n2 in lobby:\r\n  plato\r\n  script\r\n"
        ));
        let name = plato.line().replace("Client joined ", "");
        plato.expect_line(format!("{name} is now script"));
        plato.expect_line("[script] hi");
        plato.expect_line("Client left script");
    }
}
