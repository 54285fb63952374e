//! `chatd upgrade`: starts this program as the server that runs was started, and lets it take over
//! from that one.
//!
//! Only the new process and the old one know when clients pass from one to the other. What is done
//! here is to bring the two together, to tell the operator what came of it, and to end a new one
//! that hangs: it may hold clients' sockets, which would stay open behind the old one's back. So
//! the conversation, of which the child has the other copy, is kept until its outcome is known.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;

use crate::failure::{Failure, Kind};
use crate::handover::{self, Ask, Channel, DONE, Origin};
use crate::limits::{HANDOVER_ANSWER, UPGRADE_GRACE, UPGRADE_LOOK, UPGRADE_PATIENCE};

/// What is there for a service manager is what the old process had, not what this one has.
const SUPERVISION: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Puts this program in the place of the server that is process `pid`, and says so.
///
/// # Errors
/// Why it could not; then that server goes on.
pub fn run(pid: u32) -> Result<(), Failure> {
    let channel = Channel::connect(pid).map_err(|error| unreachable(pid, &error))?;
    let origin = ask(&channel, pid)?;
    let child = start(&origin, &channel).map_err(|error| {
        Failure::new(Kind::System, format_args!("the new process: {error}; process {pid} goes on"))
    })?;
    let told = outcome(child, channel, pid)?;
    // It is done, whoever reads this.
    let _ = writeln!(io::stdout(), "{told}");
    Ok(())
}

fn unreachable(pid: u32, error: &io::Error) -> Failure {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("process {pid} is no chatd that runs here and can be upgraded")
        }
        _ => format!("process {pid}: {error}"),
    };
    Failure::new(Kind::System, message)
}

/// How the server was started. What it says is done, so it has to be the one that was named, and to
/// have no other rights than we have.
fn ask(channel: &Channel, pid: u32) -> Result<Origin, Failure> {
    let failure = |reason: String| Failure::new(Kind::System, reason);
    channel.set_patience(UPGRADE_PATIENCE).map_err(|error| failure(error.to_string()))?;
    let peer = channel.peer().map_err(|error| failure(error.to_string()))?;
    if peer.pid != pid {
        return Err(failure(format!("process {} answers in the place of {pid}", peer.pid)));
    }
    if peer.uid != geteuid().as_raw() {
        let uid = peer.uid;
        return Err(failure(format!(
            "process {pid} was started by user {uid}: upgrade it as that"
        )));
    }
    let (origin, _) = channel
        .ask(Ask::Hello { version: handover::VERSION })
        .map_err(|reason| failure(format!("process {pid}: {reason}")))?;
    Ok(origin)
}

/// Starts this program in that way, with the conversation as its standard input.
fn start(origin: &Origin, channel: &Channel) -> io::Result<Child> {
    channel.set_patience(HANDOVER_ANSWER)?;
    raise_descriptor_limit(origin.descriptors);
    let mut command = Command::new(env::current_exe()?);
    let words = origin.arguments.iter().map(|word| OsStr::from_bytes(word));
    command.args(words).current_dir(OsStr::from_bytes(&origin.directory));
    SUPERVISION.iter().for_each(|key| _ = command.env_remove(key));
    // Nothing else that the other names: it may be somebody's by now.
    for (key, value) in &origin.environment {
        if SUPERVISION.contains(&key.as_str()) {
            command.env(key, OsStr::from_bytes(value));
        }
    }
    command.env(handover::ENVIRONMENT, "1");
    command.stdin(channel.as_fd().try_clone_to_owned()?).stdout(Stdio::piped()).spawn()
}

/// The clients need as many there as here. Where that is not permitted, the child may have enough.
fn raise_descriptor_limit(descriptors: u64) {
    let resource = Resource::RLIMIT_NOFILE;
    if getrlimit(resource).is_ok_and(|(_, limit)| limit < descriptors) {
        let _ = setrlimit(resource, descriptors, descriptors);
    }
}

/// Waits for what comes of it.
fn outcome(mut child: Child, channel: Channel, pid: u32) -> Result<String, Failure> {
    let failure = |error: io::Error| Failure::new(Kind::System, error);
    let report = match child.stdout.take() {
        Some(pipe) => report(pipe, &channel).map_err(failure)?,
        None => None,
    };
    if let Some([DONE, told @ ..]) = report.as_deref() {
        let told = String::from_utf8_lossy(told);
        return Ok(format!("process {} serves in the place of {pid}: {told}", child.id()));
    }
    // It will not take over: this is how the old process hears of it.
    drop(channel);
    let patience = if report.is_some() { UPGRADE_GRACE } else { Duration::ZERO };
    let status = end(&mut child, patience).map_err(failure)?;
    let report = report.unwrap_or_default();
    let told = match (status, String::from_utf8_lossy(&report)) {
        (None, _) => "the new process hung, and was killed".into(),
        (Some(status), told) if told.is_empty() => {
            format!("the new process ended without taking over: {status}")
        }
        (Some(_), told) => told.trim_end().to_owned(),
    };
    let code = status
        .and_then(|status| status.code().or_else(|| status.signal().map(|signal| 128 + signal)));
    // It did not take over: that is no success, whatever it ended with.
    let code = code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    let code = code.unwrap_or(Kind::Broken.number());
    Err(Failure::new(Kind::Successor(code), format_args!("{told}\nprocess {pid} goes on")))
}

/// What the child reports, to its end; `None` if that does not come. Once the old process has ended
/// the conversation, the outcome is certain, and a child that says nothing of it hangs.
fn report(mut pipe: ChildStdout, channel: &Channel) -> io::Result<Option<Vec<u8>>> {
    let mut report = Vec::new();
    let mut deadline = Instant::now() + UPGRADE_PATIENCE;
    let mut is_over = false;
    loop {
        let mut waited = [
            PollFd::new(pipe.as_fd(), PollFlags::POLLIN),
            // Its end is told unasked.
            PollFd::new(channel.as_fd(), PollFlags::empty()),
        ];
        let waited = if is_over { &mut waited[..1] } else { &mut waited[..] };
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(waited, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => continue,
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let told = waited[0].any() == Some(true);
        if told {
            let mut part = [0; 512];
            let len = pipe.read(&mut part)?;
            if len == 0 {
                return Ok(Some(report));
            }
            report.extend_from_slice(&part[..len]);
        } else {
            is_over = true;
            deadline = deadline.min(Instant::now() + UPGRADE_GRACE);
        }
    }
}

/// Waits for the end of the child; `None` if it had to be killed.
fn end(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(UPGRADE_LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
