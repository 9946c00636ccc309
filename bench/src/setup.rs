//! What all measurements of a run have in common: cores, congestion control, how long each takes.

use crate::Failure;
use landline::Profile;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use socket2::{Domain, Socket, Type};
use std::path::PathBuf;
use std::time::Duration;

/// Loopback is half as fast under bbr: every stack gets the same, and this one if the kernel has it.
const CONGESTION: &str = "cubic";
/// Where Linux has files in memory for everybody.
const MEMORY_PLACE: &str = "/dev/shm";

/// What every contestant gets.
#[derive(Clone, Debug)]
pub struct Setup {
    /// TCP congestion control; the system's own when `None`.
    pub congestion: Option<String>,
    /// The settings of landline's nodes.
    pub profile: Profile,
    /// The core of the end that dials.
    pub initiator_core: Option<usize>,
    /// The core of the end that listens.
    pub responder_core: Option<usize>,
    /// Where trees of files are made: in memory where that is to be had, so that no disk is measured.
    pub tree_place: PathBuf,
    /// How long one measurement takes, roughly.
    pub length: Duration,
    /// This program.
    pub program: PathBuf,
    /// This program built with a cipher that does nothing, when a case needs it.
    pub null_program: Option<PathBuf>,
}

impl Setup {
    /// For this machine.
    ///
    /// # Errors
    /// A system that does not tell where this program is.
    pub fn new(length: Duration, profile: Profile) -> Result<Setup, Failure> {
        let cores = cores();
        let initiator_core = cores.first().copied();
        Ok(Setup {
            congestion: can_set(CONGESTION).then(|| CONGESTION.to_owned()),
            profile,
            initiator_core,
            responder_core: cores.get(1).copied().or(initiator_core),
            tree_place: tree_place(),
            length,
            program: std::env::current_exe()?,
            null_program: None,
        })
    }
}

/// Runs in a thread that stays on these cores, and so does what it starts; on none in particular where it is not known which
/// there are.
///
/// # Errors
/// A core that this process may not have, and work that panics.
pub fn on_cores<T: Send>(cores: &[usize], work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let pinned = scope.spawn(|| -> Result<T, Failure> {
            pin(cores)?;
            Ok(work())
        });
        pinned.join().map_err(|_| "the measuring thread panicked")?
    })
}

/// Keeps this thread, and those that it starts, on these cores; on none in particular where it is not known which there are.
///
/// # Errors
/// A core that this process may not have.
pub fn pin(cores: &[usize]) -> Result<(), Failure> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    Ok(sched_setaffinity(None, &set)?)
}

/// The processors that this process may run on.
fn cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

fn tree_place() -> PathBuf {
    let memory = PathBuf::from(MEMORY_PLACE);
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// Whether sockets here may have this congestion control.
fn can_set(name: &str) -> bool {
    Socket::new(Domain::IPV4, Type::STREAM, None).is_ok_and(|socket| socket.set_tcp_congestion(name.as_bytes()).is_ok())
}
