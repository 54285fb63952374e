//! The old process: hears who wants to take over, gives what it asks for, and goes on should that
//! come to nothing.
//!
//! Everything until the clients have to stand still is a task of its own, beside the serving. What
//! follows is done by the control thread, which waits for nothing else then.

use std::env;
use std::hash::RandomState;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process;
use std::time::Instant;

use nix::unistd::geteuid;
use rustix::net::{Shutdown, shutdown};
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use super::super::metrics::Sources;
use super::super::workers::{self, Ended};
use super::super::{Control, Phase, Posts, killed, supervisor};
use super::{Estate, names};
use crate::chat::{Event, Saved};
use crate::engine::stats::WorkerStats;
use crate::engine::{self, Adopted, Carried};
use crate::failure::{Failure, Kind};
use crate::handover::{self, Answer, Ask, Origin, Sockets};
use crate::hub::Bells;
use crate::limits::{
    ACCEPT_PAUSE, HANDOVER_FREEZE, HANDOVER_PREPARE, HANDOVER_READY, HANDOVER_SPARE,
    HANDOVER_TAKEN, HANDOVER_TRANSCRIPT, STRANGER_INTERVAL,
};
use crate::time::{Clock, Time};
use crate::uring;

/// What is there from the start on, for the day when somebody wants to take over. Made while files
/// and addresses may be opened.
#[derive(Debug)]
pub(in crate::control) struct Gate {
    socket: io::Result<OwnedFd>,
    origin: Origin,
    /// The user who started the server.
    uid: u32,
    /// Whether the kernel can.
    can_take_out: bool,
}

impl Gate {
    /// A gate for this process, whose limit of open files that is.
    pub(in crate::control) fn open(descriptors: u64) -> Self {
        let arguments = env::args_os().skip(1).map(|word| word.into_vec().into()).collect();
        let directory = env::current_dir().unwrap_or_else(|_| "/".into());
        let environment = supervisor::environment();
        let environment = environment.map(|(key, value)| (key.to_owned(), value.into_vec().into()));
        let origin = Origin {
            arguments,
            directory: directory.as_os_str().as_bytes().to_vec().into(),
            environment: environment.collect(),
            descriptors,
        };
        Self {
            socket: handover::listen(process::id()),
            origin,
            uid: geteuid().as_raw(),
            can_take_out: uring::can_take_out(),
        }
    }

    /// Why nobody will be able to take over, if so.
    pub(in crate::control) fn obstacle(&self) -> Option<String> {
        if !self.can_take_out {
            return Some(CANNOT_TAKE_OUT.into());
        }
        self.socket.as_ref().err().map(|error| format!("its name is not to be had: {error}"))
    }
}

const CANNOT_TAKE_OUT: &str = "clients cannot be taken out of a ring before Linux 6.8";

/// The task that hears who wants to take over, one after the other.
pub(in crate::control) struct Giver {
    socket: UnixListener,
    origin: Origin,
    uid: u32,
    can_take_out: bool,
    posts: Posts,
    admin: Option<(SocketAddr, net::TcpListener)>,
    sources: Sources,
    found: UnboundedSender<Successor>,
}

/// A process that is ready to take over.
#[derive(Debug)]
pub(in crate::control) struct Successor {
    connection: Connection,
    /// Dropped when it has come to an end with this one; then the next is heard.
    _over: oneshot::Sender<()>,
}

/// A conversation.
#[derive(Debug)]
struct Connection(UnixStream);

impl Giver {
    /// Makes the task, unless nobody can take over anyway.
    pub(in crate::control) fn new(
        gate: Gate,
        posts: Posts,
        admin: Option<(SocketAddr, net::TcpListener)>,
        sources: Sources,
        found: UnboundedSender<Successor>,
    ) -> io::Result<Option<Self>> {
        let Gate { socket, origin, uid, can_take_out } = gate;
        let Ok(socket) = socket else { return Ok(None) };
        let socket = UnixListener::from_std(socket.into())?;
        Ok(Some(Self { socket, origin, uid, can_take_out, posts, admin, sources, found }))
    }

    /// Hears them, until the server stops.
    pub(in crate::control) async fn run(self) {
        loop {
            let connection = match self.accept().await {
                Ok(connection) => connection,
                Err(error) => {
                    debug!(%error, "accepting one who wants to take over");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let prepared = timeout(HANDOVER_PREPARE, self.prepare(&connection)).await;
            if let Err(error) = prepared.unwrap_or_else(|_| Err(took_too_long())) {
                self.sources.control.upgrades_failed.add(1);
                warn!(cause = told(&error), "no upgrade");
                continue;
            }
            let (over, is_over) = oneshot::channel();
            if self.found.send(Successor { connection, _over: over }).is_err() {
                return;
            }
            let _ = is_over.await;
        }
    }

    /// Waits for one who may: the user who started the server, and root.
    async fn accept(&self) -> io::Result<Connection> {
        let mut told: Option<Instant> = None;
        loop {
            let (socket, _) = self.socket.accept().await?;
            let peer = handover::peer(&socket)?;
            if peer.uid == self.uid || peer.uid == 0 {
                info!(pid = peer.pid, "an upgrade begins");
                return Ok(Connection(socket));
            }
            // Whoever goes on asking does not fill the log.
            if told.is_none_or(|told| told.elapsed() >= STRANGER_INTERVAL) {
                told = Some(Instant::now());
                warn!(pid = peer.pid, user = peer.uid, "no upgrade by this user");
            }
        }
    }

    /// Answers until the clients are asked for.
    async fn prepare(&self, connection: &Connection) -> io::Result<()> {
        loop {
            match connection.heard().await? {
                Ask::Hello { version } if version != handover::VERSION => {
                    let own = handover::VERSION;
                    let reason = format!(
                        "it hands over in the way {own}, this program takes over in the way \
                         {version}: restart it instead"
                    );
                    return Err(connection.refuse(reason).await);
                }
                Ask::Hello { .. } => match self.can_take_out {
                    true => connection.answer(&Answer::Given(&self.origin), &[]).await?,
                    false => return Err(connection.refuse(CANNOT_TAKE_OUT.into()).await),
                },
                Ask::Sockets => self.give_sockets(connection).await?,
                Ask::HandOver => return Ok(()),
                Ask::Ready { .. } | Ask::Taken => return Err(out_of_turn()),
            }
        }
    }

    async fn give_sockets(&self, connection: &Connection) -> io::Result<()> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let mut descriptors = vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let mut sockets = Sockets { clients: self.sources.clients(), ..Sockets::default() };
        if let Some((addr, listener)) = &self.admin {
            sockets.admin = Some(addr.to_string());
            descriptors.push(listener.as_fd());
        }
        let place_count = self.posts.first().map_or(0, Vec::len);
        for index in 0..place_count {
            let place = self.posts.iter().map(|bound| &bound[index]);
            sockets.places.push((self.posts[0][index].place.to_string(), self.posts.len()));
            descriptors.extend(place.map(|bound| bound.socket.as_fd()));
        }
        connection.answer(&Answer::Given(sockets), &descriptors).await
    }
}

impl Connection {
    async fn answer<T: Serialize>(
        &self,
        answer: &Answer<T>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let message = handover::encode(answer)?;
        for packet in handover::packets(&message, descriptors) {
            self.0.async_io(Interest::WRITABLE, || packet.send(&self.0)).await?;
        }
        Ok(())
    }

    /// Says why not; an error for those who have to know it as well.
    async fn refuse(&self, reason: String) -> io::Error {
        // If it has gone or does not listen, nobody has to be told.
        let refused = Answer::<()>::Refused(reason.clone());
        let _ = timeout(HANDOVER_TAKEN, self.answer(&refused, &[])).await;
        io::Error::other(reason)
    }

    async fn heard(&self) -> io::Result<Ask> {
        let heard = self.0.async_io(Interest::READABLE, || handover::heard(&self.0)).await?;
        heard.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Ends the conversation, and says whether the last word was said before: afterwards it cannot
    /// be said any more.
    fn was_taken(&self) -> bool {
        let _ = shutdown(&self.0, Shutdown::Both);
        // Nothing is waited for: what was said is there.
        while let Ok(Some(ask)) = handover::heard::<Ask>(&self.0) {
            if ask == Ask::Taken {
                return true;
            }
        }
        false
    }
}

fn took_too_long() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

fn out_of_turn() -> io::Error {
    io::Error::other("the new process spoke out of turn")
}

fn told_to_stop() -> io::Error {
    io::Error::other("it was told to stop")
}

/// What happened on the other side, in words for the operator.
fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "the new process took too long".into(),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => "the new process has ended".into(),
        _ => error.to_string(),
    }
}

/// How many clients may be outside of rings at a time with so many open files. Beside them stand
/// the workers that take them up again: each has its ring, its bell, and its listeners twice.
fn clients_max(descriptors: u64, workers: usize, listeners: usize) -> u64 {
    let own = workers * (2 + 2 * listeners);
    descriptors.saturating_sub(HANDOVER_SPARE + own as u64)
}

/// Bytes that so many clients with full sockets may be owed at most: each all that the feeds of
/// their worker hold, but of a room and of its own replies no more than it may be behind.
fn unsent_len(blocked: u64, feed_len: u64, behind_len: u64) -> u64 {
    blocked * feed_len.min(2 * behind_len)
}

impl Control {
    /// Hands everything over, if that is possible just now. Whether it has: then this process has
    /// nothing left but its end.
    ///
    /// # Errors
    /// When it cannot go on either.
    pub(in crate::control) async fn hand_over(
        &mut self,
        successor: Successor,
    ) -> Result<bool, Failure> {
        let connection = &successor.connection;
        if let Err(reason) = self.may_hand_over() {
            self.sources.control.upgrades_failed.add(1);
            warn!(cause = reason, "no upgrade");
            connection.refuse(reason).await;
            return Ok(false);
        }
        // While everybody is served still.
        handover::make_room(&connection.0, self.sources.clients());
        let frozen = self.peer.clock.now();
        let given = self.freeze().await?;
        let saved = self.peer.hub.save();
        let stall = |control: &Self| (control.peer.clock.now() - frozen).as_millis();
        match self.give(connection, frozen, &given, &saved).await {
            Ok(pid) => {
                let clients: usize = given.iter().map(Vec::len).sum();
                self.supervisor.hand_over(pid);
                info!(pid, clients, stall_ms = stall(self), "handed over");
                if let Some(transcript) = self.transcript.take() {
                    transcript.finish(Instant::now() + HANDOVER_TRANSCRIPT).await;
                }
                Ok(true)
            }
            Err(error) => {
                self.sources.control.upgrades_failed.add(1);
                self.go_on(given, saved)?;
                let cause = told(&error);
                warn!(cause, stall_ms = stall(self), "upgrade failed, going on");
                if let Some(signal) = self.told_to_stop.take() {
                    info!(signal, "stopping");
                    self.stop();
                }
                Ok(false)
            }
        }
    }

    fn may_hand_over(&self) -> Result<(), String> {
        if self.phase.get() != Phase::Serving {
            return Err("it is stopping".into());
        }
        let clients = self.sources.clients();
        let Some(crew) = &self.crew else { return Err("it is stopping".into()) };
        let listeners = crew.posts.first().map_or(0, Vec::len);
        let free = clients_max(self.descriptors, crew.posts.len(), listeners);
        if clients > free {
            return Err(format!(
                "{clients} clients need as many open files, and the limit of {} leaves {free}",
                self.descriptors
            ));
        }
        let len_max = engine::unsent_len_max(&crew.config);
        let behind_len = crew.config.bounds.behind_len;
        let is_too_much = |stats: &WorkerStats| {
            unsent_len(stats.blocked.read(), stats.feed_bytes.read(), behind_len) > len_max
        };
        if self.sources.workers.iter().any(|stats| is_too_much(stats)) {
            return Err("too many clients do not read just now: try again later".into());
        }
        Ok(())
    }

    /// Brings everything to rest, and takes the clients from the workers, which end.
    async fn freeze(&mut self) -> Result<Vec<Vec<Adopted>>, Failure> {
        self.phase.set(Phase::HandingOver);
        // Who asks from here on waits in the backlog, for whoever serves then.
        if let Some(admin) = self.admin_task.take() {
            admin.abort();
        }
        let mut given: Vec<Vec<Adopted>> = self.sources.workers.iter().map(|_| vec![]).collect();
        self.peer.batch.push(Event::Freeze);
        self.exchange();
        let deadline = tokio::time::Instant::now() + HANDOVER_FREEZE;
        while self.running > 0 {
            tokio::select! {
                signal = self.signals.next() => {
                    if self.told_to_stop.replace(signal).is_some() {
                        return Err(killed(signal));
                    }
                }
                () = sleep_until(deadline) => {
                    let message = "not all workers come to rest";
                    return Err(Failure::new(Kind::Broken, message));
                }
                () = self.peer.bells.heard() => self.exchange(),
                Some(Ended { peer, result }) = self.ended.recv() => {
                    self.running -= 1;
                    match result {
                        Ok(adopted) => given[usize::from(peer.0)] = adopted,
                        Err(cause) => {
                            // A new one takes its place in any case.
                            self.sources.control.worker_failures.add(1);
                            error!(worker = peer.0, %cause, "worker failed");
                            self.lose(peer);
                        }
                    }
                }
            }
        }
        self.exchange();
        Ok(given)
    }

    /// Gives everything away. On success it is the other's; on failure the other has touched
    /// nothing, and never will.
    async fn give(
        &mut self,
        connection: &Connection,
        frozen: Time,
        given: &[Vec<Adopted>],
        saved: &Saved,
    ) -> io::Result<u32> {
        if self.told_to_stop.is_some() {
            return Err(connection.refuse(told_to_stop().to_string()).await);
        }
        let clients = || given.iter().flatten();
        let posts = self.crew.as_ref().and_then(|crew| crew.posts.first());
        let estate: Estate<&Saved, &Carried> = Estate {
            zero: self.peer.clock.zero()?,
            frozen,
            listeners: posts.into_iter().flatten().map(|bound| bound.at().to_string()).collect(),
            chat: saved,
            clients: clients().map(|client| &client.carried).collect(),
        };
        let sockets: Vec<BorrowedFd<'_>> = clients().map(|client| client.socket.as_fd()).collect();
        let transcript = self.transcript.as_ref();
        let prepare = async {
            let ready = async {
                connection.answer(&Answer::Given(estate), &sockets).await?;
                match connection.heard().await? {
                    Ask::Ready { pid } => Ok(pid),
                    _ => Err(out_of_turn()),
                }
            };
            let ready = timeout(HANDOVER_READY, ready).await;
            let pid = ready.unwrap_or_else(|_| Err(took_too_long()))?;
            if let Some(transcript) = transcript {
                // What it does not write now comes a little later.
                let _ = timeout(HANDOVER_TRANSCRIPT, transcript.written()).await;
            }
            Ok(pid)
        };
        let prepared: io::Result<u32> = tokio::select! {
            biased;
            signal = self.signals.next() => {
                self.told_to_stop = Some(signal);
                // It may hang, and be in the middle of what it was given: it hears the end.
                Err(told_to_stop())
            }
            prepared = prepare => prepared,
        };
        let pid = prepared?;
        let go = timeout(HANDOVER_TAKEN, connection.answer(&Answer::Given(()), &[])).await;
        go.unwrap_or_else(|_| Err(took_too_long()))?;
        let taken = timeout(HANDOVER_TAKEN, connection.heard()).await;
        let error = match taken {
            Ok(Ok(Ask::Taken)) => return Ok(pid),
            Ok(Ok(_)) => out_of_turn(),
            Ok(Err(error)) => error,
            Err(_) => took_too_long(),
        };
        if connection.was_taken() { Ok(pid) } else { Err(error) }
    }

    /// Goes on serving: new workers take up what the old ones gave away.
    fn go_on(&mut self, given: Vec<Vec<Adopted>>, saved: Saved) -> Result<(), Failure> {
        let names = names(&given);
        let conn_of = |conn| names.get(&conn).copied();
        let wake = self.peer.hub.restore(self.core.clone(), RandomState::new(), saved, conn_of);
        let Some(crew) = self.crew.take() else { return Ok(()) };
        for worker in self.start_workers(crew, given)? {
            workers::wait_ready(worker.peer, &worker.receiver)?;
        }
        self.peer.bells.ring_all(wake);
        self.phase.set(Phase::Serving);
        self.start_admin()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::handover::Channel;

    #[test]
    fn what_is_open_beside_clients_is_kept_back() {
        let all = HANDOVER_SPARE + 1_000;
        for (descriptors, workers, listeners, expected) in [
            (all, 0, 0, 1_000),
            (all, 1, 1, 996),
            (all, 4, 3, 968),
            (HANDOVER_SPARE + 4, 1, 1, 0),
            (10, 1, 1, 0),
        ] {
            assert_eq!(clients_max(descriptors, workers, listeners), expected);
        }
    }

    #[test]
    fn who_does_not_read_is_owed_no_more_than_there_is_and_than_may_wait() {
        for (blocked, feed_len, expected) in
            [(0, 1 << 20, 0), (3, 0, 0), (3, 50, 150), (3, 200, 600), (3, 201, 600)]
        {
            assert_eq!(unsent_len(blocked, feed_len, 100), expected);
        }
    }

    /// Its socket is full: it is not waited for.
    #[test]
    fn one_that_does_not_listen_is_refused_all_the_same() {
        tokio_uring::start(async {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
            let (own, _deaf) = pair.expect("two descriptors");
            let own = Connection(UnixStream::from_std(own.into()).expect("a runtime"));
            while timeout(ACCEPT_PAUSE, own.answer(&Answer::Given(()), &[])).await.is_ok() {}
            let refused = timeout(10 * HANDOVER_TAKEN, own.refuse("no".into())).await;
            assert_eq!(refused.expect("an end").to_string(), "no");
        });
    }

    /// However late it comes: either both know that the clients were taken over, or neither.
    #[test]
    fn the_last_word_is_heard_or_cannot_be_said() {
        let test = || {
            tokio_uring::start(async {
                for in_time in [true, false] {
                    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
                    let (own, other) = pair.expect("two descriptors");
                    let own = UnixStream::from_std(own.into()).expect("a runtime");
                    let (connection, channel) = (Connection(own), Channel::from(other));
                    if in_time {
                        channel.say(Ask::Ready { pid: 1 }).expect("it is heard");
                        channel.say(Ask::Taken).expect("it is heard");
                    }
                    assert_eq!(connection.was_taken(), in_time);
                    assert!(channel.say(Ask::Taken).is_err(), "nobody hears it any more");
                }
            });
        };
        thread::spawn(test).join().expect("the test passes");
    }
}
