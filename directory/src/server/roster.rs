//! Who is connected, in the order of who was quiet longest.
//!
//! When there is no room for one more, the connection that has not asked for anything for longest goes first: that is the
//! stranger who says nothing, or sends a header byte by byte, before it is a client that was answered just now. Watchers
//! ask once and are never quiet longest: they are held, and bounded by a cap of their own.

use landline::reactor::Token;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Invariant: `per_address` counts the entries of `by_order` and `held`; no count is 0, no order is in both.
#[derive(Debug, Default)]
pub(super) struct Roster {
    by_order: BTreeMap<u64, (Token, IpAddr)>,
    /// Those that make no room for others.
    held: BTreeMap<u64, (Token, IpAddr)>,
    per_address: HashMap<IpAddr, usize>,
    next_order: u64,
}

impl Roster {
    /// Adds a connection and gives its place.
    pub(super) fn enter(&mut self, token: Token, address: IpAddr) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        self.by_order.insert(order, (token, address));
        *self.per_address.entry(address).or_default() += 1;
        order
    }

    /// Moves a connection to the end: it has asked for something. Gives its new place.
    pub(super) fn refresh(&mut self, order: u64) -> u64 {
        match self.by_order.remove(&order) {
            Some(entry) => {
                let order = self.next_order;
                self.next_order += 1;
                self.by_order.insert(order, entry);
                order
            }
            None => order,
        }
    }

    /// Keeps a connection from making room for others; nothing happens where it is out already.
    pub(super) fn hold(&mut self, order: u64) {
        if let Some(entry) = self.by_order.remove(&order) {
            self.held.insert(order, entry);
        }
    }

    /// Takes a connection out; nothing happens where it is out already.
    pub(super) fn leave(&mut self, order: u64) {
        let entry = self.by_order.remove(&order).or_else(|| self.held.remove(&order));
        let Some((_, address)) = entry else { return };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }

    /// Takes out the connection that was quiet longest, of `address` or of all.
    pub(super) fn take_oldest(&mut self, address: Option<IpAddr>) -> Option<Token> {
        let mut entries = self.by_order.iter();
        let (&order, &(token, _)) = entries.find(|(_, (_, other))| address.is_none_or(|wanted| wanted == *other))?;
        self.leave(order);
        Some(token)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.by_order.values().map(|(token, _)| *token).chain(self.held())
    }

    /// Those that are held.
    pub(super) fn held(&self) -> impl Iterator<Item = Token> + '_ {
        self.held.values().map(|(token, _)| *token)
    }

    pub(super) fn count_of(&self, address: IpAddr) -> usize {
        self.per_address.get(&address).copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.by_order.len() + self.held.len()
    }
}
