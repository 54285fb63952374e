//! `Ring` on io_uring.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Submitter, cqueue, opcode, squeue};

use super::buf_ring::{self, BufRing};
use super::map::Map;
use super::restriction;
use super::sys::AddressSlot;
use super::{BufferId, Completion, Doorbell, Ring, Stats, Wait, errno};

/// IORING_RECVSEND_POLL_FIRST and IORING_RECV_MULTISHOT (io_uring_enter(2)), which the crate does
/// not name. Waiting first spares an attempt on a socket that has nothing yet, and arming on an
/// empty buffer ring does not fail at once.
const RECV_POLL_FIRST: u16 = 1 << 0;
const RECV_MULTISHOT: u16 = 1 << 1;

/// The fan-out mode. DONTWAIT: the send ends inside `io_uring_enter`, whatever the socket does.
/// WAITALL: a part sent is reported, and not taken for success. NOSIGNAL: no SIGPIPE.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// The token of `take_out`; no caller's operation is under way then.
const TAKEN_OUT: u64 = 0;

/// How long memory for a ring is waited for. On it the clients depend that a worker is to adopt:
/// they stand still meanwhile, and would be lost without it.
const MEMORY_PATIENCE: Duration = Duration::from_secs(3);
/// The pause before it is asked for again.
const MEMORY_RETRY: Duration = Duration::from_millis(5);

/// `enter` gives up after so many refusals in a row. Each makes room in the queues, so that two in
/// a row are already rare; this only keeps a broken kernel from hanging the worker.
const REFUSALS_MAX: u32 = 10_000;
/// The pause after a refusal for want of memory.
const REFUSAL_PAUSE: Duration = Duration::from_micros(100);

/// What a ring is made of.
#[derive(Debug)]
pub struct Options {
    /// Room for operations between two submissions, a power of two.
    pub submissions: u32,
    /// Room for completions, a power of two.
    pub completions: u32,
    /// Slots for connections; at most RLIMIT_NOFILE.
    pub slots: u32,
    /// Accepts under way at once.
    pub lanes: u32,
    /// Buffers for received bytes, a power of two.
    pub recv_buffers: u16,
    /// Bytes a buffer holds.
    pub recv_buffer_len: usize,
    /// Bytes of memory that sends are taken from.
    pub memory_len: usize,
    /// Connections that are there already: they take the first slots, in their order.
    pub adopted: Vec<OwnedFd>,
    /// Listening sockets, blocking: a non-blocking one would answer instead of waiting.
    pub listeners: Vec<OwnedFd>,
    /// What wakes the worker.
    pub bell: Arc<Doorbell>,
    /// Whether the kernel is told to refuse everything that [`Ring`] does not do.
    pub restricted: bool,
}

/// A worker's io_uring. It belongs to the thread that made it (SINGLE_ISSUER).
///
/// Field order: the ring is dropped first, and the kernel with it lets go of the memory below.
pub struct Uring {
    ring: IoUring,
    buffers: BufRing,
    memory: Map,
    /// Boxed, for the kernel keeps addresses of entries.
    addresses: Box<[AddressSlot]>,
    /// Where the bell's count is read to, boxed for the same reason.
    bell_count: Box<u64>,
    listeners: Vec<OwnedFd>,
    bell: Arc<Doorbell>,
    /// Completions taken out of the queue early, to make room.
    inbox: VecDeque<Completion>,
    enter_flags: EnterFlags,
    broken: Option<io::Error>,
    stats: Stats,
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Uring {
    /// Makes the ring, on the thread that will use it.
    ///
    /// # Errors
    /// As io_uring_setup(2) and io_uring_register(2); see `probe` for what they mean to an
    /// operator.
    pub fn new(options: Options) -> io::Result<Self> {
        let (mut ring, buffers) = patiently(|| with_buffers(&options))?;
        ring.submitter().register_files_sparse(options.slots)?;
        adopt(&ring, &options.adopted)?;
        if options.restricted {
            restriction::restrict(&ring)?;
            ring.submitter().register_enable_rings()?;
            restriction::prove(&mut ring)?;
        }
        let mut enter_flags = EnterFlags::GETEVENTS;
        if ring.params().is_feature_no_iowait() {
            // A waiting worker is idle, not waiting for a disk (Linux 6.15).
            enter_flags |= EnterFlags::NO_IOWAIT;
        }
        Ok(Self {
            ring,
            buffers,
            memory: Map::new(options.memory_len)?,
            addresses: (0..options.lanes).map(|_| AddressSlot::empty()).collect(),
            bell_count: Box::new(0),
            listeners: options.listeners,
            bell: options.bell,
            inbox: VecDeque::new(),
            enter_flags,
            broken: None,
            stats: Stats::default(),
        })
    }

    /// The registering side of the ring.
    pub(super) fn submitter(&self) -> Submitter<'_> {
        self.ring.submitter()
    }

    /// Makes a descriptor of what stands in each of these slots, which the ring goes on to have as
    /// well. Nothing may be under way there, and no completion be waited for.
    ///
    /// # Errors
    /// When the process has no descriptor left, or on kernels before Linux 6.8
    /// (IORING_OP_FIXED_FD_INSTALL, io_uring_enter(2)). Nothing is taken out then.
    pub fn take_out(&mut self, slots: &[u32]) -> io::Result<Vec<OwnedFd>> {
        let mut taken = Vec::with_capacity(slots.len());
        for slot in slots {
            let entry = opcode::FixedFdInstall::new(Fixed(*slot), 0).build();
            self.push(&entry.user_data(TAKEN_OUT));
            self.enter(Wait::No)?;
            let result = loop {
                match self.next() {
                    Some(completion) if completion.token == TAKEN_OUT => break completion.result,
                    Some(_) => {}
                    None => self.enter(Wait::Forever)?,
                }
            };
            if let Some(errno) = errno(result) {
                return Err(io::Error::from_raw_os_error(errno));
            }
            // SAFETY: the kernel has just made it, for this process, and nobody else has it.
            taken.push(unsafe { OwnedFd::from_raw_fd(result) });
        }
        Ok(taken)
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: every entry points only into memory that this value owns and that outlives
            // the operation: `memory` and the bell's count live as long as the ring; an address
            // slot is used by one accept at a time; receive buffers are the buffer ring's.
            if unsafe { self.ring.submission().push(entry) }.is_ok() || self.broken.is_some() {
                return;
            }
            self.stats.flushes += 1;
            if let Err(error) = self.submit(EnterFlags::empty(), 0, None) {
                self.broken = Some(error);
            }
        }
    }

    /// Enters until the submission queue is empty: nothing that was pushed is left behind, so that
    /// the memory of sends is free afterwards.
    fn submit(
        &mut self,
        flags: EnterFlags,
        want: u32,
        timeout: Option<&Timespec>,
    ) -> io::Result<()> {
        let (mut flags, mut want) = (flags, want);
        for _ in 0..REFUSALS_MAX {
            self.stats.enters += 1;
            match self.enter_once(flags, want, timeout) {
                Ok(()) => {}
                // ETIME: the wait is over. EINTR: a signal came.
                Err(error) if is(&error, &[libc::ETIME, libc::EINTR]) => {}
                // The completion queue is in the way, or memory is short for a moment.
                Err(error) if is(&error, &[libc::EBUSY, libc::EAGAIN]) => {
                    if is(&error, &[libc::EAGAIN]) {
                        thread::sleep(REFUSAL_PAUSE);
                    }
                    self.empty_completions();
                    flags |= EnterFlags::GETEVENTS;
                }
                Err(error) => return Err(error),
            }
            if self.ring.submission().is_empty() {
                return Ok(());
            }
            want = 0;
        }
        Err(io::Error::other("io_uring_enter goes on refusing"))
    }

    fn enter_once(
        &mut self,
        flags: EnterFlags,
        want: u32,
        timeout: Option<&Timespec>,
    ) -> io::Result<()> {
        let len = u32::try_from(self.ring.submission().len())
            .expect("a queue holds at most 2^15 entries");
        let flags = flags | EnterFlags::EXT_ARG;
        let mut args = SubmitArgs::new();
        if let Some(timeout) = timeout {
            args = args.timespec(timeout);
        }
        // SAFETY: with EXT_ARG the argument is the `SubmitArgs` that the crate itself passes; the
        // time in it outlives the call. The entries were vouched for when they were pushed.
        unsafe { self.ring.submitter().enter(len, want, flags.bits(), Some(&args)) }.map(|_| ())
    }

    fn empty_completions(&mut self) {
        while let Some(completion) = self.take() {
            self.inbox.push_back(completion);
        }
    }

    /// Takes one completion out of the kernel's queue.
    fn take(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        let buffer = cqueue::buffer_select(entry.flags()).map(BufferId);
        if let Some(id) = buffer {
            self.buffers.lend(id);
        }
        Some(Completion {
            token: entry.user_data(),
            result: entry.result(),
            buffer,
            more: cqueue::more(entry.flags()),
        })
    }

    fn listener(&self, listener: u32) -> RawFd {
        self.listeners[listener as usize].as_raw_fd()
    }
}

impl Ring for Uring {
    fn memory(&mut self) -> &mut [u8] {
        let len = self.memory.len();
        // SAFETY: the whole map, borrowed as `self` is. The kernel reads it inside `enter` only: a
        // send never outlives that (SEND_FLAGS; `probe` tries it on this kernel).
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), len) }
    }

    fn clear(&mut self, start: u32, len: u32) {
        self.memory.clear(start as usize, len as usize);
    }

    fn accept(&mut self, lane: u32, listener: u32, slot: u32, token: u64) {
        let fd = Fd(self.listener(listener));
        let address = &mut self.addresses[lane as usize];
        *address = AddressSlot::empty();
        let slot = DestinationSlot::try_from_slot_target(slot).expect("a slot below 2^20");
        let storage = (&raw mut address.storage).cast();
        let entry = opcode::Accept::new(fd, storage, &raw mut address.len)
            .file_index(Some(slot))
            .build()
            .user_data(token);
        self.push(&entry);
    }

    fn accepted_from(&self, lane: u32) -> SocketAddr {
        self.addresses[lane as usize].address()
    }

    fn recv(&mut self, slot: u32, token: u64) {
        let entry = opcode::Recv::new(Fixed(slot), std::ptr::null_mut(), 0)
            .ioprio(RECV_POLL_FIRST | RECV_MULTISHOT)
            .buf_group(buf_ring::GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(token);
        self.push(&entry);
    }

    fn buffer(&self, id: BufferId, len: usize) -> &[u8] {
        self.buffers.buffer(id, len)
    }

    fn recycle(&mut self, id: BufferId) {
        self.buffers.recycle(id);
    }

    fn send(&mut self, slot: u32, start: u32, len: u32, token: u64) {
        let bytes = self.memory.at(start as usize, len as usize);
        let entry = opcode::Send::new(Fixed(slot), bytes, len)
            .flags(SEND_FLAGS)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(token);
        self.push(&entry);
    }

    fn poll_out(&mut self, slot: u32, token: u64) {
        let events = libc::POLLOUT as u32;
        let entry = opcode::PollAdd::new(Fixed(slot), events).build().user_data(token);
        self.push(&entry);
    }

    fn cancel(&mut self, target: u64, token: u64) {
        let entry = opcode::AsyncCancel::new(target)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(token);
        self.push(&entry);
    }

    fn abort(&mut self, slot: u32, token: u64) {
        const LINGER: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };
        const LINGER_LEN: u32 = 8;
        const _: () = assert!(size_of::<libc::linger>() == LINGER_LEN as usize);
        static VALUE: libc::linger = LINGER;
        let (level, name) = (libc::SOL_SOCKET as u32, libc::SO_LINGER as u32);
        let value = (&raw const VALUE).cast();
        let entry = opcode::SetSockOpt::new(Fixed(slot), level, name, value, LINGER_LEN)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(token);
        self.push(&entry);
    }

    fn close(&mut self, slot: u32, token: u64) {
        self.push(&opcode::Close::new(Fixed(slot)).build().user_data(token));
    }

    fn hear(&mut self, token: u64) {
        let fd = Fd(self.bell.as_raw_fd());
        let count = (&raw mut *self.bell_count).cast();
        self.push(&opcode::Read::new(fd, count, 8).build().user_data(token));
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let idle = self.inbox.is_empty() && self.ring.completion().is_empty();
        let want = u32::from(idle && wait != Wait::No);
        let timeout = match wait {
            Wait::AtMost(timeout) => Some(Timespec::from(timeout)),
            Wait::No | Wait::Forever => None,
        };
        self.submit(self.enter_flags, want, timeout.as_ref())
    }

    fn next(&mut self) -> Option<Completion> {
        if let Some(completion) = self.inbox.pop_front() {
            return Some(completion);
        }
        if let Some(completion) = self.take() {
            return Some(completion);
        }
        // The kernel keeps what did not fit (NODROP); an enter brings it.
        if !self.ring.submission().cq_overflow() {
            return None;
        }
        self.stats.overflows += 1;
        if let Err(error) = self.submit(EnterFlags::GETEVENTS, 0, None) {
            self.broken = Some(error);
        }
        self.take()
    }

    fn stats(&self) -> Stats {
        self.stats
    }
}

/// Everything under way is called back here, for the kernel takes a ring apart some time after it
/// was closed (io_ring_exit_work, Linux 6.x). Until then an accept left on a listening socket would
/// swallow the wake-up for a newcomer, who would wait in the backlog until another came.
impl Drop for Uring {
    fn drop(&mut self) {
        let everything = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        self.push(&everything);
        let mut completed = true;
        // An enter brings only some of the completions. A broken ring brings none.
        while completed && self.submit(self.enter_flags, 0, None).is_ok() {
            completed = self.take().is_some();
            while self.take().is_some() {}
        }
    }
}

/// A ring for one thread: completions are made when the thread asks for them (DEFER_TASKRUN, Linux
/// 6.1), one bad entry does not hold up the others (SUBMIT_ALL), and there is no array between us
/// and the entries where the kernel can do without (NO_SQARRAY, Linux 6.6). A `disabled` ring does
/// nothing until it is enabled, and can be restricted before that.
pub(super) fn build(submissions: u32, completions: u32, disabled: bool) -> io::Result<IoUring> {
    let builder = |no_array: bool| {
        let mut builder = IoUring::builder();
        builder
            .dontfork()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(completions);
        if no_array {
            builder.setup_no_sqarray();
        }
        if disabled {
            builder.setup_r_disabled();
        }
        builder.build(submissions)
    };
    match builder(true) {
        Err(error) if is(&error, &[libc::EINVAL]) => builder(false),
        result => result,
    }
}

/// A ring, and the buffers that it receives into: what counts as locked memory.
fn with_buffers(options: &Options) -> io::Result<(IoUring, BufRing)> {
    let ring = build(options.submissions, options.completions, options.restricted)?;
    let buffers = BufRing::register(&ring, options.recv_buffers, options.recv_buffer_len)?;
    Ok((ring, buffers))
}

/// Makes it as soon as there is memory. That of a ring which was closed counts towards the limit of
/// its user a little longer: the kernel takes it apart later (io_ring_exit_work, Linux 6.x).
fn patiently<T>(make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + MEMORY_PATIENCE;
    loop {
        match make() {
            Err(error) if is(&error, &[libc::ENOMEM]) && Instant::now() < deadline => {
                thread::sleep(MEMORY_RETRY);
            }
            made => return made,
        }
    }
}

/// Puts descriptors into the first slots. The ring has its own hold of them afterwards
/// (io_uring_register(2), IORING_REGISTER_FILES_UPDATE).
fn adopt(ring: &IoUring, sockets: &[OwnedFd]) -> io::Result<()> {
    let fds: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    let count = if fds.is_empty() { 0 } else { ring.submitter().register_files_update(0, &fds)? };
    if count == fds.len() { Ok(()) } else { Err(io::Error::other("some sockets were not taken")) }
}

fn is(error: &io::Error, errnos: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|errno| errnos.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::thread::JoinHandleExt;
    use std::sync::mpsc::channel;

    use super::*;

    /// A ring with queues as small as they come.
    fn tiny(listeners: Vec<OwnedFd>) -> Uring {
        Uring::new(tiny_options(listeners)).expect("a ring")
    }

    fn tiny_options(listeners: Vec<OwnedFd>) -> Options {
        Options {
            submissions: 4,
            completions: 8,
            slots: 4,
            lanes: 1,
            recv_buffers: 1,
            recv_buffer_len: 4,
            memory_len: 4_096,
            adopted: Vec::new(),
            listeners,
            bell: Arc::new(Doorbell::new().expect("a descriptor")),
            restricted: true,
        }
    }

    fn next(ring: &mut Uring) -> Completion {
        loop {
            if let Some(completion) = ring.next() {
                return completion;
            }
            ring.enter(Wait::AtMost(Duration::from_secs(5))).expect("a sound ring");
        }
    }

    #[test]
    fn a_ring_without_restrictions_is_seen() {
        let mut free = build(4, 8, false).expect("a ring");
        assert!(restriction::prove(&mut free).is_err());
        let mut restricted = tiny(Vec::new());
        restriction::prove(&mut restricted.ring).expect("it refuses");
    }

    /// A connection in slot 0, with token 1 for its receive.
    fn connected() -> (Uring, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
        let mut ring = tiny(vec![listener.into()]);
        ring.accept(0, 0, 0, 9);
        let accepted = next(&mut ring);
        assert_eq!((accepted.token, accepted.result), (9, 0));
        assert_eq!(ring.accepted_from(0), peer.local_addr().expect("connected"));
        ring.recv(0, 1);
        (ring, peer)
    }

    /// As when a worker is replaced: two rings, one after the other, at one listener.
    #[test]
    fn a_ring_that_is_gone_takes_no_newcomer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let shared = || OwnedFd::from(listener.try_clone().expect("a descriptor"));
        for _ in 0..50 {
            let mut first = tiny(vec![shared()]);
            first.accept(0, 0, 0, 1);
            first.enter(Wait::No).expect("a sound ring");
            drop(first);
            let mut second = tiny(vec![shared()]);
            second.accept(0, 0, 0, 2);
            second.enter(Wait::No).expect("a sound ring");
            let peer = TcpStream::connect(addr).expect("a listener");
            let deadline = Instant::now() + Duration::from_secs(30);
            let accepted = loop {
                match second.next() {
                    Some(completion) => break completion,
                    None => second.enter(Wait::AtMost(Duration::from_secs(5))).expect("sound"),
                }
                assert!(Instant::now() < deadline, "nobody came");
            };
            assert_eq!((accepted.token, accepted.result), (2, 0));
            drop(peer);
        }
    }

    #[test]
    fn nothing_is_lost_when_both_queues_overflow() {
        const COUNT: usize = 1_000;
        let mut ring = tiny(Vec::new());
        for token in 0..COUNT as u64 {
            // Fails at once: the slot is empty. So each push makes a completion.
            ring.close(3, token);
        }
        ring.enter(Wait::No).expect("a sound ring");
        let mut tokens: Vec<u64> = Vec::new();
        while tokens.len() < COUNT {
            let completion = next(&mut ring);
            assert_eq!(completion.result, -libc::EBADF);
            tokens.push(completion.token);
        }
        assert_eq!(tokens, (0..COUNT as u64).collect::<Vec<_>>());
        assert_eq!(ring.next(), None);
        assert!(ring.stats().flushes > 0, "the submission queue was full");
        assert!(ring.stats().overflows > 0, "the completion queue was full");
    }

    #[test]
    fn a_signal_does_not_disturb() {
        extern "C" fn ignore(_signal: libc::c_int) {}
        let handler = ignore as extern "C" fn(libc::c_int);
        // SAFETY: the handler does nothing; no other test uses the signal.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        let (entering, entered) = channel();
        let waiter = thread::spawn(move || {
            let mut ring = tiny(Vec::new());
            entering.send(()).expect("the test waits");
            let begun = Instant::now();
            // A deadline only: the signal ends the wait long before.
            ring.enter(Wait::AtMost(Duration::from_secs(60))).expect("no error");
            begun.elapsed()
        });
        entered.recv().expect("the thread runs");
        while !waiter.is_finished() {
            // SAFETY: the thread has not been joined.
            unsafe { libc::pthread_kill(waiter.as_pthread_t(), libc::SIGUSR1) };
            thread::yield_now();
        }
        assert!(waiter.join().expect("no panic") < Duration::from_secs(60));
    }

    #[test]
    fn a_receive_without_buffers_ends_and_loses_nothing() {
        use std::io::Write;
        let (mut ring, mut peer) = connected();
        peer.write_all(b"abcdefgh").expect("an open connection");
        let first = next(&mut ring);
        let buffer = first.buffer.expect("a buffer");
        assert_eq!(ring.buffer(buffer, 4), b"abcd");
        let starved = next(&mut ring);
        assert_eq!((starved.result, starved.more), (-libc::ENOBUFS, false));
        ring.recycle(buffer);
        ring.recv(0, 2);
        let second = next(&mut ring);
        assert_eq!((second.token, second.result), (2, 4));
        assert_eq!(ring.buffer(second.buffer.expect("a buffer"), 4), b"efgh");
    }

    #[test]
    fn a_cancelled_receive_has_one_last_completion_and_the_slot_is_free_again() {
        use std::io::Read;
        let (mut ring, mut peer) = connected();
        ring.cancel(1, 99);
        let last = next(&mut ring);
        assert_eq!((last.token, last.result, last.more), (1, -libc::ECANCELED, false));
        ring.abort(0, 99);
        ring.close(0, 3);
        let closed = next(&mut ring);
        assert_eq!((closed.token, closed.result), (3, 0));
        let reset = peer.read(&mut [0]).expect_err("reset, not closed");
        assert_eq!(reset.raw_os_error(), Some(libc::ECONNRESET));
    }

    #[test]
    fn memory_is_waited_for_and_nothing_else() {
        let failures = std::cell::Cell::new(0);
        let fail = |errno, times| {
            failures.set(failures.get() + 1);
            let error = io::Error::from_raw_os_error(errno);
            if failures.get() > times { Ok(()) } else { Err(error) }
        };
        patiently(|| fail(libc::ENOMEM, 2)).expect("there is memory in the end");
        assert_eq!(failures.replace(0), 3);
        patiently(|| fail(libc::EPERM, 2)).expect_err("it will never be permitted");
        assert_eq!(failures.get(), 1);
    }

    /// From ring to ring, the way connections are handed over.
    #[test]
    fn what_is_taken_out_goes_on_in_another_ring() {
        use std::io::{Read, Write};
        let (mut ring, mut peer) = connected();
        ring.cancel(1, 99);
        assert_eq!(next(&mut ring).token, 1);
        let taken = ring.take_out(&[0]).expect("Linux 6.8");
        assert!(ring.take_out(&[3]).is_err(), "nothing is there");
        drop(ring);
        peer.write_all(b"hi").expect("it is open");
        let mut other = Uring::new(Options { adopted: taken, ..tiny_options(Vec::new()) });
        let other = other.as_mut().expect("a ring");
        other.recv(0, 7);
        let received = next(other);
        assert_eq!((received.token, received.result), (7, 2));
        other.memory()[..2].copy_from_slice(b"ho");
        other.send(0, 0, 2, 8);
        other.enter(Wait::No).expect("a sound ring");
        let mut answer = [0; 2];
        peer.read_exact(&mut answer).expect("it is open");
        assert_eq!(&answer, b"ho");
    }

    #[test]
    fn the_bell_is_heard() {
        let mut ring = tiny(Vec::new());
        ring.hear(5);
        ring.enter(Wait::No).expect("a sound ring");
        assert_eq!(ring.next(), None);
        ring.bell.ring();
        assert_eq!(next(&mut ring).token, 5);
    }
}
