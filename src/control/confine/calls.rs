//! The system calls that a serving chatd makes. All others fail with EPERM, as if there were no
//! permission; the process goes on.

use std::os::unix::net::UnixDatagram;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::Outcome;

/// Why each is there. Found by tracing a server from its start to its end (`strace -f`), and then
/// thought through for the C library's other ways; the tests run with it.
const ALLOWED: &[libc::c_long] = &[
    // The rings, and what wakes a worker. A worker that failed is replaced: a ring, a thread and
    // its listeners' descriptors are made anew.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_register,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_fcntl,
    libc::SYS_io_uring_enter,
    libc::SYS_write,
    // The runtime of the control plane, and the admin endpoint's connections.
    libc::SYS_epoll_ctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_accept4,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_writev,
    libc::SYS_shutdown,
    // An upgrade: sockets are given away with this.
    libc::SYS_sendmsg,
    libc::SYS_close,
    // Locks, clocks, pauses, keys of hash tables.
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // The first steps of a thread, which may come late, a signal's handler, and the ends of
    // threads and process.
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Memory may be mapped and protected, but never to be run.
const ALLOWED_UNLESS_EXECUTABLE: &[libc::c_long] = &[libc::SYS_mmap, libc::SYS_mprotect];
/// A thread gives itself its name with it.
const ALLOWED_TO_NAME: libc::c_long = libc::SYS_prctl;
/// Who wants to take over is asked of the kernel with it.
const ALLOWED_FOR_PEER: libc::c_long = libc::SYS_getsockopt;

/// Forbids everything else to all threads.
pub(super) fn forbid() -> Result<Outcome, String> {
    let filter = filter().map_err(|error| error.to_string())?;
    apply_filter_all_threads(&filter).map_err(|error| error.to_string())?;
    prove()?;
    Ok(Outcome::Holds)
}

/// Tries a call that serving never makes.
fn prove() -> Result<(), String> {
    match UnixDatagram::pair() {
        Ok(_) => Err("a forbidden call is carried out".into()),
        Err(_) => Ok(()),
    }
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let is = |argument, operator, value: i32| {
        let value = u64::from(value.unsigned_abs());
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    };
    let exec = u64::from(libc::PROT_EXEC.unsigned_abs());
    let not_executable = SeccompRule::new(vec![is(2, SeccompCmpOp::MaskedEq(exec), 0)?])?;
    let set_name = SeccompRule::new(vec![is(0, SeccompCmpOp::Eq, libc::PR_SET_NAME)?])?;
    let of_peer = SeccompRule::new(vec![
        is(1, SeccompCmpOp::Eq, libc::SOL_SOCKET)?,
        is(2, SeccompCmpOp::Eq, libc::SO_PEERCRED)?,
    ])?;
    let plain = ALLOWED.iter().map(|call| (*call, Vec::new()));
    let mapping =
        ALLOWED_UNLESS_EXECUTABLE.iter().map(|call| (*call, vec![not_executable.clone()]));
    let special = [(ALLOWED_TO_NAME, vec![set_name]), (ALLOWED_FOR_PEER, vec![of_peer])];
    let rules = plain.chain(mapping).chain(special).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_forbidden_is_seen() {
        assert_eq!(prove(), Err("a forbidden call is carried out".into()));
    }

    #[test]
    fn the_list_makes_a_filter() {
        assert!(filter().is_ok());
    }
}
