//! `landline id`: who this node is.

use std::io::Write;

use serde_json::json;

use crate::args::Common;
use crate::failure::Result;
use crate::home::Home;

/// Prints PeerId and fingerprint; makes the identity on first use.
pub(crate) fn run(common: &Common, as_json: bool) -> Result<()> {
    let home = Home::open(common.home.as_deref())?;
    let peer_id = home.identity()?.peer_id();
    let mut stdout = std::io::stdout().lock();
    if as_json {
        let object = json!({ "peer_id": peer_id.to_string(), "fingerprint": peer_id.fingerprint() });
        writeln!(stdout, "{object}")?;
    } else {
        writeln!(stdout, "peer id      {peer_id}")?;
        writeln!(stdout, "fingerprint  {}", peer_id.fingerprint())?;
    }
    Ok(())
}
