//! Small calls to the kernel that neither std nor socket2 offer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The errno of a completion's negative result; `None` for a count.
#[must_use]
pub fn errno(result: i32) -> Option<i32> {
    (result < 0).then_some(-result)
}

/// Raises the soft limit of open descriptors to the hard one (getrlimit(2)) and returns it.
///
/// # Errors
/// When the kernel refuses.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid, initialised value.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_max)
}

/// Where the kernel writes a peer's address: room for any family, and its length.
#[repr(C)]
pub(super) struct AddressSlot {
    pub(super) storage: libc::sockaddr_storage,
    pub(super) len: libc::socklen_t,
}

impl AddressSlot {
    pub(super) fn empty() -> Self {
        // SAFETY: `sockaddr_storage` is plain bytes; all zeros is a valid value (family AF_UNSPEC).
        let storage = unsafe { std::mem::zeroed() };
        Self { storage, len: Self::STORAGE_LEN }
    }

    #[expect(clippy::cast_possible_truncation, reason = "128 bytes")]
    pub(super) const STORAGE_LEN: libc::socklen_t = size_of::<libc::sockaddr_storage>() as _;

    /// The address in it; `0.0.0.0:0` for a family that is not IP.
    pub(super) fn address(&self) -> SocketAddr {
        let storage = &raw const self.storage;
        match libc::c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that an IPv4 address stands there; storage is large and
                // aligned enough for it.
                let v4 = unsafe { *storage.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port))
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for IPv6.
                let v6 = unsafe { *storage.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                SocketAddr::new(IpAddr::V6(ip), u16::from_be(v6.sin6_port))
            }
            _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        }
    }
}
