//! landline beside what a user would pick instead, measured in turn on one machine.
//!
//! The program `compare` plays cases (`cases/`): each is a list of pairs of contestants, ours and a rival, that take turns
//! for several rounds (`contest.rs`). A contestant is two processes on loopback, a core each, started from this same
//! program (`children.rs`, `ends/`). What comes out is a table, JSON or a page (`output/`). What each case means, and the
//! method, stands in docs/performance.md.
//!
//! This crate ships nothing: it may use what nothing else here may, such as C libraries under the feature `rivals`.

pub mod args;
pub mod cases;
pub mod children;
pub mod compare;
pub mod contest;
pub mod ends;
pub mod gcm;
pub mod machine;
pub mod meter;
pub mod null;
pub mod output;
pub mod payload;
pub mod setup;
pub mod statistics;
pub mod tree;
pub mod work;

/// Why a measurement is not there: for people to read, nothing here recovers from it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
