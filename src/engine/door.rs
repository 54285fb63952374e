//! Who may come in: the bounds on clients in all and for each address, shared by all workers.
//!
//! An address is an IPv4 address, also where it comes mapped into IPv6, or the /64 that an IPv6
//! address is in, which is what one customer is given. Trusted networks only count in all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::bounds::Bounds;
use super::rate::Rate;
use crate::chat::CloseReason;
use crate::limits::ADDRESSES_MAX;
use crate::time::Time;

/// How many are looked at to find one that may be forgotten: an accept must not take long.
const FORGET_LOOKS: usize = 64;

/// The door.
#[derive(Debug)]
pub struct Door {
    clients_max: u32,
    trusted: Vec<IpNet>,
    bounds: Bounds,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    client_count: u32,
    visitors: HashMap<Address, Visitor>,
}

/// What counts as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Address {
    V4(u32),
    V6Network(u64),
}

#[derive(Debug, Default)]
struct Visitor {
    client_count: u32,
    rate: Rate,
}

impl Door {
    /// A door for `clients_max` clients in all.
    #[must_use]
    pub fn new(clients_max: u32, trusted: Vec<IpNet>, bounds: Bounds) -> Self {
        Self { clients_max, trusted, bounds, inside: Mutex::default() }
    }

    /// Whether clients from there are exempt from all that is counted for each address, and from
    /// the rate of lines.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted.iter().any(|network| network.contains(&ip))
    }

    /// One more connection. It counts, also when it has to be refused, until it leaves.
    ///
    /// # Errors
    /// Why it cannot stay.
    pub(super) fn enter(&self, ip: IpAddr, now: Time) -> Result<(), CloseReason> {
        let mut inside = self.inside();
        inside.client_count += 1;
        let full = inside.client_count > self.clients_max;
        let greeted =
            if self.trusts(ip) { Ok(()) } else { inside.visit(Address::of(ip), now, &self.bounds) };
        if full { Err(CloseReason::Full) } else { greeted }
    }

    /// A connection that entered long ago, elsewhere.
    pub(super) fn adopt(&self, ip: IpAddr) {
        let mut inside = self.inside();
        inside.client_count += 1;
        if !self.trusts(ip) {
            inside.visitor(Address::of(ip)).client_count += 1;
        }
    }

    /// A connection that entered is over.
    pub(super) fn leave(&self, ip: IpAddr) {
        let mut inside = self.inside();
        inside.client_count -= 1;
        if !self.trusts(ip)
            && let Some(visitor) = inside.visitors.get_mut(&Address::of(ip))
        {
            visitor.client_count = visitor.client_count.saturating_sub(1);
        }
    }

    /// A panic under the lock leaves counts that are off by one at most.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn visit(&mut self, address: Address, now: Time, bounds: &Bounds) -> Result<(), CloseReason> {
        let visitor = self.visitor(address);
        visitor.client_count += 1;
        let interval = bounds.address_interval();
        let allowed = visitor.rate.allowed(now, bounds.address_rate, interval) > 0;
        if allowed {
            visitor.rate.spend(1, now, interval);
        }
        match (allowed, visitor.client_count <= bounds.address_clients) {
            (false, _) => Err(CloseReason::AddressRate),
            (_, false) => Err(CloseReason::AddressFull),
            (true, true) => Ok(()),
        }
    }

    fn visitor(&mut self, address: Address) -> &mut Visitor {
        if self.visitors.len() >= ADDRESSES_MAX && !self.visitors.contains_key(&address) {
            self.forget_one();
        }
        match self.visitors.entry(address) {
            Entry::Occupied(visitor) => visitor.into_mut(),
            Entry::Vacant(place) => place.insert(Visitor::default()),
        }
    }

    /// Makes room: one without a connection is forgotten, or, where none is found soon, any.
    fn forget_one(&mut self) {
        let absent =
            self.visitors.iter().take(FORGET_LOOKS).find(|(_, visitor)| visitor.client_count == 0);
        let any = || self.visitors.keys().next();
        if let Some(address) = absent.map(|(address, _)| address).or_else(any).copied() {
            self.visitors.remove(&address);
        }
    }
}

impl Address {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6Network(network(ip)),
        }
    }
}

/// The upper 64 bits.
fn network(ip: Ipv6Addr) -> u64 {
    u64::try_from(ip.to_bits() >> 64).expect("64 bits are left")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{ADDRESS_CLIENTS, ADDRESS_RATE, ADDRESS_RATE_PERIOD};

    fn door() -> Door {
        Door::new(1_000_000, vec![loopback()], Bounds::default())
    }

    fn loopback() -> IpNet {
        "127.0.0.0/8".parse().expect("a network")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_is_bounded_in_number_and_in_rate() {
        let (door, now) = (door(), Time::default());
        for (one, same) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.2", "::ffff:10.0.0.2"),
            ("2001:db8::1", "2001:db8::ffff:ffff"),
        ] {
            for _ in 0..ADDRESS_CLIENTS {
                assert_eq!(door.enter(ip(one), now), Ok(()));
            }
            assert_eq!(door.enter(ip(same), now), Err(CloseReason::AddressFull));
            (0..=ADDRESS_CLIENTS).for_each(|_| door.leave(ip(one)));
            for _ in ADDRESS_CLIENTS + 1..ADDRESS_RATE {
                assert_eq!(door.enter(ip(same), now), Ok(()));
                door.leave(ip(same));
            }
            assert_eq!(door.enter(ip(one), now), Err(CloseReason::AddressRate));
            door.leave(ip(one));
            let later = now + ADDRESS_RATE_PERIOD / ADDRESS_RATE + Duration::from_millis(1);
            assert_eq!(door.enter(ip(one), later), Ok(()));
            door.leave(ip(one));
        }
        assert_eq!(door.enter(ip("2001:db8:0:1::1"), now), Ok(()), "another /64");
    }

    #[test]
    fn trusted_networks_count_only_in_all() {
        let door = Door::new(100, vec![loopback()], Bounds::default());
        for _ in 0..100 {
            assert_eq!(door.enter(ip("::ffff:127.0.0.1"), Time::default()), Ok(()));
        }
        let full = Err(CloseReason::Full);
        assert_eq!(door.enter(ip("127.0.0.2"), Time::default()), full);
        door.leave(ip("127.0.0.2"));
        door.leave(ip("127.0.0.1"));
        assert_eq!(door.enter(ip("127.0.0.3"), Time::default()), Ok(()));
    }

    #[test]
    fn the_table_does_not_grow_without_bound() {
        let (door, now) = (door(), Time::default());
        for network in 0..ADDRESSES_MAX as u128 + 1_000 {
            let visitor = IpAddr::V6(Ipv6Addr::from_bits(network << 64 | 1));
            assert_eq!(door.enter(visitor, now), Ok(()));
            door.leave(visitor);
        }
        assert_eq!(door.inside().visitors.len(), ADDRESSES_MAX);
        assert_eq!(door.inside().client_count, 0);
    }
}
