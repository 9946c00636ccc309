//! `landline directory`: where peers find each other.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;

use landline_directory::{DirectoryConfig, RunningDirectory};

use crate::failure::{Exit, Failure, Result};
use crate::signals;

/// Serves until it is asked to end.
pub(crate) fn run(listen: SocketAddr) -> Result<()> {
    let signals = signals::watch()?;
    let running = RunningDirectory::start(listen, DirectoryConfig::default()).map_err(|error| busy(listen, &error))?;
    let directory = running.directory();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "directory on {}; others use it with", directory.address())?;
    for url in directory.urls() {
        writeln!(stdout, "  export LANDLINE_DIRECTORY={url}")?;
    }
    stdout.flush()?;
    drop(stdout);
    // An error here would mean that nobody watches for signals any more, which ends the process as well.
    let _ = signals.recv();
    running.stop().map_err(|error| Failure::io("the directory ended with an error", &error))
}

/// A port that cannot be had; a busy one says what to do.
pub(crate) fn busy(listen: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("cannot listen on {listen}: {error}"));
    match error.kind() {
        ErrorKind::AddrInUse => failure.next(format!(
            "another program has TCP port {}: stop it, or take another port with --listen (port 0 takes any free one)",
            listen.port()
        )),
        ErrorKind::PermissionDenied => failure.next("take a port above 1023 with --listen"),
        ErrorKind::AddrNotAvailable => {
            failure.next("that address is not this host's; take one that is, or [::] for all")
        }
        _ => failure,
    }
}
