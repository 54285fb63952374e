//! What the process gives up once it has what it needs, so that whoever takes it over through a
//! fault gains little: root and its privileges, files and new connections (Landlock), and every
//! system call that serving does not make (seccomp). The rings have lists of their own, see
//! `uring`.
//!
//! None of it can be taken back, each part can be left out (`--unconfined`), and each is tried:
//! what was given up and is still there keeps the server from starting. A kernel that lacks a part
//! is told in the log.

use std::ffi::CString;
use std::fmt;

use nix::unistd::{Uid, User, initgroups, setgid, setuid};
use tracing::{info, warn};

use crate::config::{Config, Confinement};
use crate::failure::{Failure, Kind};

mod calls;
mod files;

/// A part that was asked for, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It does, and was tried.
    Holds,
    /// This kernel cannot, or not all of it.
    Lacking(String),
    /// The operator left it out.
    LeftOut,
}

/// What came of the parts that threads take over from the one that starts them.
#[derive(Debug)]
pub(super) struct Confined {
    privileges: Outcome,
    files: Outcome,
}

impl Confined {
    /// Gives up privileges, then files. Comes after everything was opened, and before any thread
    /// was started: a thread keeps what the one that starts it had. `without_privileges` is tried
    /// in between, while files can still be read.
    pub(super) fn new(
        config: &Config,
        without_privileges: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        become_user(config.user.as_deref())?;
        let Confinement { privileges, files, .. } = config.confinement;
        let privileges = part("privileges", privileges, drop_privileges)?;
        without_privileges()?;
        Ok(Self { privileges, files: part("files", files, files::forbid)? })
    }

    /// Tells the operator. `config` has what is done elsewhere.
    pub(super) fn tell(&self, config: &Confinement) {
        tell("privileges", &self.privileges);
        tell("files", &self.files);
        tell("ring", if config.ring { &Outcome::Holds } else { &Outcome::LeftOut });
        if Uid::effective().is_root() {
            warn!("runs as root: give it a user with --user, or start it as one");
        }
    }
}

/// Forbids all system calls but those that serving makes, to all threads. Comes when all of them
/// have been started.
pub(super) fn confine_calls(config: &Confinement) -> Result<(), Failure> {
    tell("calls", &part("calls", config.calls, calls::forbid)?);
    Ok(())
}

fn part<E: fmt::Display>(
    name: &str,
    wanted: bool,
    confine: impl FnOnce() -> Result<Outcome, E>,
) -> Result<Outcome, Failure> {
    if !wanted {
        return Ok(Outcome::LeftOut);
    }
    confine().map_err(|error| {
        let message = format!("confining {name}: {error} (--unconfined {name} leaves it out)");
        Failure::new(Kind::System, message)
    })
}

fn tell(part: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Holds => info!(part, "confined"),
        Outcome::Lacking(what) => warn!(part, what, "not confined"),
        Outcome::LeftOut => warn!(part, "not confined, as asked for"),
    }
}

/// From root to the user that the operator named, and its groups.
fn become_user(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    let failure = |what: &dyn fmt::Display| {
        Failure::new(Kind::System, format_args!("becoming the user {name}: {what}"))
    };
    let user = User::from_name(name).map_err(|error| failure(&error))?;
    let user = user.ok_or_else(|| failure(&"there is no such user"))?;
    if user.uid == Uid::effective() && !user.uid.is_root() {
        return Ok(());
    }
    let c_name = CString::new(name).map_err(|error| failure(&error))?;
    initgroups(&c_name, user.gid)
        .map_err(|error| failure(&format_args!("{error}: only root can")))?;
    setgid(user.gid).map_err(|error| failure(&error))?;
    setuid(user.uid).map_err(|error| failure(&error))?;
    if !user.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(failure(&"root can be had again"));
    }
    Ok(())
}

/// No capability is left, nor can one be had again: not even by starting another program.
fn drop_privileges() -> Result<Outcome, caps::errors::CapsError> {
    use caps::{CapSet, Capability};
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        caps::clear(None, CapSet::Bounding)?;
    }
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Inheritable, CapSet::Permitted] {
        caps::clear(None, set)?;
    }
    if caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN).is_ok() {
        return Err("a privilege can be had again".into());
    }
    Ok(Outcome::Holds)
}
