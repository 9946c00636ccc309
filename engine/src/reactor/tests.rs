//! The reactor under a small length-prefixed protocol, over real loopback sockets and over sockets that misbehave.
//!
//! Nothing here sleeps to get into step: loops turn the reactor until something holds, up to a deadline, and each test
//! ends by asserting that nothing is left in the reactor.

#![allow(clippy::unwrap_used)]

mod ends;
mod faulty;
mod limits;
mod transfer;
mod waking;
mod world;
