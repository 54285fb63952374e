//! A doorbell: how another thread wakes a worker that waits in its ring.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An eventfd (eventfd(2)). Rung any number of times, it is heard at least once afterwards.
#[derive(Debug)]
pub struct Doorbell {
    file: File,
}

impl Doorbell {
    /// A silent bell.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and belongs to nobody else.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { file: File::from(owned) })
    }

    /// Wakes whoever waits, or the next who would.
    pub fn ring(&self) {
        // Fails only when the count is at its end, and then it wakes as well.
        let _ = (&self.file).write(&1u64.to_ne_bytes());
    }

    /// Waits until it is rung, outside any ring.
    ///
    /// # Errors
    /// As read(2) on an eventfd.
    pub fn wait(&self) -> io::Result<()> {
        let mut count = [0; 8];
        (&self.file).read_exact(&mut count)
    }

    /// The descriptor, to be watched by a ring or a poller while the bell lives.
    #[must_use]
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
