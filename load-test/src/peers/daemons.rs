//! Programs of others, each with a configuration of its own: on loopback at a free port, without
//! files, logs or lookups, with limits that no load reaches. It reads it from a file without a
//! name, so that nothing is left behind, however this process ends.

use super::peer::Peer;
use crate::limits::{PEER_PORTS, PEER_QUEUE_BYTES};
use crate::options::run_id;
use crate::server::Server;
use crate::{Failure, failed};
use rustix::process::geteuid;
use std::fs::{File, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The user and group `nobody` of Debian: none of these programs needs to be root, and some refuse.
const NOBODY: u32 = 65_534;
/// Where to look for more files, and to put some: there is no such folder.
const NOWHERE: &str = "/nonexistent";

impl Peer {
    /// Starts it as nobody, if we are root.
    pub(super) fn start_daemon(
        self,
        program: &Path,
        clients: u32,
        cpus: &[usize],
    ) -> Result<Server, Failure> {
        let addr = free_addr()?;
        let file = nameless_file(&self.configuration(addr.port(), clients))?;
        let mut command = Command::new(program);
        let before = match self {
            Self::Ngircd => &["-n", "-f"][..],
            Self::Inspircd => &["--nofork", "--nolog", "--nopid", "--config"],
            Self::Nats | Self::Mosquitto => &["-c"],
            _ => &[],
        };
        command.args(before).arg("/dev/stdin").stdin(file);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Server::start_at(command, addr, cpus)
    }

    fn configuration(self, port: u16, clients: u32) -> String {
        // Each has a few connections besides its clients.
        let connections = clients.saturating_add(64);
        let queue = PEER_QUEUE_BYTES;
        match self {
            Self::Ngircd => format!(
                "[Global]\nName = irc.load-test.invalid\nInfo = load-test\nListen = 127.0.0.1\n\
                 Ports = {port}\nMotdPhrase = load-test\n\
                 [Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxPenaltyTime = 0\n\
                 MaxJoins = 0\nMaxNickLength = 9\nPingTimeout = 3600\nPongTimeout = 3600\n\
                 [Options]\nDNS = no\nIdent = no\nPAM = no\nIncludeDir = {NOWHERE}\n"
            ),
            Self::Inspircd => format!(
                "<server name=\"irc.load-test.invalid\" description=\"load-test\" \
                 network=\"load-test\" id=\"1AA\">\n\
                 <admin name=\"load-test\" nick=\"load-test\" email=\"load-test@invalid\">\n\
                 <bind address=\"127.0.0.1\" port=\"{port}\" type=\"clients\">\n\
                 <connect allow=\"*\" timeout=\"3600\" pingfreq=\"3600\" limit=\"{connections}\" \
                 localmax=\"{connections}\" globalmax=\"{connections}\" maxconnwarn=\"off\" \
                 resolvehostnames=\"no\" useident=\"no\" hardsendq=\"{queue}\" \
                 softsendq=\"{queue}\" recvq=\"1048576\" threshold=\"1000000\" \
                 commandrate=\"1000000000\" fakelag=\"no\" maxchans=\"20\">\n\
                 <performance somaxconn=\"4096\" softlimit=\"{connections}\" \
                 clonesonconnect=\"no\" netbuffersize=\"65534\" quietbursts=\"yes\">\n\
                 <path datadir=\"{NOWHERE}\" logdir=\"{NOWHERE}\" runtimedir=\"{NOWHERE}\">\n"
            ),
            Self::Nats => format!(
                "listen: 127.0.0.1:{port}\nmax_connections: {connections}\n\
                 max_pending: {queue}\nwrite_deadline: \"1h\"\nping_interval: \"1h\"\n"
            ),
            Self::Redis => format!(
                "bind 127.0.0.1\nport {port}\ntcp-backlog 4096\nmaxclients {connections}\n\
                 client-output-buffer-limit pubsub 0 0 0\nsave \"\"\nappendonly no\n"
            ),
            Self::Mosquitto => format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nmax_connections -1\n\
                 max_queued_messages 0\nmax_queued_bytes 0\nset_tcp_nodelay true\n\
                 persistence false\nsys_interval 0\nlog_dest stderr\nlog_type error\n\
                 connection_messages false\n"
            ),
            Self::Chatd | Self::Rid | Self::P2p | Self::Floor => String::new(),
        }
    }
}

/// A port that nobody listens at, below those that Linux gives to connections: one of these might
/// be taken before the program listens.
fn free_addr() -> Result<SocketAddr, Failure> {
    let (first, count) = (PEER_PORTS.start, PEER_PORTS.end - PEER_PORTS.start);
    let begin = u16::try_from(run_id(0) % u32::from(count)).expect("below a u16");
    let ports = (0..count).map(|step| first + (begin + step) % count);
    let mut addrs = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let free = addrs.find(|addr| TcpListener::bind(addr).is_ok());
    free.ok_or_else(|| Failure::Run(format!("no port of {PEER_PORTS:?} is free")))
}

/// A file that goes with its last reader. One who opens `/dev/stdin` reads it from the start.
fn nameless_file(text: &str) -> Result<File, Failure> {
    let name = format!("load-test-{}-{:x}", std::process::id(), run_id(1));
    let path = std::env::temp_dir().join(name);
    let write = || {
        let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        // Whatever our umask is, nobody must be able to read it.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    write().map_err(|error: std::io::Error| failed(&path.display().to_string(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_what_has_no_name() {
        let mut cat = Command::new("cat");
        cat.arg("/dev/stdin").stdin(nameless_file("text").expect("a writable directory"));
        assert_eq!(cat.output().expect("it is everywhere").stdout, b"text");
    }

    #[test]
    fn a_free_port_can_be_listened_at() {
        let addr = free_addr().expect("one of thousands");
        assert!(PEER_PORTS.contains(&addr.port()));
    }
}
