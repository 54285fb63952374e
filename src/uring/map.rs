//! Memory of whole pages, zeroed, private to the process, given back when dropped.

use std::io;
use std::ptr::NonNull;

#[derive(Debug)]
pub(super) struct Map {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the map is owned memory without thread affinity; access goes through `&self`/`&mut self`.
unsafe impl Send for Map {}

impl Map {
    /// `len` bytes, rounded up to pages; a page costs nothing until it is touched.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous map at an address of the kernel's choice touches nothing that
        // exists.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a successful mmap is not null");
        Ok(Self { start, len })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The address of `range`'s start, checked to lie inside with its whole length.
    pub(super) fn at(&self, start: usize, len: usize) -> *mut u8 {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "outside the map");
        // SAFETY: `start` lies inside the map, as just checked.
        unsafe { self.start.as_ptr().add(start) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the map was made by `new` with this length, and nobody holds a reference into it:
        // references are borrowed from `self`. The owner drops the ring, and with it the kernel's
        // use of the memory, before this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
