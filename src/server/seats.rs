//! How many connections there are, in all and of one address.
//!
//! Owns the counts. Invariant: a seat that is dropped is free again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The seats of a server.
#[derive(Debug)]
pub(crate) struct Seats {
    in_all: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's seat.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    pub(crate) fn new(in_all: usize, per_address: usize) -> Self {
        Self { in_all, per_address, taken: Mutex::default() }
    }

    /// A seat for this address, unless there is none left.
    pub(crate) fn take(seats: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = whole(address);
        let mut taken = seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.in_all >= seats.in_all || of_address >= seats.per_address {
            return None;
        }
        taken.in_all += 1;
        metrics::gauge!("legator_http_connections").increment(1);
        taken.by_address.insert(address, of_address + 1);
        Some(Seat { seats: Arc::clone(seats), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        metrics::gauge!("legator_http_connections").decrement(1);
        let left = taken.by_address.get(&self.address).copied().unwrap_or(0).saturating_sub(1);
        match left {
            0 => taken.by_address.remove(&self.address),
            _ => taken.by_address.insert(self.address, left),
        };
    }
}

/// An IPv6 site has at least a /64 to itself: it counts as one.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(std::net::Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seats_are_counted_in_all_and_by_address_and_come_back() {
        let seats = Arc::new(Seats::new(3, 2));
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let first = Seats::take(&seats, one).unwrap();
        let _second = Seats::take(&seats, one).unwrap();
        assert!(Seats::take(&seats, one).is_none());
        let _third = Seats::take(&seats, "2001:db8::1".parse().unwrap()).unwrap();
        assert!(Seats::take(&seats, "10.0.0.2".parse().unwrap()).is_none());
        drop(first);
        assert!(Seats::take(&seats, one).is_some());
    }

    #[test]
    fn a_site_of_ipv6_is_one_address() {
        let seats = Arc::new(Seats::new(9, 1));
        let _first = Seats::take(&seats, "2001:db8::1".parse().unwrap()).unwrap();
        assert!(Seats::take(&seats, "2001:db8::2".parse().unwrap()).is_none());
        assert!(Seats::take(&seats, "2001:db8:0:1::2".parse().unwrap()).is_some());
    }
}
