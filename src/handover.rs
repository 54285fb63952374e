//! The conversation between a server and the process that takes over from it: messages, and open
//! descriptors with them, over a local socket that keeps them apart (unix(7), SOCK_SEQPACKET).
//!
//! ```text
//! chatd upgrade            the server
//!     Hello      ──▶
//!                ◀──    Origin      how it was started; the same is started again, and goes on
//! the new process                   with the conversation
//!     Sockets    ──▶
//!                ◀──    Sockets     where it listens, and its standard streams
//!     HandOver   ──▶                all was opened and checked
//!                ◀──    the estate  its clients, who stand still from here on
//!     Ready      ──▶
//!                ◀──    Go
//!     Taken      ──▶                from here on they are the new one's
//! ```
//! Before `Taken` the new process touches no client. So whatever fails on either side until then
//! leaves the server as it was, and it goes on serving.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::{
    HANDOVER_ANSWER, HANDOVER_DESCRIPTORS, HANDOVER_LEN_MAX, HANDOVER_PACKET_LEN, HANDOVER_SPARE,
    HANDOVER_WORD_LEN,
};

/// What is handed over, and how. To be raised with every change that a program before it would
/// misunderstand; different versions do not hand over to each other.
pub const VERSION: u32 = 1;

/// In the environment of a process that is to take over; the conversation is its standard input,
/// and what came of it goes to its standard output.
pub const ENVIRONMENT: &str = "CHATD_HANDOVER";

/// First byte of what a process reports when it has taken over; the rest is for the operator. Every
/// other report says what went wrong.
pub const DONE: u8 = b'+';

/// Connections that may wait for the one that is heard.
const BACKLOG: i32 = 4;

/// First byte of a packet: the message goes on in the next one, or ends here.
const MORE: u8 = 1;
const LAST: u8 = 0;

/// What the new process, or the one that starts it, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// The first word.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// The listening sockets are wanted.
    Sockets,
    /// The clients are.
    HandOver,
    /// Everything is there to serve them.
    Ready {
        /// The process that will.
        pid: u32,
    },
    /// They are served.
    Taken,
}

/// An answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<T> {
    /// What was asked for.
    Given(T),
    /// Why not, in words for the operator.
    Refused(String),
}

/// How a server was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What stood behind its name on the command line.
    pub arguments: Vec<serde_bytes::ByteBuf>,
    /// Where.
    pub directory: serde_bytes::ByteBuf,
    /// What a service manager had put into its environment.
    pub environment: Vec<(String, serde_bytes::ByteBuf)>,
    /// Its limit of open files.
    pub descriptors: u64,
}

/// Where a server listens. The descriptors: its standard input, output and error, then the admin
/// endpoint's if there is one, then those of the places, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// The admin endpoint, as the operator wrote it.
    pub admin: Option<String>,
    /// Each place, as the operator wrote it, and how many sockets there are for it.
    pub places: Vec<(String, usize)>,
    /// How many clients there are just now.
    pub clients: u64,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The process that connected, or that listens.
    pub pid: u32,
    /// Its user at that moment.
    pub uid: u32,
}

/// Listens for those who want to take over from process `pid`. Nobody is waited for.
///
/// # Errors
/// When somebody listens under that name already.
pub fn listen(pid: u32) -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    rustix::net::bind(&socket, &name(pid)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Who is at the other end of a connection.
///
/// # Errors
/// When it is no local socket.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(&socket, sockopt::PeerCredentials)?;
    // Zero for a process that is not seen from here.
    let pid = u32::try_from(credentials.pid()).unwrap_or(0);
    Ok(Peer { pid, uid: credentials.uid() })
}

/// Makes room for so many descriptors, as far as the limit goes. Where they come one after the
/// other, the kernel enlarges their table again and again, and in a process of several threads it
/// waits each time until no processor looks at the old one: 10 ms and more (expand_fdtable, Linux
/// 6.x).
pub fn make_room(socket: impl AsFd, descriptors: u64) {
    let last = i32::try_from(descriptors.saturating_add(HANDOVER_SPARE)).unwrap_or(i32::MAX);
    // Above the limit there is nothing to be had; it is told where it matters.
    let _ = rustix::io::fcntl_dupfd_cloexec(socket, last);
}

/// The new process's end of the conversation, or that of the one that starts it: it waits.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Connects to process `pid`.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn connect(pid: u32) -> io::Result<Self> {
        let channel = Self(socket(SocketFlags::CLOEXEC)?);
        // Others may stand in the queue.
        channel.set_patience(HANDOVER_ANSWER)?;
        rustix::net::connect(&channel.0, &name(pid)?)?;
        Ok(channel)
    }

    /// Who listens there.
    ///
    /// # Errors
    /// When it is no local socket.
    pub fn peer(&self) -> io::Result<Peer> {
        peer(&self.0)
    }

    /// Waits so long for each packet, and for room for each.
    ///
    /// # Errors
    /// When it is no socket.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        Ok(set_socket_timeout(&self.0, Timeout::Send, Some(patience))?)
    }

    /// Says it.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn say(&self, ask: Ask) -> io::Result<()> {
        let message = encode(&ask)?;
        packets(&message, &[]).iter().try_for_each(|packet| packet.send(&self.0))
    }

    /// Asks for something, and waits for it.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<(T, Vec<OwnedFd>), String> {
        let answer = self.say(ask).and_then(|()| self.receive());
        let (answer, descriptors) = answer.map_err(|error| told(&error))?;
        Ok((given(answer)?, descriptors))
    }

    /// Says that all is ready as process `pid`, and waits for the word to go. With no other calls
    /// than a server makes anyway: it is confined by then.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn wait_for_go(&self, pid: u32) -> Result<(), String> {
        let answer = self
            .say(Ask::Ready { pid })
            .and_then(|()| heard(&self.0)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        given(answer.map_err(|error| told(&error))?)
    }

    fn receive<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        let (mut message, mut descriptors) = (Vec::new(), Vec::new());
        while receive_packet(&self.0, &mut message, &mut descriptors)? {
            if message.len() > HANDOVER_LEN_MAX {
                return Err(io::Error::other("more is handed over than may be"));
            }
        }
        Ok((decode(&message)?, descriptors))
    }
}

fn given<T>(answer: Answer<T>) -> Result<T, String> {
    match answer {
        Answer::Given(answer) => Ok(answer),
        Answer::Refused(reason) => Err(reason),
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => {
            "the server has ended the conversation; its log says why".into()
        }
        io::ErrorKind::WouldBlock => "the server does not answer".into(),
        _ => error.to_string(),
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A part of a message that goes in one piece.
#[derive(Debug)]
pub struct Packet<'a> {
    mark: u8,
    bytes: &'a [u8],
    descriptors: &'a [BorrowedFd<'a>],
}

impl Packet<'_> {
    /// Sends it.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn send(&self, socket: impl AsFd) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); ANCILLARY_LEN];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !self.descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(self.descriptors));
        }
        let parts = [IoSlice::new(std::slice::from_ref(&self.mark)), IoSlice::new(self.bytes)];
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&socket, &parts, &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }
}

const ANCILLARY_LEN: usize = rustix::cmsg_space!(ScmRights(HANDOVER_DESCRIPTORS));

/// The packets of a message.
#[must_use]
pub fn packets<'a>(message: &'a [u8], descriptors: &'a [BorrowedFd<'a>]) -> Vec<Packet<'a>> {
    let mut bytes = message.chunks(HANDOVER_PACKET_LEN);
    let mut descriptors = descriptors.chunks(HANDOVER_DESCRIPTORS);
    let mut packets = Vec::new();
    loop {
        let (bytes, descriptors) = (bytes.next(), descriptors.next());
        if bytes.is_none() && descriptors.is_none() && !packets.is_empty() {
            break;
        }
        let (bytes, descriptors) = (bytes.unwrap_or_default(), descriptors.unwrap_or_default());
        packets.push(Packet { mark: MORE, bytes, descriptors });
    }
    if let Some(last) = packets.last_mut() {
        last.mark = LAST;
    }
    packets
}

/// A message as bytes.
///
/// # Errors
/// When it is longer than may be.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let message = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    if message.len() > HANDOVER_LEN_MAX {
        return Err(io::Error::other("too much is to be handed over"));
    }
    Ok(message)
}

fn decode<T: DeserializeOwned>(message: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(message)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// What the other end says in a few words; `None` when it says nothing more. Descriptors are not
/// taken from it.
///
/// # Errors
/// As recv(2), and when it is no word of this conversation.
pub fn heard<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<T>> {
    let mut packet = [0; HANDOVER_WORD_LEN];
    let received =
        rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut packet, RecvFlags::empty()));
    let (_, len) = received?;
    match packet[..len.min(packet.len())].split_first() {
        None => Ok(None),
        Some((_, message)) => decode(message).map(Some),
    }
}

/// Appends what the next packet holds. Whether the message goes on.
fn receive_packet(
    socket: &OwnedFd,
    message: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<bool> {
    let mut space = [MaybeUninit::uninit(); ANCILLARY_LEN];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut mark = [0];
    let start = message.len();
    message.resize(start + HANDOVER_PACKET_LEN, 0);
    let received = rustix::io::retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut mark), IoSliceMut::new(&mut message[start..])];
        rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(part) = part {
            descriptors.extend(part);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("the limit of open files is too low for what is handed over"));
    }
    message.truncate(start + received.bytes - mark.len());
    Ok(mark == [MORE])
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// A name that needs no file, and nobody can take away.
fn name(pid: u32) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new_abstract_name(format!("chatd-{pid}").as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn pair() -> (Channel, OwnedFd) {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("two descriptors");
        (Channel(one), other)
    }

    #[test]
    fn messages_and_descriptors_arrive_whole_and_in_order() {
        let file = File::open("/dev/null").expect("a device");
        let other = File::open("/dev/zero").expect("a device");
        for (len, count) in [
            (0, 0),
            (1, 1),
            (10, HANDOVER_DESCRIPTORS + 1),
            (3 * HANDOVER_PACKET_LEN, 2),
            (HANDOVER_PACKET_LEN + 1, 2 * HANDOVER_DESCRIPTORS),
        ] {
            let (channel, socket) = pair();
            let text: String = ('a'..='z').cycle().take(len).collect();
            let mut descriptors = vec![file.as_fd(); count];
            if let Some(last) = descriptors.last_mut() {
                *last = other.as_fd();
            }
            let message = encode(&Answer::Given(&text)).expect("it is short");
            let packets = packets(&message, &descriptors);
            // The sender must not wait for the receiver here.
            let received = std::thread::scope(|scope| {
                scope.spawn(|| packets.iter().for_each(|p| p.send(&socket).expect("it is sent")));
                channel.ask::<String>(Ask::Sockets)
            });
            let (received, taken) = received.expect("it arrives");
            assert_eq!(received, text);
            assert_eq!(taken.len(), count);
            assert_eq!(heard(&socket).expect("it was asked"), Some(Ask::Sockets));
            let mut zeros = [1];
            if let Some(last) = taken.into_iter().last() {
                io::Read::read(&mut File::from(last), &mut zeros).expect("it can be read");
                assert_eq!(zeros, [0], "the last is the last");
            }
        }
    }

    #[test]
    fn refusals_and_ends_are_words() {
        let (channel, socket) = pair();
        let message = encode(&Answer::<()>::Refused("not now".into())).expect("it is short");
        packets(&message, &[])[0].send(&socket).expect("it is sent");
        assert_eq!(channel.ask::<()>(Ask::Sockets).map(|_| ()), Err("not now".into()));
        drop(socket);
        let told = channel.ask::<()>(Ask::HandOver).map(|_| ());
        assert_eq!(told, Err("the server has ended the conversation; its log says why".into()));
    }

    #[test]
    fn what_is_no_word_is_refused() {
        let (channel, socket) = pair();
        assert_eq!(rustix::net::send(&channel.0, b"\0nonsense", SendFlags::empty()), Ok(9));
        assert!(heard::<Ask>(&socket).is_err());
        assert_eq!(rustix::net::send(&channel.0, &[0; 1_000], SendFlags::empty()), Ok(1_000));
        assert!(heard::<Ask>(&socket).is_err());
        channel.say(Ask::Ready { pid: u32::MAX }).expect("it is sent");
        assert_eq!(heard(&socket).expect("a word"), Some(Ask::Ready { pid: u32::MAX }));
        drop(channel);
        assert_eq!(heard::<Ask>(&socket).expect("the end"), None);
    }

    #[test]
    fn a_name_is_taken_once() {
        let pid = std::process::id();
        // Under its own name this process may listen in another test.
        let named = u32::MAX - pid;
        let listener = listen(named).expect("nobody has it");
        assert!(listen(named).is_err());
        let channel = Channel::connect(named).expect("it listens");
        let expected = Peer { pid, uid: nix::unistd::geteuid().as_raw() };
        assert_eq!(peer(&channel.0).expect("a local socket"), expected);
        assert_eq!(
            peer(rustix::net::accept(&listener).expect("it connected")).expect("likewise"),
            expected
        );
    }
}
