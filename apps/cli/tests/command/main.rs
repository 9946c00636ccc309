//! The command as its users see it: arguments, output, exit codes, files. Nothing of its inside is used.
//!
//! Ports are free ones that the system picks, every wait has a deadline, and nothing sleeps but
//! where a kill has to come at a certain time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod basics;
mod chat;
mod demo;
mod directory;
mod harness;
mod hostile;
mod send;
mod sync;
mod terminal;
mod watch;
