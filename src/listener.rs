//! The listening sockets: for each place to listen, one socket on every worker, among which the
//! kernel spreads the connections (SO_REUSEPORT, socket(7)).
//!
//! Everything that concerns a client's socket is set here: accepted sockets inherit it, and no
//! call is made for each client.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::args::Listen;
use crate::engine::{Listener, SlowPolicy};
use crate::failure::{Failure, Kind};
use crate::limits::{
    BACKLOG_FALLBACK, KEEPALIVE_COUNT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, PORT_PATIENCE,
    PORT_RETRY, SEND_BUFFER_LEN, USER_TIMEOUT,
};

/// A place where a worker listens.
#[derive(Debug)]
pub struct Bound {
    /// The socket: bound, listening, blocking.
    pub socket: OwnedFd,
    /// Where it is bound.
    pub addr: SocketAddr,
    /// How its clients are treated.
    pub listener: Listener,
}

/// Listens everywhere, and returns the sockets of each worker.
///
/// # Errors
/// Naming the address that is not to be had.
pub fn bind(
    places: &[Listen],
    workers: usize,
    slow: SlowPolicy,
) -> Result<Vec<Vec<Bound>>, Failure> {
    let backlog = backlog();
    let mut by_worker: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    for place in places {
        let sockets =
            bind_place(place.addr, workers, backlog).map_err(|e| refused(place.addr, &e))?;
        for (listeners, (socket, addr)) in by_worker.iter_mut().zip(sockets) {
            let listener = Listener { dialect: place.dialect, slow };
            listeners.push(Bound { socket: socket.into(), addr, listener });
        }
    }
    Ok(by_worker)
}

/// Listens for the admin endpoint.
///
/// # Errors
/// Naming the address that is not to be had.
pub fn bind_admin(addr: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(addr).map_err(|error| refused(addr, &error))
}

/// Listens at `addr` once for each worker.
fn bind_place(
    mut addr: SocketAddr,
    workers: usize,
    backlog: i32,
) -> io::Result<Vec<(Socket, SocketAddr)>> {
    probe(addr)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = listening(addr, backlog)?;
        // The first chooses the port where none was asked for.
        addr = socket.local_addr()?.as_socket().expect("an IP socket has an IP address");
        sockets.push((socket, addr));
    }
    Ok(sockets)
}

/// Fails when anybody has the port. Sockets with SO_REUSEPORT would share it without a word, with
/// another chatd of the same user too, and half of the clients would end up there.
///
/// A chatd that was killed has it a little longer than it lives: its listening sockets are let go
/// of with its rings, and the kernel takes those apart later (io_ring_exit_work, Linux 6.x).
fn probe(addr: SocketAddr) -> io::Result<()> {
    if addr.port() == 0 {
        return Ok(());
    }
    let deadline = Instant::now() + PORT_PATIENCE;
    loop {
        match socket(addr)?.bind(&addr.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(PORT_RETRY);
            }
            bound => return bound,
        }
    }
}

/// A blocking socket, as the ring needs it, bound and listening.
fn listening(addr: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = socket(addr)?;
    socket.set_reuse_port(true)?;
    inherited(&socket)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a server that ended a minute ago do not keep the next from starting.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // `0.0.0.0` and `[::]` are two places; each is listened at when it is asked for.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Sets what accepted sockets take over (tcp(7), and the test below).
fn inherited(socket: &Socket) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_COUNT);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_send_buffer_size(SEND_BUFFER_LEN)
}

/// As many connections may wait as the system allows.
fn backlog() -> i32 {
    fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(BACKLOG_FALLBACK)
}

fn refused(addr: SocketAddr, error: &io::Error) -> Failure {
    let message = match error.kind() {
        io::ErrorKind::AddrInUse => format!("{addr} is in use"),
        io::ErrorKind::AddrNotAvailable => format!("this machine has no address {}", addr.ip()),
        io::ErrorKind::PermissionDenied => {
            format!("{addr}: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE")
        }
        _ => format!("{addr}: {error}"),
    };
    Failure::new(Kind::System, message)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn place(addr: &str) -> Listen {
        addr.parse().expect("a well-formed address")
    }

    fn bind_one(addr: &str) -> Result<Bound, Failure> {
        let mut by_worker = bind(&[place(addr)], 1, SlowPolicy::Close)?;
        Ok(by_worker.remove(0).remove(0))
    }

    #[test]
    fn accepted_sockets_inherit() {
        let listener = bind_one("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.addr).expect("a listener");
        let (socket, _) = Socket::from(listener.socket).accept().expect("a client");
        drop(client);
        assert!(!socket.nonblocking().expect("a flag"));
        assert!(socket.tcp_nodelay().expect("an option"));
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), KEEPALIVE_COUNT);
        assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(USER_TIMEOUT));
        assert_eq!(socket.send_buffer_size().expect("an option"), 2 * SEND_BUFFER_LEN);
    }

    #[test]
    fn workers_share_the_port_that_the_first_was_given() {
        let by_worker =
            bind(&[place("127.0.0.1:0"), place("[::1]:0")], 3, SlowPolicy::Skip).expect("ports");
        assert_eq!(by_worker.len(), 3);
        for listeners in &by_worker {
            assert_eq!(listeners.len(), 2);
            for (listener, first) in listeners.iter().zip(&by_worker[0]) {
                assert_eq!(listener.addr, first.addr);
                assert_ne!(listener.addr.port(), 0);
                assert_eq!(listener.listener.slow, SlowPolicy::Skip);
            }
        }
    }

    #[test]
    fn both_families_may_have_one_port() {
        let first = bind_one("0.0.0.0:0").expect("a free port");
        let second = format!("[::]:{}", first.addr.port());
        bind_one(&second).expect("the other family's port is free");
    }

    #[test]
    fn a_port_is_not_shared_with_another_server() {
        let first = bind_one("127.0.0.1:0").expect("a free port");
        let refused = bind_one(&first.addr.to_string()).expect_err("the port is taken");
        let expected = Failure::new(Kind::System, format!("{} is in use", first.addr));
        assert_eq!(refused, expected);
        let refused = bind_admin(first.addr).expect_err("the port is taken");
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_refusal_names_the_address() {
        let addr = "192.0.2.1:23".parse().expect("a well-formed address");
        for (errno, told) in [
            (libc::EADDRNOTAVAIL, "this machine has no address 192.0.2.1"),
            (
                libc::EACCES,
                "192.0.2.1:23: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
            ),
        ] {
            assert_eq!(refused(addr, &io::Error::from_raw_os_error(errno)).message, told);
        }
    }
}
