//! What is sent and what must come back: pure, and the same for the same parameters and seed; only
//! reading options from a file is not. A scenario is a list of groups of clients, each with its
//! rooms, senders and rate.
//!
//! Client `j` of a group is in its room `j % rooms`, unless rooms are skewed; its first `senders`
//! clients are the senders, who take turns. Line `i` is due at `i / rate` after the start, or with
//! its burst, whatever happened to those before it.

mod arguments;
mod file;
mod plan;
mod presets;
mod rate;
mod sizes;
mod skew;

pub(crate) use arguments::ScenarioArguments;
pub(crate) use plan::{Conduct, Due, Line, Movers, Plan, Sender};
pub(crate) use presets::list;
pub use rate::Rate;
pub use sizes::Sizes;
pub use skew::Skew;

use crate::Failure;
use crate::clock::duration_ns;
use crate::limits::{BURST_MAX, CONNECT_TIMEOUT, GRACE, MOVES_MAX, THREADS_MAX};
use crate::options::duration_text;
use crate::protocol::Protocol;
use crate::wire::SENDERS_MAX;
use rate::Timetable;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::time::Duration;

/// A load: who connects, who talks, for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scenario {
    /// Clients of one kind each. At most one group may stay in the lobby.
    pub groups: Vec<Group>,
    /// Lines due in this time at the start are sent and audited but not measured.
    pub warmup: Duration,
    /// The measured time.
    pub duration: Duration,
    /// How long to wait after the last line for what is under way.
    pub grace: Duration,
    /// How clients connect.
    pub connect: Connect,
    /// Threads that connect and receive.
    pub threads: usize,
    /// What the target speaks.
    pub protocol: Protocol,
    /// The same seed gives the same instants, sizes and rooms.
    pub seed: u64,
    /// Tells the lines of this run from those of others on the same server.
    pub run: u32,
}

/// Clients of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What reports call it.
    pub name: String,
    /// How many connect.
    pub clients: u32,
    /// Rooms they are spread over; 0: they stay in the lobby.
    pub rooms: u32,
    /// Whether rooms are alike.
    pub skew: Skew,
    /// How many of them talk.
    pub senders: u32,
    /// Lines a second of all senders together.
    pub rate: Rate,
    /// Bytes of a line's text, without its end.
    pub size: Sizes,
    /// Lines that are due at one instant, one from each of so many senders in turn; the next ones
    /// so much later that the rate holds.
    pub burst: u32,
    /// Lines, or bursts, fall anywhere in their interval (seeded) rather than at its start.
    pub jitter: bool,
    /// Clients that leave their room each second; each comes back. Half of those who neither talk
    /// nor read slowly do so in turn, the last of them; all others stay.
    pub churn: u32,
    /// How many read slowly: the last ones of the group, never a sender.
    pub slow: u32,
    /// Bytes a second each of them reads; 0: none at all.
    pub slow_rate: u32,
}

/// How clients connect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connect {
    /// Connects a second; 0: as fast as possible.
    pub rate: u32,
    /// Connections begun and not yet welcome.
    pub in_flight: u32,
    /// Until the last client is welcome.
    pub timeout: Duration,
    /// The local address to connect from; the system's choice if none.
    pub source: Option<Ipv4Addr>,
}

impl Default for Scenario {
    /// 1,000 clients in one room, one line of 100 bytes from each of 10 of them a second, for 5 s.
    fn default() -> Self {
        Self {
            groups: vec![Group::default()],
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            grace: GRACE,
            connect: Connect { rate: 0, in_flight: 128, timeout: CONNECT_TIMEOUT, source: None },
            threads: 1,
            protocol: Protocol::Telnet,
            seed: 1,
            run: 1,
        }
    }
}

impl Default for Group {
    fn default() -> Self {
        Self {
            name: "all".into(),
            clients: 1000,
            rooms: 1,
            skew: Skew::Uniform,
            senders: 10,
            rate: Rate::default(),
            size: 100.into(),
            burst: 1,
            jitter: false,
            churn: 0,
            slow: 0,
            slow_rate: 0,
        }
    }
}

impl Scenario {
    /// Refuses what cannot work or would not fit, before anything is started for it.
    pub fn check(&self) -> Result<(), Failure> {
        Plan::new(self.clone()).map(|_| ())
    }

    /// Of all groups.
    pub(crate) fn client_count(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.clients)).sum()
    }

    /// What can be seen without numbering.
    fn check_parts(&self) -> Result<(), String> {
        need(!self.groups.is_empty(), "no clients: at least one group")?;
        for (index, group) in self.groups.iter().enumerate() {
            group.check().map_err(|why| self.in_group(index, &why))?;
        }
        if !(1..=THREADS_MAX).contains(&self.threads) {
            return Err(format!("--threads must be 1 to {THREADS_MAX}"));
        }
        need(self.connect.in_flight > 0, "--connections-in-flight must be at least 1")?;
        need(!self.connect.timeout.is_zero(), "--connect-timeout must be more than nothing")?;
        let total = duration_ns(self.warmup).saturating_add(duration_ns(self.duration));
        let day = duration_ns(Duration::from_secs(86_400));
        let total = total.saturating_add(duration_ns(self.grace));
        need(total <= day, "--warmup, --duration and --grace: a day at most in all")?;
        let in_lobby = self.groups.iter().filter(|group| group.rooms == 0).count();
        need(in_lobby <= 1, "only one group can stay in the lobby: --rooms 1 for the others")?;
        let one_room = self.groups.len() == 1 && self.groups[0].rooms <= 1;
        if !one_room && !self.protocol.has_rooms() {
            return Err(format!("{} has one room: --rooms 1", self.protocol.name()));
        }
        let text_len_max = self.protocol.text_len_max();
        if self.groups.iter().any(|group| group.size.bounds().1 > text_len_max) {
            let name = self.protocol.name();
            return Err(format!("--size: {name} takes at most {text_len_max} bytes"));
        }
        Ok(())
    }

    /// Says of which group something is said, if there are several.
    fn in_group(&self, index: usize, what: &str) -> String {
        match &self.groups[..] {
            [_] => what.into(),
            groups => format!("group {}: {what}", groups[index].name),
        }
    }
}

impl Group {
    /// Refuses what cannot work, naming the option to change.
    fn check(&self) -> Result<(), String> {
        let Self { clients, rooms, senders, slow, .. } = self;
        need(*clients > 0, "--clients must be at least 1")?;
        if rooms > clients {
            return Err(format!(
                "{rooms} rooms for {clients} clients: fewer --rooms or more --clients"
            ));
        }
        if senders.saturating_add(*slow) > *clients {
            let slow = if *slow > 0 { format!(" and {slow} slow readers") } else { String::new() };
            return Err(format!(
                "{senders} senders{slow} of {clients} clients: fewer --senders or more --clients"
            ));
        }
        need(*senders <= SENDERS_MAX, &format!("--senders must be at most {SENDERS_MAX}"))?;
        need(self.slow_rate == 0 || *slow > 0, "--slow-rate without --slow readers")?;
        need(self.churn == 0 || *rooms > 0, "--churn needs --rooms to leave")?;
        let movers = (clients - senders - slow) / 2;
        let still = self.churn == 0;
        let needed = "--churn needs two clients or more that neither talk nor read slowly";
        need(still || movers > 0, needed)?;
        let churn_max = movers.saturating_mul(MOVES_MAX);
        if self.churn > churn_max {
            return Err(format!(
                "--churn {} is more than the {movers} clients that take part can do: {churn_max} \
                 at most, or more --clients",
                self.churn
            ));
        }
        if !(1..=BURST_MAX).contains(&self.burst) {
            return Err(format!("--burst must be 1 to {BURST_MAX}"));
        }
        let uniform = self.skew == Skew::Uniform;
        need(uniform || *rooms > 1, "--room-skew needs at least --rooms 2")?;
        self.size.check()?;
        if *senders > 0 { self.rate.check() } else { Ok(()) }
    }

    /// Refuses a time that is too short for a line.
    fn timetable(&self, warmup: Duration, duration: Duration) -> Result<Timetable, String> {
        if self.senders == 0 {
            return Ok(Timetable::silent());
        }
        if let Some(lasts) = self.rate.lasts().filter(|lasts| *lasts != duration) {
            return Err(format!(
                "the steps of --rate last {}, --duration says {}: leave one out",
                duration_text(lasts),
                duration_text(duration)
            ));
        }
        Timetable::new(&self.rate, self.burst, self.jitter, (warmup, duration))
    }
}

fn need(right: bool, what: &str) -> Result<(), String> {
    if right { Ok(()) } else { Err(what.into()) }
}

/// A number that looks random, from a seed and an index (splitmix64).
pub(crate) fn mix(seed: u64, index: u64) -> u64 {
    let state = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
