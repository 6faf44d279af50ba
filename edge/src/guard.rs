//! How many connections may be open before they have proven a key: by address and in all.
//!
//! Owns the counts. Invariant: a count goes down exactly once for each time it went up, whatever ends the connection.

use crate::Settings;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) struct Guard {
    per_address: usize,
    on_loopback: usize,
    in_all: usize,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// The right to be unproven; given back when dropped.
pub(crate) struct Lease {
    guard: Arc<Guard>,
    address: IpAddr,
}

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            per_address: settings.unproven_per_address,
            on_loopback: settings.unproven_on_loopback,
            in_all: settings.unproven_in_all,
            open: Mutex::new((0, HashMap::new())),
        }
    }

    /// One more of this address, unless there are too many.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Lease> {
        let address = shared_by(address);
        let limit = if address.is_loopback() { self.on_loopback } else { self.per_address };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = open.1.get(&address).copied().unwrap_or(0);
        if open.0 >= self.in_all || of_address >= limit {
            return None;
        }
        open.0 += 1;
        open.1.insert(address, of_address + 1);
        Some(Lease { guard: Arc::clone(self), address })
    }

    fn leave(&self, address: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 = open.0.saturating_sub(1);
        match open.1.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.1.remove(&address)),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.guard.leave(self.address);
    }
}

/// An IPv6 subscriber has a whole /64: its addresses count as one.
fn shared_by(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if !six.is_loopback() => {
            let net = u128::from(six) & !u128::from(u64::MAX);
            IpAddr::V6(net.into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn guard(per_address: usize, in_all: usize) -> Arc<Guard> {
        let limits = Settings {
            unproven_per_address: per_address,
            unproven_on_loopback: 3,
            unproven_in_all: in_all,
            ..Settings::default()
        };
        Arc::new(Guard::new(&limits))
    }

    #[test]
    fn an_address_has_its_limit_and_gets_its_places_back() {
        let guard = guard(2, 100);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let first = guard.enter(address).unwrap();
        let _second = guard.enter(address).unwrap();
        assert!(guard.enter(address).is_none());
        assert!(guard.enter("192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(guard.enter(address).is_some());
    }

    #[test]
    fn neighbours_in_one_ipv6_net_share_their_limit_and_all_share_one() {
        let guard = guard(1, 2);
        let _one = guard.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(guard.enter("2001:db8::2".parse().unwrap()).is_none());
        let _two = guard.enter("2001:db8:0:1::2".parse().unwrap()).unwrap();
        assert!(guard.enter("192.0.2.1".parse().unwrap()).is_none(), "the limit over all");
    }
}
