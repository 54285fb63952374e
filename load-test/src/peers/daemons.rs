//! Programs of others, each with a configuration of its own: on loopback at a free port, without
//! files, logs or lookups, with limits that no load reaches. The file is gone as soon as the
//! program listens, so that nothing is left behind, however this process ends.

use super::peer::Peer;
use crate::limits::{PEER_PORTS, PEER_QUEUE_BYTES};
use crate::options::run_id;
use crate::server::Server;
use crate::{Failure, failed};
use rustix::process::geteuid;
use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user and group `nobody` of Debian: none of these programs needs to be root, and some refuse.
const NOBODY: u32 = 65_534;

impl Peer {
    /// Starts it as nobody, if we are root.
    pub(super) fn start_daemon(
        self,
        program: &Path,
        clients: u32,
        cpus: &[usize],
    ) -> Result<Server, Failure> {
        let folder = Folder::new()?;
        let addr = free_addr()?;
        let file = folder.write(&self.configuration(addr.port(), clients, &folder.0))?;
        let mut command = Command::new(program);
        let before = match self {
            Self::Ngircd => &["-n", "-f"][..],
            Self::Inspircd => &["--nofork", "--nolog", "--nopid", "--config"],
            Self::Nats | Self::Mosquitto => &["-c"],
            _ => &[],
        };
        command.args(before).arg(file);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Server::start_at(command, addr, cpus)
    }

    fn configuration(self, port: u16, clients: u32, folder: &Path) -> String {
        let folder = folder.display();
        // Each has a few connections besides its clients.
        let connections = clients.saturating_add(64);
        let queue = PEER_QUEUE_BYTES;
        match self {
            Self::Ngircd => format!(
                "[Global]\nName = irc.load-test.invalid\nInfo = load-test\nListen = 127.0.0.1\n\
                 Ports = {port}\nMotdPhrase = load-test\n\
                 [Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxPenaltyTime = 0\n\
                 MaxJoins = 0\nMaxNickLength = 9\nPingTimeout = 3600\nPongTimeout = 3600\n\
                 [Options]\nDNS = no\nIdent = no\nPAM = no\nIncludeDir = {folder}\n"
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
                 <path datadir=\"{folder}\" logdir=\"{folder}\" runtimedir=\"{folder}\">\n"
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

/// A folder of its own for one program; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let name = format!("load-test-{}-{:x}", std::process::id(), run_id(1));
        let path = std::env::temp_dir().join(name);
        let made = std::fs::create_dir(&path);
        made.map_err(|error| failed(&path.display().to_string(), &error))?;
        let folder = Self(path);
        folder.open_to_all(&folder.0, 0o755)?;
        Ok(folder)
    }

    fn write(&self, text: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join("settings");
        let written = std::fs::write(&path, text);
        written.map_err(|error| failed(&path.display().to_string(), &error))?;
        self.open_to_all(&path, 0o644)?;
        Ok(path)
    }

    /// Whatever our umask is, nobody must be able to read it.
    fn open_to_all(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        let set = std::fs::set_permissions(path, Permissions::from_mode(mode));
        set.map_err(|error| failed(&self.0.display().to_string(), &error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left then lies where temporary files do.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_leaves_nothing_behind() {
        let folder = Folder::new().expect("a writable directory");
        let file = folder.write("text").expect("it is ours");
        assert!(file.is_file());
        let path = folder.0.clone();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_free_port_can_be_listened_at() {
        let addr = free_addr().expect("one of thousands");
        assert!(PEER_PORTS.contains(&addr.port()));
    }
}
