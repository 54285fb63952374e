//! No file is opened any more, and no address bound or connected to: what is open stays open.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};

use super::Outcome;

/// What is asked for: files, connections and signals. Kernels that know less do less.
const NEWEST: ABI = ABI::V6;

/// A rule set without a rule (landlock(7)): it forbids all that it handles.
pub(super) fn forbid() -> Result<Outcome, String> {
    let words = |error: RulesetError| error.to_string();
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.restrict_self())
        .map_err(words)?;
    let lacking = match status.ruleset {
        RulesetStatus::NotEnforced => "this kernel has no Landlock",
        RulesetStatus::PartiallyEnforced => "this kernel's Landlock knows a part of it only",
        RulesetStatus::FullyEnforced => "",
    };
    if status.ruleset != RulesetStatus::NotEnforced {
        prove(status.ruleset == RulesetStatus::FullyEnforced)?;
    }
    Ok(if lacking.is_empty() { Outcome::Holds } else { Outcome::Lacking(lacking.into()) })
}

/// Files are forbidden since the first Landlock, addresses since Linux 6.7.
fn prove(addresses: bool) -> Result<(), String> {
    let refused = |error: Option<std::io::Error>| {
        error.is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    if !refused(File::open("/").err()) {
        return Err("a file can be opened again".into());
    }
    if addresses && !refused(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).err()) {
        return Err("an address can be bound again".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_forbidden_is_seen() {
        assert_eq!(prove(true), Err("a file can be opened again".into()));
    }
}
