//! Ctrl-C and its kin: the first one asks for an orderly end, the second one ends at once.

use std::thread;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{Exit, Failure, Result};
use crate::terminal;

/// What a service is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// To end.
    End,
    /// To read its files again (SIGHUP).
    Reload,
}

/// Watches for signals. The receiver gives one `()` when the process is asked to end.
pub(crate) fn watch() -> Result<Receiver<()>> {
    let (sender, receiver) = bounded(1);
    start(move |_| sender.send(()).is_ok())?;
    Ok(receiver)
}

/// Watches for signals of which SIGHUP may mean something else than to end: that is for the receiver to say.
pub(crate) fn watch_for_service() -> Result<Receiver<Signal>> {
    let (sender, receiver) = bounded(1);
    start(move |signal| match signal {
        // One that waits stands for those that come meanwhile.
        SIGHUP => {
            let _ = sender.try_send(Signal::Reload);
            true
        }
        _ => sender.send(Signal::End).is_ok(),
    })?;
    Ok(receiver)
}

/// Has `tell` called with each signal that asks for an orderly end, and SIGHUP; where it says that nobody listens, and at
/// the second of those that end, the process ends at once.
fn start(tell: impl Fn(i32) -> bool + Send + 'static) -> Result<()> {
    let failed = |error| Failure::io("cannot watch for signals", &error);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let forward = move || {
        let mut end_count = 0;
        for signal in signals.forever() {
            end_count += usize::from(signal != SIGHUP);
            if end_count > 1 || !tell(signal) {
                terminal::restore();
                // What is half done has names of its own, and is removed at the next start.
                std::process::exit(Exit::Failed as i32);
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(forward).map(|_| ()).map_err(failed)
}
