//! Where clients come from: an IPv6 network of 64 bits is one address, and an IPv4 address that is
//! written as one of IPv6 is itself.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

use crate::harness::{Client, Server, WELCOME, chatd, has_program, run};
use crate::rest::Rest;

const TOO_MANY: &str = "Too many connections from your address. Close one first";

/// A server outside all trusted networks, in the namespace of the thread that asks.
fn serving(listen: &str) -> (Server, Rest) {
    let mut command = chatd();
    command.args(["--trust", "none", "--workers", "2", "--address-clients", "3"]);
    command.args(["--listen", listen, "--admin", "127.0.0.1:0"]);
    let server = Server::spawn(&mut command);
    let _: String = server.logged("INFO serving");
    let rest = Rest::of(&server);
    (server, rest)
}

/// A client whose socket is one of IPv6 that may speak to IPv4 too.
fn connect(from: Ipv6Addr, to: SocketAddr) -> io::Result<Client> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    Ok(Client::new(socket.into()))
}

#[track_caller]
fn welcomed(from: Ipv6Addr, to: SocketAddr) -> Client {
    let mut client = connect(from, to).expect("the server listens");
    client.expect_line(WELCOME);
    client
}

#[track_caller]
fn refused(from: Ipv6Addr, to: SocketAddr) {
    let mut client = connect(from, to).expect("the server listens");
    client.expect_line(TOO_MANY);
    client.expect_end();
}

#[test]
fn an_ipv4_address_may_be_written_as_one_of_ipv6() {
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let [first, again] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
    let (server, rest) = serving("127.0.0.1:0");
    let port = server.addr().port();
    let to = SocketAddr::from((mapped, port));
    if let Err(error) = Socket::new(Domain::IPV6, Type::STREAM, None) {
        return eprintln!("SKIPPED: there is no IPv6 here ({error})");
    }
    let mut four = server.connect();
    let six = welcomed(mapped, to);
    let six_port = six.name.rsplit_once(':').expect("an address and a port").1.to_owned();
    four.expect_line(format!("Client joined {first}:{six_port}"));
    let third = welcomed(mapped, to);
    refused(mapped, to);
    let mut fourth = server.connect_unread();
    fourth.expect_line(TOO_MANY);
    welcomed(again.to_ipv6_mapped(), to);
    drop((four, six, third, fourth));
    rest.returns(&server);
}

/// In a network of this test's own, where there are two networks of 64 bits.
#[test]
fn a_network_of_64_bits_is_one_address() {
    if !has_program("ip", "iproute2") {
        return;
    }
    let test = thread::spawn(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            return eprintln!("SKIPPED: no network of one's own ({error}); run the tests as root");
        }
        let ip = |arguments: &str| {
            let output = run(Command::new("ip").args(arguments.split(' ')));
            assert!(output.status.success(), "ip {arguments}: {output:?}");
        };
        ip("link set lo up");
        let addresses = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"];
        for address in addresses {
            ip(&format!("-6 addr add {address}/64 dev lo nodad"));
        }
        let [one, same, other] = addresses.map(|text| text.parse().expect("an address"));
        let (server, rest) = serving("[::]:0");
        let to = |address: Ipv6Addr| SocketAddr::from((address, server.addr().port()));
        let crowd = [one, same, one].map(|from| welcomed(from, to(one)));
        refused(same, to(same));
        refused(one, to(other));
        let neighbour = welcomed(other, to(one));
        drop((crowd, neighbour));
        rest.returns(&server);
    });
    test.join().expect("the test passes");
}
