//! Connections whose peer is not identified yet: how many there may be, and how much work they may cause in a turn.

use crate::limits::{HANDSHAKE_BUDGET_COUNT, HANDSHAKE_BUDGET_PER_ADDRESS};
use crate::reactor::Token;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Invariant: `by_age`, `ages` and the sum of `per_address` speak of the same connections.
pub(super) struct HalfOpen {
    count_max: usize,
    per_address_max: usize,
    next_age: u64,
    by_age: BTreeMap<u64, (Token, IpAddr)>,
    ages: HashMap<Token, u64>,
    per_address: HashMap<IpAddr, usize>,
    steps: HashMap<IpAddr, usize>,
    step_count: usize,
}

impl HalfOpen {
    pub(super) fn new(count_max: usize, per_address_max: usize) -> HalfOpen {
        HalfOpen {
            count_max,
            per_address_max,
            next_age: 0,
            by_age: BTreeMap::new(),
            ages: HashMap::new(),
            per_address: HashMap::new(),
            steps: HashMap::new(),
            step_count: 0,
        }
    }

    /// Adds a newcomer. Gives the oldest that has to go for it, of the same address when that is what is full.
    pub(super) fn insert(&mut self, token: Token, address: IpAddr) -> Option<Token> {
        let address = address.to_canonical();
        let evicted = if self.per_address.get(&address).is_some_and(|&count| count >= self.per_address_max) {
            self.by_age.values().find(|(_, other)| *other == address).map(|(token, _)| *token)
        } else if self.by_age.len() >= self.count_max {
            self.by_age.first_key_value().map(|(_, (token, _))| *token)
        } else {
            None
        };
        if let Some(evicted) = evicted {
            self.remove(evicted);
        }
        self.by_age.insert(self.next_age, (token, address));
        self.ages.insert(token, self.next_age);
        *self.per_address.entry(address).or_default() += 1;
        self.next_age += 1;
        evicted
    }

    /// Forgets one that is identified or gone.
    pub(super) fn remove(&mut self, token: Token) {
        let Some(age) = self.ages.remove(&token) else { return };
        let Some((_, address)) = self.by_age.remove(&age) else { return };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }

    /// Spends one handshake step of the turn's budget; whether there was one left for this address.
    pub(super) fn try_step(&mut self, address: IpAddr) -> bool {
        let is_alone = self.per_address.len() <= 1;
        let steps = self.steps.entry(address.to_canonical()).or_default();
        let is_greedy = !is_alone && *steps >= HANDSHAKE_BUDGET_PER_ADDRESS;
        if self.step_count >= HANDSHAKE_BUDGET_COUNT || is_greedy {
            return false;
        }
        *steps += 1;
        self.step_count += 1;
        true
    }

    /// A new turn begins: the budget is whole again.
    pub(super) fn renew_budget(&mut self) {
        if self.step_count > 0 || !self.steps.is_empty() {
            self.steps.clear();
            self.step_count = 0;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn ip(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
    }

    fn token(number: usize) -> Token {
        Token::for_tests(number)
    }

    #[test]
    fn the_oldest_goes_when_all_places_are_taken() {
        let mut half_open = HalfOpen::new(3, 3);
        for number in 0..3 {
            assert_eq!(half_open.insert(token(number), ip(number as u8)), None);
        }
        assert_eq!(half_open.insert(token(3), ip(9)), Some(token(0)));
        assert_eq!(half_open.len(), 3);
    }

    #[test]
    fn an_address_that_is_full_loses_its_own_oldest() {
        let mut half_open = HalfOpen::new(10, 2);
        assert_eq!(half_open.insert(token(0), ip(1)), None);
        assert_eq!(half_open.insert(token(1), ip(2)), None);
        assert_eq!(half_open.insert(token(2), ip(2)), None);
        assert_eq!(half_open.insert(token(3), ip(2)), Some(token(1)));
        let mapped = Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped();
        assert_eq!(half_open.insert(token(4), IpAddr::V6(mapped)), Some(token(2)), "a mapped address is the same one");
        for number in [0, 3, 4] {
            half_open.remove(token(number));
        }
        assert_eq!((half_open.len(), half_open.per_address.len(), half_open.ages.len()), (0, 0, 0));
    }

    #[test]
    fn one_address_cannot_spend_the_whole_budget() {
        let mut half_open = HalfOpen::new(10, 10);
        half_open.insert(token(0), ip(1));
        assert_eq!((0..100).filter(|_| half_open.try_step(ip(1))).count(), HANDSHAKE_BUDGET_COUNT, "nobody else waits");
        half_open.renew_budget();
        half_open.insert(token(1), ip(2));
        let spent = (0..100).filter(|_| half_open.try_step(ip(1))).count();
        assert_eq!(spent, HANDSHAKE_BUDGET_PER_ADDRESS);
        assert!(half_open.try_step(ip(2)));
        half_open.renew_budget();
        assert!(half_open.try_step(ip(1)));
    }
}
