//! What a ring may do: the operations of `ring`, and nothing else.
//!
//! A filter of system calls does not see the operations of a ring (seccomp(2) judges
//! io_uring_enter as a whole), so the ring has a list of its own (IORING_REGISTER_RESTRICTIONS,
//! io_uring_register(2), Linux 5.10). It cannot be taken back.

use std::io;

use io_uring::register::Restriction;
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};

/// The operations that `check` asks the kernel for, with the names of io_uring_enter(2).
pub(super) const NEEDED: [(u8, &str); 7] = [
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::Read::CODE, "READ"),
];
/// `abort` is one more: URING_CMD with SETSOCKOPT, which older kernels answer with an error.
const ABORT: u8 = opcode::SetSockOpt::CODE;

/// `take_out` is another, which Linux has since 6.8: a server on an older kernel cannot hand its
/// connections over.
const INSTALL: u8 = opcode::FixedFdInstall::CODE;

/// Flags of entries: links, drains and other threads' work are never asked for.
const FLAGS: squeue::Flags = squeue::Flags::BUFFER_SELECT
    .union(squeue::Flags::SKIP_SUCCESS)
    .union(squeue::Flags::FIXED_FILE);

/// Restricts a ring that was made disabled (IORING_SETUP_R_DISABLED). What it needs registered was
/// registered before: no registration is on the list.
pub(super) fn restrict(ring: &IoUring) -> io::Result<()> {
    let install = can_take_out(ring).then_some(INSTALL);
    let operations = NEEDED.iter().map(|(code, _)| *code).chain([ABORT]).chain(install);
    let mut allowed: Vec<_> = operations.map(Restriction::sqe_op).collect();
    allowed.push(Restriction::sqe_flags_allowed(FLAGS.bits()));
    ring.submitter().register_restrictions(&mut allowed)
}

/// Whether this kernel makes a descriptor of what stands in a slot. An operation it does not know
/// cannot be on the list.
pub(super) fn can_take_out(ring: &IoUring) -> bool {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).is_ok() && probe.is_supported(INSTALL)
}

/// Tries an operation that is not on the list: the harmless one.
pub(super) fn prove(ring: &mut IoUring) -> io::Result<()> {
    let nop = opcode::Nop::new().build();
    // SAFETY: the entry points to nothing.
    unsafe { ring.submission().push(&nop) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    match ring.completion().next().as_ref().map(cqueue::Entry::result) {
        Some(result) if result == -libc::EACCES => Ok(()),
        _ => Err(io::Error::other("the ring does what it was forbidden to do")),
    }
}
