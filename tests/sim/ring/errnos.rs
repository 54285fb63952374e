//! What each operation may fail with: accept(2), recv(2), send(2), poll(2), close(2),
//! io_uring_enter(2), eventfd(2), socket(7), and tcp(7) for what a broken connection leaves behind.

use crate::sights::Op;

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
    /// It came too late.
    pub(crate) cancel: &'static [i32],
    /// The other end is not reset.
    pub(crate) abort: &'static [i32],
    /// The bell is as rung as before.
    pub(crate) bell: &'static [i32],
}

impl Errnos {
    /// All pairs.
    pub(crate) fn table(&self) -> impl Iterator<Item = (Op, i32)> {
        let rows = [
            (Op::Accept, self.accept_gone),
            (Op::Accept, self.accept_failed),
            (Op::Recv, self.recv_failed),
            (Op::Recv, self.recv_gone),
            (Op::Send, self.send_failed),
            (Op::Send, self.send_gone),
            (Op::Poll, self.poll),
            (Op::Close, self.close),
            (Op::Cancel, self.cancel),
            (Op::Abort, self.abort),
            (Op::Bell, self.bell),
        ];
        rows.into_iter().flat_map(|(op, errnos)| errnos.iter().map(move |errno| (op, *errno)))
    }
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
    abort: &[libc::ENOMEM],
    bell: &[libc::EINTR],
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
    abort: &[libc::ENOMEM, libc::EACCES, libc::EPERM],
    bell: &[libc::EINTR, libc::EAGAIN, libc::ENOMEM, libc::ECANCELED],
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
