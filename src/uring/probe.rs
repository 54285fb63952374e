//! Whether this kernel, as it lets us, can carry the server: tried, not guessed from its version.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use io_uring::{IoUring, Probe};

use super::restriction::{self, NEEDED};
use super::{Doorbell, Options, Ring, Uring, Wait, ring};

/// Why the server cannot run here, in words for the operator.
#[derive(Debug)]
pub struct Unavailable {
    cause: String,
    way_out: &'static str,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring is not available: {}. {}", self.cause, self.way_out)
    }
}

impl std::error::Error for Unavailable {}

const NEWER_KERNEL: &str = "chatd needs Linux 6.1 or later";
const SYSCTL: &str = "Allow it with: sysctl kernel.io_uring_disabled=0 \
     (1 allows it to root and to kernel.io_uring_group)";
const SECCOMP: &str = "Likely a seccomp filter, as containers have by default: \
     allow io_uring_setup, io_uring_enter and io_uring_register in its profile";
const REPORT: &str = "This is not expected: please report it with the version of the kernel";

/// Makes a small ring and tries on it what the server relies on.
///
/// # Errors
/// What is missing, with the likely cause and the way out.
pub fn check() -> Result<(), Unavailable> {
    let ring = ring::build(8, 64, false).map_err(|error| setup_failed(&error))?;
    operations(&ring)?;
    if !ring.params().is_feature_nodrop() || !ring.params().is_feature_skip_cqe_on_success() {
        return Err(too_old("it may lose completions"));
    }
    drop(ring);
    send_mode().map_err(|error| later_call_failed(&error))
}

/// Whether connections can be taken out of a ring (`Uring::take_out`).
#[must_use]
pub fn can_take_out() -> bool {
    ring::build(8, 64, false).is_ok_and(|ring| restriction::can_take_out(&ring))
}

/// A ring could be made, but not used.
fn later_call_failed(error: &io::Error) -> Unavailable {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Unavailable {
            cause: "io_uring_enter or io_uring_register is not permitted".into(),
            way_out: SECCOMP,
        },
        _ => Unavailable { cause: error.to_string(), way_out: REPORT },
    }
}

fn setup_failed(error: &io::Error) -> Unavailable {
    let sysctl = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let disabled = matches!(sysctl.trim(), "1" | "2");
    match error.raw_os_error() {
        Some(libc::EPERM) if disabled => Unavailable {
            cause: format!("the sysctl kernel.io_uring_disabled is {}", sysctl.trim()),
            way_out: SYSCTL,
        },
        Some(libc::EPERM | libc::EACCES) => {
            Unavailable { cause: "io_uring_setup is not permitted".into(), way_out: SECCOMP }
        }
        Some(libc::ENOSYS) => Unavailable {
            cause: "this kernel, or a filter in front of it, does not have io_uring_setup".into(),
            way_out: SECCOMP,
        },
        Some(libc::EINVAL) => too_old("it does not know DEFER_TASKRUN"),
        _ => Unavailable { cause: format!("io_uring_setup: {error}"), way_out: REPORT },
    }
}

fn too_old(what: &str) -> Unavailable {
    Unavailable { cause: format!("this kernel is too old: {what}"), way_out: NEWER_KERNEL }
}

fn operations(ring: &IoUring) -> Result<(), Unavailable> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| later_call_failed(&error))?;
    match NEEDED.into_iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(too_old(&format!("it has no {name}"))),
        None => Ok(()),
    }
}

/// Fills a socket through the fan-out mode: sends that fit must post nothing, the one that fits in
/// part must tell its count, the next must be refused; and what was counted must be what arrives.
fn send_mode() -> io::Result<()> {
    const CHUNK_LEN: u32 = 100_000;
    let (ours, mut theirs) = UnixStream::pair()?;
    let mut ring = small_ring(CHUNK_LEN as usize)?;
    let fds = [ours.as_raw_fd()];
    ring.register(&fds)?;
    let mut sent: u64 = 0;
    let mut refused = false;
    // A socket pair holds a few hundred kilobytes (net.core.wmem_default); the bound only keeps a
    // kernel that swallows everything from looping for ever.
    for token in 0..10_000 {
        ring.send(0, 0, CHUNK_LEN, token);
        ring.enter(Wait::No)?;
        match ring.next() {
            None => sent += u64::from(CHUNK_LEN),
            Some(part) if part.result >= 0 => sent += u64::from(part.result.unsigned_abs()),
            Some(full) if full.result == -libc::EAGAIN => {
                refused = true;
                break;
            }
            Some(other) => return Err(io::Error::from_raw_os_error(-other.result)),
        }
    }
    drop(ring);
    drop(ours);
    let arrived = io::copy(&mut theirs, &mut io::sink())?;
    if !refused || arrived != sent {
        return Err(io::Error::other(format!(
            "a send that does not wait counted {sent} bytes and {arrived} arrived"
        )));
    }
    Ok(())
}

fn small_ring(memory_len: usize) -> io::Result<Uring> {
    Uring::new(Options {
        submissions: 8,
        completions: 64,
        slots: 1,
        lanes: 0,
        recv_buffers: 1,
        recv_buffer_len: 64,
        memory_len,
        adopted: Vec::new(),
        listeners: Vec::<OwnedFd>::new(),
        bell: Arc::new(Doorbell::new()?),
        // Files are registered below.
        restricted: false,
    })
}

impl Uring {
    /// Puts open files into the first slots, for the self-test.
    fn register(&self, fds: &[i32]) -> io::Result<()> {
        self.submitter().register_files_update(0, fds).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_will_do() {
        check().expect("the tests need io_uring");
    }

    #[test]
    fn each_refusal_names_its_way_out() {
        for (errno, words) in
            [(libc::ENOSYS, "seccomp"), (libc::EINVAL, "Linux 6.1"), (libc::ENOMEM, "report")]
        {
            let told = setup_failed(&io::Error::from_raw_os_error(errno)).to_string();
            assert!(told.contains(words), "{told}");
        }
    }
}
