//! The server that a command drives: one that runs already, or one that is started for it.

use crate::limits::{WORKER_DESCRIPTORS_SPARE, WORKERS_MAX};
use crate::protocol::Protocol;
use crate::server::{Server, Watch, locate, pin, version};
use crate::{Failure, usage};
use clap::Args;
use rustix::process::{Resource, getrlimit};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Which server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The server")]
pub(crate) struct TargetArguments {
    /// Use the server that listens there rather than starting one
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_addr)]
    #[arg(conflicts_with_all = ["server", "workers", "pin_server"])]
    target: Option<SocketAddr>,
    /// With --target: whose CPU time and memory to report
    #[arg(long, value_name = "PID", requires = "target")]
    server_pid: Option<u32>,
    /// The chatd to start; otherwise the one beside this program, built if need be
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Workers of the server it starts
    #[arg(long, default_value_t = 1, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=WORKERS_MAX))]
    workers: u32,
    /// The core of the server it starts
    #[arg(long, value_name = "CPU")]
    pin_server: Option<usize>,
    /// The cores of this process
    #[arg(long, value_name = "CPU,..", value_delimiter = ',')]
    pin: Vec<usize>,
}

/// A server that listens.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// Where it can be looked at.
    pub(crate) watch: Option<Watch>,
    /// It is stopped when dropped.
    server: Option<Server>,
}

impl TargetArguments {
    /// Starts the server if need be, then binds this process to its cores.
    pub(crate) fn open(&self, protocol: Protocol) -> Result<Target, Failure> {
        let target = match self.target {
            Some(addr) => {
                let watch = self.server_pid.map(watch).transpose()?;
                Target { addr, watch, server: None }
            }
            None => self.start(protocol)?,
        };
        pin(&self.pin)?;
        Ok(target)
    }

    /// Refuses more clients than a chatd that is to be started can have descriptors for.
    pub(crate) fn check(&self, clients: u64) -> Result<(), Failure> {
        let each = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let most = each.saturating_mul(self.workers.into());
        if self.target.is_some() || clients <= most {
            return Ok(());
        }
        Err(self.too_few_descriptors(clients))
    }

    /// Why a run of so many went wrong, if most likely because the chatd that was started for it
    /// had no descriptor left.
    pub(crate) fn lack(&self, clients: u64) -> Option<Failure> {
        let each = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let each = each.saturating_sub(WORKER_DESCRIPTORS_SPARE);
        let lacks = self.target.is_none() && clients > each.saturating_mul(self.workers.into());
        lacks.then(|| self.too_few_descriptors(clients))
    }

    fn too_few_descriptors(&self, clients: u64) -> Failure {
        let each = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let (workers, most) = (self.workers, each.saturating_mul(self.workers.into()));
        let needed = clients.div_ceil(each.saturating_sub(WORKER_DESCRIPTORS_SPARE).max(1));
        let possible = i64::try_from(needed).is_ok_and(|needed| needed <= WORKERS_MAX);
        let more = if possible { format!("--workers {needed}, ") } else { String::new() };
        usage(format!(
            "{clients} clients, and a chatd with --workers {workers} has descriptors for fewer \
             than {most}: {more}a higher limit (ulimit -n), or fewer --clients"
        ))
    }

    fn start(&self, protocol: Protocol) -> Result<Target, Failure> {
        if !protocol.is_chatd() {
            let name = protocol.name();
            return Err(usage(format!(
                "chatd does not speak {name}: name a server that does with --target HOST:PORT"
            )));
        }
        let program = self.program()?;
        let cpus = self.pin_server.as_slice();
        let server = Server::start_chatd(&program, protocol, self.workers, &[], cpus)?;
        let watch = Watch::new(server.pid())?.with_version(version(&program));
        Ok(Target { addr: server.addr(), watch: Some(watch), server: Some(server) })
    }

    fn program(&self) -> Result<PathBuf, Failure> {
        let Some(program) = &self.server else { return locate("chatd") };
        if program.is_file() {
            return Ok(program.clone());
        }
        Err(usage(format!("--server {}: there is no such file", program.display())))
    }
}

impl Target {
    /// Stops the server, if it was started; one that does not leave as it should is an error.
    pub(crate) fn close(self) -> Result<(), Failure> {
        self.server.map_or(Ok(()), Server::stop)
    }
}

pub(crate) fn watch(pid: u32) -> Result<Watch, Failure> {
    Watch::new(pid).map_err(|why| usage(format!("--server-pid {pid}: {why}")))
}

/// An address, or a name that is looked up, with a port.
pub(crate) fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    let host = text.trim_start_matches('[').trim_end_matches(']');
    if host.parse::<IpAddr>().is_ok() || !text.contains(':') {
        return Err("it has no port: write it as HOST:PORT, such as 127.0.0.1:2626".into());
    }
    let addrs = text.to_socket_addrs().map_err(|error| format!("it cannot be looked up: {error}"));
    match addrs?.next() {
        Some(addr) if addr.port() > 0 => Ok(addr),
        Some(_) => Err("nothing can listen at port 0".into()),
        None => Err("the name has no address".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_host_and_a_port() {
        let rows = [
            ("127.0.0.1:2626", "127.0.0.1:2626"),
            ("[::1]:80", "[::1]:80"),
            ("127.0.0.1", "it has no port"),
            ("[::1]", "it has no port"),
            ("::1", "it has no port"),
            ("localhost", "it has no port"),
            ("", "it has no port"),
            ("127.0.0.1:0", "nothing can listen at port 0"),
            ("127.0.0.1:70000", "it cannot be looked up: "),
            ("127.0.0.1:", "it cannot be looked up: "),
        ];
        for (text, told) in rows {
            let read = parse_addr(text).map_or_else(|why| why, |addr| addr.to_string());
            assert!(read.starts_with(told), "{text}: {read}");
        }
        let local = parse_addr("localhost:7").map(|addr| addr.ip().is_loopback());
        assert_eq!(local, Ok(true), "a name is looked up");
    }
}
