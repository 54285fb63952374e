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

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

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
    /// The socket: bound, blocking; listening, but for `late`.
    pub socket: OwnedFd,
    /// The place as the operator wrote it.
    pub place: Listen,
    /// Where it is bound.
    pub addr: SocketAddr,
    /// How its clients are treated.
    pub listener: Listener,
    /// The backlog it is to have, when it does not listen yet: see [`listen_late`].
    late: Option<i32>,
}

/// What another process listens with, which this one is to take over from.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The sockets of each place, and the place as the operator wrote it then.
    pub places: Vec<(Listen, Vec<OwnedFd>)>,
    /// The same of the admin endpoint.
    pub admin: Option<(SocketAddr, TcpListener)>,
}

impl Bound {
    /// The place as it came to be: with the port that was chosen.
    #[must_use]
    pub fn at(&self) -> Listen {
        Listen { addr: self.addr, ..self.place }
    }
}

impl Inherited {
    /// The sockets of the first such place that is left.
    fn take(&mut self, place: Listen) -> Vec<OwnedFd> {
        let index = self.places.iter().position(|(inherited, _)| *inherited == place);
        index.map_or_else(Vec::new, |index| self.places.remove(index).1)
    }
}

/// Listens everywhere, and returns the sockets of each worker. Sockets that are `inherited` are not
/// made anew, so that who waits in their backlogs is served.
///
/// # Errors
/// Naming the address that is not to be had.
pub fn bind(
    places: &[Listen],
    workers: usize,
    slow: SlowPolicy,
    inherited: &mut Inherited,
) -> Result<Vec<Vec<Bound>>, Failure> {
    let backlog = backlog();
    let mut by_worker: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    for place in places {
        let before = inherited.take(*place);
        let sockets = if before.is_empty() {
            bind_place(place.addr, workers, backlog)
        } else {
            take_place(before, workers, backlog)
        };
        let sockets = sockets.map_err(|error| refused(place.addr, &error))?;
        for (listeners, (socket, addr, late)) in by_worker.iter_mut().zip(sockets) {
            let listener = Listener { dialect: place.dialect, slow };
            listeners.push(Bound { socket: socket.into(), place: *place, addr, listener, late });
        }
    }
    Ok(by_worker)
}

/// Listens for the admin endpoint, without waiting for those who ask.
///
/// # Errors
/// Naming the address that is not to be had.
pub fn bind_admin(addr: SocketAddr, inherited: &mut Inherited) -> Result<TcpListener, Failure> {
    let listener = match inherited.admin.take() {
        Some((before, listener)) if before == addr => Ok(listener),
        _ => TcpListener::bind(addr),
    };
    let made = listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    made.map_err(|error| refused(addr, &error))
}

/// Listens with those that were made beside inherited ones. Not before: as soon as they listen they
/// get their share of those who connect, and would take it along should this process fail.
///
/// # Errors
/// As listen(2).
pub fn listen_late<'a>(by_worker: impl IntoIterator<Item = &'a Vec<Bound>>) -> io::Result<()> {
    for bound in by_worker.into_iter().flatten() {
        if let Some(backlog) = bound.late {
            SockRef::from(&bound.socket).listen(backlog)?;
        }
    }
    Ok(())
}

/// A socket, where it is bound, and the backlog of one that does not listen yet.
type Place = (Socket, SocketAddr, Option<i32>);

/// Listens at `addr` once for each worker.
fn bind_place(mut addr: SocketAddr, workers: usize, backlog: i32) -> io::Result<Vec<Place>> {
    probe(addr)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = bound(addr)?;
        socket.listen(backlog)?;
        // The first chooses the port where none was asked for.
        addr = local_addr(&socket)?;
        sockets.push((socket, addr, None));
    }
    Ok(sockets)
}

/// Goes on listening with `before`, which is not empty: more are made where there are more workers
/// now, and where there are fewer the rest is closed.
fn take_place(before: Vec<OwnedFd>, workers: usize, backlog: i32) -> io::Result<Vec<Place>> {
    let mut sockets = Vec::with_capacity(workers);
    for socket in before.into_iter().take(workers).map(Socket::from) {
        // Another version may have had them otherwise.
        pass_on(&socket)?;
        let addr = local_addr(&socket)?;
        sockets.push((socket, addr, None));
    }
    let addr = sockets[0].1;
    for _ in sockets.len()..workers {
        sockets.push((bound(addr)?, addr, Some(backlog)));
    }
    Ok(sockets)
}

fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("it is no IP socket"))
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

/// A blocking socket, as the ring needs it, that shares its port with others of this server.
fn bound(addr: SocketAddr) -> io::Result<Socket> {
    let socket = socket(addr)?;
    socket.set_reuse_port(true)?;
    pass_on(&socket)?;
    socket.bind(&addr.into())?;
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
fn pass_on(socket: &Socket) -> io::Result<()> {
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

    use nix::sys::socket::sockopt;

    use super::*;

    fn place(addr: &str) -> Listen {
        addr.parse().expect("a well-formed address")
    }

    fn bind_one(addr: &str) -> Result<Bound, Failure> {
        let mut by_worker = bind(&[place(addr)], 1, SlowPolicy::Close, &mut Inherited::default())?;
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
        let places = [place("127.0.0.1:0"), place("[::1]:0")];
        let by_worker = bind(&places, 3, SlowPolicy::Skip, &mut Inherited::default());
        let by_worker = by_worker.expect("ports");
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
        let refused =
            bind_admin(first.addr, &mut Inherited::default()).expect_err("the port is taken");
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
    /// What a process with these sockets leaves to the next.
    fn leave(by_worker: Vec<Vec<Bound>>) -> Inherited {
        let mut inherited = Inherited::default();
        for bound in by_worker.into_iter().flatten() {
            match inherited.places.iter_mut().find(|(place, _)| *place == bound.place) {
                Some((_, sockets)) => sockets.push(bound.socket),
                None => inherited.places.push((bound.place, vec![bound.socket])),
            }
        }
        inherited
    }

    #[test]
    fn inherited_sockets_are_gone_on_with() {
        let places = [place("127.0.0.1:0"), place("rid://127.0.0.1:0")];
        let by_worker = bind(&places, 2, SlowPolicy::Close, &mut Inherited::default());
        let by_worker = by_worker.expect("free ports");
        let addrs: Vec<SocketAddr> = by_worker[0].iter().map(|bound| bound.addr).collect();
        // Nobody accepts; they wait.
        let waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(addrs[0])).collect();
        let mut inherited = leave(by_worker);
        let places = [places[1], places[0]];
        let by_worker = bind(&places, 3, SlowPolicy::Skip, &mut inherited).expect("they are there");
        assert!(inherited.places.is_empty());
        for bound in &by_worker {
            assert_eq!([bound[0].addr, bound[1].addr], [addrs[1], addrs[0]]);
            assert_eq!(bound[1].at().to_string(), format!("telnet://{}", addrs[0]));
            assert_eq!(bound[0].listener.slow, SlowPolicy::Skip);
        }
        // The third of each gets nobody before it is told to listen.
        let late: Vec<_> = by_worker.iter().map(|bound| bound[1].late.is_some()).collect();
        assert_eq!(late, [false, false, true]);
        let listens = |bound: &Bound| {
            nix::sys::socket::getsockopt(&bound.socket, sockopt::AcceptConn).expect("a socket")
        };
        assert!(!listens(&by_worker[2][1]));
        let accept = |bound: &Bound| {
            let socket = SockRef::from(&bound.socket);
            socket.set_nonblocking(true).expect("an option");
            (0..).take_while(|_| socket.accept().is_ok()).count()
        };
        let accepted: usize = by_worker[..2].iter().map(|bound| accept(&bound[1])).sum();
        assert_eq!(accepted, waiting.len());
        listen_late(&by_worker).expect("the port is theirs");
        assert!(listens(&by_worker[2][1]));
    }

    #[test]
    fn another_place_is_made_anew() {
        let inherited = |addr: &str| leave(vec![vec![bind_one(addr).expect("a free port")]]);
        let mut before = inherited("127.0.0.1:0");
        let place = place("rid://127.0.0.1:0");
        let by_worker = bind(&[place], 1, SlowPolicy::Close, &mut before).expect("a free port");
        assert_eq!(by_worker[0][0].place, place);
        assert_eq!(before.places.len(), 1, "nobody wanted it");
        // The same port in another way is the other process's still.
        let addr = SockRef::from(&before.places[0].1[0]).local_addr().expect("it is bound");
        let addr = addr.as_socket().expect("an IP socket");
        let refused = bind(&[Listen { addr, ..place }], 1, SlowPolicy::Close, &mut before);
        assert_eq!(refused.expect_err("it is taken").message, format!("{addr} is in use"));
    }

    #[test]
    fn an_inherited_admin_endpoint_is_gone_on_with() {
        let addr = "127.0.0.1:0".parse().expect("a well-formed address");
        let first = bind_admin(addr, &mut Inherited::default()).expect("a free port");
        let bound = first.local_addr().expect("it is bound");
        let mut inherited = Inherited { admin: Some((addr, first)), ..Inherited::default() };
        let same = bind_admin(addr, &mut inherited).expect("it is there");
        assert_eq!(same.local_addr().expect("it is bound"), bound);
    }
}
