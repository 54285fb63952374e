//! Who is compared: what each speaks, where its program is found, and how it likes to be connected
//! to.

use crate::Failure;
use crate::protocol::Protocol;
use crate::scenario::Scenario;
use crate::server::{Server, locate, version, version_by};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// A server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// chatd, telnet dialect
    Chatd,
    /// chatd, rid dialect
    Rid,
    /// chatd, p2p dialect
    P2p,
    /// The least any server on io_uring has to do
    Floor,
    /// ngIRCd
    Ngircd,
    /// InspIRCd
    Inspircd,
    /// NATS
    Nats,
    /// Redis pub/sub
    Redis,
    /// Mosquitto (MQTT)
    Mosquitto,
}

impl Peer {
    /// Those that run if none is named.
    pub(super) const USUAL: [Self; 7] = [
        Self::Chatd,
        Self::Floor,
        Self::Ngircd,
        Self::Inspircd,
        Self::Nats,
        Self::Redis,
        Self::Mosquitto,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chatd => "chatd",
            Self::Rid => "chatd, rid",
            Self::P2p => "chatd, p2p",
            Self::Floor => "floor",
            Self::Ngircd => "ngIRCd",
            Self::Inspircd => "InspIRCd",
            Self::Nats => "NATS",
            Self::Redis => "Redis",
            Self::Mosquitto => "Mosquitto",
        }
    }

    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Chatd => Protocol::Telnet,
            Self::Rid => Protocol::Rid,
            Self::P2p => Protocol::P2p,
            Self::Floor => Protocol::Floor,
            Self::Ngircd | Self::Inspircd => Protocol::Irc,
            Self::Nats => Protocol::Nats,
            Self::Redis => Protocol::Redis,
            Self::Mosquitto => Protocol::Mqtt,
        }
    }

    /// The Debian package it is in, if it is none of ours. Its program has the same name.
    pub(super) fn package(self) -> Option<&'static str> {
        match self {
            Self::Chatd | Self::Rid | Self::P2p | Self::Floor => None,
            Self::Ngircd => Some("ngircd"),
            Self::Inspircd => Some("inspircd"),
            Self::Nats => Some("nats-server"),
            Self::Redis => Some("redis-server"),
            Self::Mosquitto => Some("mosquitto"),
        }
    }

    /// How many connections it takes at once. ngIRCd's listener holds 10 that it has not accepted,
    /// and the kernel lets others wait for seconds. InspIRCd ends registrations once a second, so
    /// the fewer at once, the longer all take.
    pub(super) fn connections_in_flight(self) -> u32 {
        match self {
            Self::Ngircd => 8,
            Self::Inspircd => 1000,
            _ => Scenario::default().connect.in_flight,
        }
    }

    /// Its program; in the administrator's directories too, which are not on everyone's path.
    pub(super) fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        let package = self.package()?;
        let mut places = std::env::split_paths(&path).chain(more).map(|place| place.join(package));
        places.find(|program| program.is_file())
    }

    pub(super) fn version(self, program: Option<&Path>) -> Option<String> {
        match (self, program) {
            (Self::Mosquitto, Some(program)) => version_by(program, "-h"),
            (_, Some(program)) => version(program),
            (Self::Floor, None) => None,
            (_, None) => version(&locate("chatd").ok()?),
        }
    }

    /// Starts it on loopback.
    pub(super) fn start(
        self,
        program: Option<&Path>,
        clients: u32,
        workers: u32,
        cpus: &[usize],
    ) -> Result<Server, Failure> {
        match program {
            Some(program) => self.start_daemon(program, clients, cpus),
            None if self == Self::Floor => Server::start(&locate("floor")?, &["127.0.0.1:0"], cpus),
            None => Server::start_chatd(&locate("chatd")?, self.protocol(), workers, &[], cpus),
        }
    }
}
