//! `landline peers`: who is there, once or from now on.

mod watch;

pub(crate) use watch::run as watch;

use std::io::Write;
use std::net::SocketAddr;

use landline_directory::Listed;
use landline_services::printable;
use serde_json::{Value, json};

use crate::args::Common;
use crate::failure::{Failure, Result};
use crate::home::Home;
use crate::known::{KnownPeers, Standing};
use crate::peer;
use crate::terminal::Style;

/// What an empty list says.
const NOBODY: &str = "nobody is there yet; be the first with: landline listen --name NAME";

/// Lists the peers of the directory.
pub(crate) fn run(common: &Common, as_json: bool) -> Result<()> {
    let home = Home::open(common.home.as_deref())?;
    let known = KnownPeers::load(&home)?;
    let client = peer::client(common)?;
    let mut memory = home.sequences();
    let list = client.list(&mut memory).map_err(|error| Failure::directory(&error))?;
    home.keep_sequences(&mut memory);
    for refused in &list.refused {
        tracing::warn!("left out: {}", printable(&refused.to_string()));
    }
    let mut stdout = std::io::stdout().lock();
    if as_json {
        let peers: Vec<Value> = list.peers.iter().map(|listed| to_json(listed, &known)).collect();
        writeln!(stdout, "{}", Value::Array(peers))?;
    } else if list.peers.is_empty() {
        writeln!(stdout, "{NOBODY}")?;
    } else {
        print_table(&mut stdout, &list.peers, &known)?;
    }
    Ok(())
}

fn standing(listed: &Listed, known: &KnownPeers) -> &'static str {
    match known.standing(&listed.announcement.name, listed.announcement.peer_id) {
        Standing::Known => "known",
        Standing::New => "new",
        Standing::Changed { .. } => "CHANGED",
    }
}

fn shown_standing(listed: &Listed, known: &KnownPeers, style: Style) -> String {
    match standing(listed, known) {
        "CHANGED" => style.bad("CHANGED: not the key that is pinned here"),
        other => style.dim(other),
    }
}

fn to_json(listed: &Listed, known: &KnownPeers) -> Value {
    let announcement = &listed.announcement;
    json!({
        "name": announcement.name.as_str(),
        "peer_id": announcement.peer_id.to_string(),
        "addresses": announcement.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
        "services": announcement.services,
        "standing": standing(listed, known).to_ascii_lowercase(),
        "expires_in_seconds": listed.expires_in.as_secs(),
        "listed_for_seconds": listed.listed_for.as_secs(),
    })
}

/// One peer in two lines, so that it fits a narrow terminal and a PeerId can be copied whole.
fn print_table(out: &mut impl Write, peers: &[Listed], known: &KnownPeers) -> Result<()> {
    let style = Style::stdout();
    let width = peers.iter().map(|listed| listed.announcement.name.as_str().len()).max().unwrap_or(0);
    for listed in peers {
        let announcement = &listed.announcement;
        let name = format!("{:width$}", announcement.name.as_str());
        let standing = shown_standing(listed, known, style);
        let addresses: Vec<String> = announcement.addresses.iter().map(SocketAddr::to_string).collect();
        writeln!(out, "{}  {}  {standing}", style.bold(&name), addresses.join(" "))?;
        writeln!(out, "  {}", announcement.peer_id)?;
    }
    Ok(())
}
