//! `landline trust` and `landline forget`: names that are pinned by hand.

use std::io::Write;

use landline::PeerId;
use landline_directory::Name;

use crate::args::Common;
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::known::{KnownPeers, Standing};

/// Pins a name.
pub(crate) fn trust(common: &Common, name: &Name, peer: PeerId) -> Result<()> {
    let home = Home::open(common.home.as_deref())?;
    match KnownPeers::pin(&home, name, peer)? {
        Standing::Changed { pinned } => {
            return Err(Failure::new(Exit::Refused, format!("{name} is pinned to another key: {pinned}"))
                .next(format!("if the new one is right, run first: landline forget {name}")));
        }
        Standing::New => writeln!(std::io::stdout(), "{name} is now {peer}\n  fingerprint {}", peer.fingerprint())?,
        Standing::Known => writeln!(std::io::stdout(), "{name} is {peer} already")?,
    }
    Ok(())
}

/// Unpins a name.
pub(crate) fn forget(common: &Common, name: &Name) -> Result<()> {
    let home = Home::open(common.home.as_deref())?;
    match KnownPeers::unpin(&home, name)? {
        Some(peer) => Ok(writeln!(std::io::stdout(), "{name} is forgotten; it was {peer}")?),
        None => Err(Failure::new(Exit::NotFound, format!("no name {name} is pinned"))),
    }
}
