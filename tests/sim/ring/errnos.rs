//! What each operation may fail with: accept(2), recv(2), send(2), poll(2), close(2),
//! io_uring_enter(2), and tcp(7) for what a broken connection leaves behind.

/// Errors by operation. Never empty.
#[derive(Debug)]
pub(crate) struct Errnos {
    /// The connection was accepted and is gone.
    pub(crate) accept_gone: &'static [i32],
    /// Nothing was accepted.
    pub(crate) accept_failed: &'static [i32],
    /// Nothing was received, and the connection lives.
    pub(crate) recv_failed: &'static [i32],
    /// The connection is gone.
    pub(crate) recv_gone: &'static [i32],
    /// Nothing was sent for want of memory, and the connection lives.
    pub(crate) send_failed: &'static [i32],
    /// The connection is gone.
    pub(crate) send_gone: &'static [i32],
    pub(crate) poll: &'static [i32],
    /// The slot is empty all the same.
    pub(crate) close: &'static [i32],
    pub(crate) cancel: &'static [i32],
}

/// The usual ones: those of the first seeds.
pub(crate) const FEW: Errnos = Errnos {
    accept_gone: &[libc::ECONNABORTED],
    accept_failed: &[libc::EINTR, libc::EMFILE, libc::ENFILE],
    recv_failed: &[libc::EINTR],
    recv_gone: &[libc::ECONNRESET, libc::ETIMEDOUT],
    send_failed: &[libc::ENOBUFS, libc::ENOMEM],
    send_gone: &[libc::ECONNRESET, libc::EPIPE, libc::ETIMEDOUT],
    poll: &[libc::ECANCELED],
    close: &[libc::EINTR],
    cancel: &[libc::ENOENT],
};

/// All that the kernel can return for a sound request.
pub(crate) const ALL: Errnos = Errnos {
    accept_gone: &[
        libc::ECONNABORTED,
        libc::EPROTO,
        libc::EPERM,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
    ],
    accept_failed: &[
        libc::EINTR,
        libc::EAGAIN,
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EIO,
        libc::ETIMEDOUT,
    ],
    recv_failed: &[libc::EINTR, libc::EAGAIN, libc::ENOMEM, libc::ENOBUFS, libc::ECANCELED],
    recv_gone: GONE,
    send_failed: &[libc::ENOBUFS, libc::ENOMEM, libc::EINTR],
    send_gone: GONE,
    poll: &[libc::ECANCELED, libc::ENOMEM, libc::EINTR],
    close: &[libc::EINTR, libc::EIO, libc::ENOSPC, libc::EDQUOT],
    cancel: &[libc::ENOENT, libc::EALREADY],
};

const GONE: &[i32] = &[
    libc::ECONNRESET,
    libc::EPIPE,
    libc::ETIMEDOUT,
    libc::ECONNABORTED,
    libc::ECONNREFUSED,
    libc::EHOSTUNREACH,
    libc::EHOSTDOWN,
    libc::ENETUNREACH,
    libc::ENETDOWN,
    libc::ENOTCONN,
    libc::EPERM,
    libc::EACCES,
    libc::EIO,
];
