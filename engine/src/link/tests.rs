//! Links joined by queues under virtual time. Each test ends with all counters back at their base.

#![allow(clippy::unwrap_used)]

mod channels;
mod credit;
mod delivery;
mod ends;
mod hostile;
mod pair;
mod random;
