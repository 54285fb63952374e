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

    /// Gives the pages that lie in the `len` bytes from `start` on back to the system: they cost
    /// nothing until they are touched again, and read as zeros then (MADV_DONTNEED, madvise(2)).
    pub(super) fn clear(&mut self, start: usize, len: usize) {
        self.at(start, len);
        let page = page_len();
        let first = start.next_multiple_of(page);
        let pages_len = ((start + len) / page * page).saturating_sub(first);
        if pages_len == 0 {
            return;
        }
        let pages = self.at(first, pages_len).cast();
        // SAFETY: the pages lie inside the map, as just checked, and nobody holds a reference into
        // it: references are borrowed from `self`.
        unsafe { libc::madvise(pages, pages_len, libc::MADV_DONTNEED) };
        // It is only advice: memory that is locked stays as it is.
    }
}

fn page_len() -> usize {
    // SAFETY: it reads a constant of the process.
    let len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(len).expect("a page has a size")
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the map was made by `new` with this length, and nobody holds a reference into it:
        // references are borrowed from `self`. The owner drops the ring, and with it the kernel's
        // use of the memory, before this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cleared_is_whole_pages_and_nothing_beside() {
        let page = page_len();
        let mut map = Map::new(4 * page).expect("memory");
        // SAFETY: the whole map, which nobody else uses.
        let bytes =
            |map: &mut Map| unsafe { std::slice::from_raw_parts_mut(map.as_ptr(), 4 * page) };
        let mut zeros_after = |start, len| -> Vec<usize> {
            bytes(&mut map).fill(1);
            map.clear(start, len);
            (0..4 * page).filter(|place| bytes(&mut map)[*place] == 0).collect()
        };
        assert_eq!(zeros_after(page, 2 * page), Vec::from_iter(page..3 * page));
        assert_eq!(zeros_after(page - 1, page + 1), Vec::from_iter(page..2 * page));
        assert_eq!(zeros_after(page + 1, 2 * page - 2), [0; 0]);
    }

    #[test]
    #[should_panic(expected = "outside the map")]
    fn nothing_outside_is_cleared() {
        let page = page_len();
        Map::new(page).expect("memory").clear(0, 2 * page);
    }
}
