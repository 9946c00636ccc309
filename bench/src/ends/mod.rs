//! The two ends of a measurement, each in a process of its own: what a child does with its [`Assignment`].
//!
//! One file for each way of carrying bytes; what they do is the same, written three times because the ways differ: over a
//! blocking stream (`blocking.rs`), over an asynchronous one (`asynchronous.rs`), and in messages (`inline.rs`,
//! `engine.rs`, `zeromq.rs`). The directory and its rival are HTTP servers and have clients of their own (`directory/`);
//! folders are copied by whole programs (`sync/`). Other people's programs are started by `foreign.rs`, and told of by
//! `session.rs` when time begins and ends.

#[cfg(feature = "rivals")]
mod asynchronous;
mod blocking;
#[cfg(feature = "rivals")]
mod certificate;
mod directory;
mod engine;
mod foreign;
mod inline;
mod many;
#[cfg(feature = "rivals")]
mod quic;
mod raw;
mod session;
mod socket;
mod sync;
#[cfg(feature = "rivals")]
mod tls;
#[cfg(feature = "rivals")]
mod tokio_tls;
#[cfg(feature = "rivals")]
pub(crate) mod zeromq;

pub(crate) use directory::Peers;
pub(crate) use engine::next_event;
pub(crate) use inline::{SERVICE, refuse_ends};

use crate::Failure;
use crate::setup::pin;
use crate::work::{Assignment, Ready, Report, Side, Stack, Work};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use std::io::Write;

/// Does what the assignment (JSON) says and prints the report. Dies with the parent, whatever kills that.
///
/// # Errors
/// Whatever goes wrong; the parent shows it.
pub fn run(assignment: &str) -> Result<(), Failure> {
    let assignment: Assignment = serde_json::from_str(assignment)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    raise_open_files()?;
    pin(assignment.core.as_slice())?;
    let report = carry_out(&assignment)?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// As many open files as the system lets this process have: idle links are many.
fn raise_open_files() -> Result<(), Failure> {
    let limits = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits })?)
}

fn carry_out(assignment: &Assignment) -> Result<Report, Failure> {
    match (assignment.stack, assignment.work) {
        (
            Stack::Inline | Stack::InlineSpin,
            Work::EchoBesideIdle { .. } | Work::FanIn { .. } | Work::Idle { .. } | Work::Handshake { .. },
        ) => many::run(assignment),
        (Stack::Inline | Stack::InlineSpin, _) => inline::run(assignment),
        (Stack::Engine, _) => engine::run(assignment),
        (Stack::Raw | Stack::RawSpin, _) => raw::run(assignment),
        (Stack::Directory | Stack::DirectoryDurable | Stack::Nginx, _) => directory::run(assignment),
        (Stack::Sync | Stack::Rsync | Stack::RsyncSsh, _) => sync::run(assignment),
        #[cfg(feature = "rivals")]
        (Stack::Rustls, _) => tls::run(assignment),
        #[cfg(feature = "rivals")]
        (Stack::TokioRustls, _) => tokio_tls::run(assignment),
        #[cfg(feature = "rivals")]
        (Stack::Quinn, _) => quic::run(assignment),
        #[cfg(feature = "rivals")]
        (Stack::Zeromq | Stack::ZeromqCurve, _) => zeromq::run(assignment),
        #[cfg(not(feature = "rivals"))]
        (stack, _) => Err(format!("{} needs the feature `rivals`", stack.name()).into()),
    }
}

/// Whether this build on this machine can run `stack`.
///
/// # Errors
/// Why not, for people.
pub fn availability(stack: Stack) -> Result<(), String> {
    match stack {
        Stack::Inline
        | Stack::InlineSpin
        | Stack::Engine
        | Stack::Raw
        | Stack::RawSpin
        | Stack::Directory
        | Stack::DirectoryDurable
        | Stack::Sync => Ok(()),
        Stack::Nginx => directory::availability(),
        Stack::Rsync => sync::availability(false),
        Stack::RsyncSsh => sync::availability(true),
        #[cfg(feature = "rivals")]
        Stack::Rustls | Stack::TokioRustls | Stack::Quinn => Ok(()),
        #[cfg(feature = "rivals")]
        Stack::Zeromq | Stack::ZeromqCurve => zeromq::availability(stack == Stack::ZeromqCurve),
        #[cfg(not(feature = "rivals"))]
        _ => Err("this build has no rivals; use --features rivals".to_owned()),
    }
}

/// Tells the parent where this responder listens.
fn announce(ready: &Ready) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(ready)?)?;
    Ok(out.flush()?)
}

/// Where the initiator finds its responder.
fn responder(assignment: &Assignment) -> Result<&Ready, Failure> {
    assignment.responder.as_ref().ok_or_else(|| "an initiator was not told where its responder is".into())
}

/// What a stack has no way to do, or nobody has written down.
fn unsupported(assignment: &Assignment) -> Failure {
    format!("{} does not do {:?}", assignment.stack.name(), assignment.work).into()
}

/// Whether this end dials.
fn is_initiator(assignment: &Assignment) -> bool {
    assignment.side == Side::Initiator
}
