//! Ctrl-C and its kin: the first one asks for an orderly end, the second one ends at once.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{Exit, Failure, Result};
use crate::terminal;

/// Watches for signals. The receiver gives one `()` when the process is asked to end.
pub(crate) fn watch() -> Result<Receiver<()>> {
    let failed = |error| Failure::io("cannot watch for signals", &error);
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let (sender, receiver) = bounded(1);
    thread::Builder::new().name("signals".to_owned()).spawn(move || forward(signals, &sender)).map_err(failed)?;
    Ok(receiver)
}

fn forward(mut signals: Signals, sender: &Sender<()>) {
    let mut was_asked = false;
    for _ in signals.forever() {
        if was_asked || sender.send(()).is_err() {
            terminal::restore();
            // What is half done has names of its own, and is removed at the next start.
            std::process::exit(Exit::Failed as i32);
        }
        was_asked = true;
    }
}
