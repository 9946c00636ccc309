//! `landline listen`: be reachable, show chat and answer it, take files, share folders.

mod announce;
mod gifts;
mod guests;
mod host;
pub(crate) mod sharing;

use std::net::SocketAddr;
use std::sync::Arc;

use landline::{Config, Error};
use landline_directory::{Addresses, interface_ips};
use landline_services::files::SaveDirectory;
use landline_services::sync::{Gifts, Shares, for_folders};

use crate::args::{Accept, Common, Listen};
use crate::commands::directory::busy;
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::known::KnownPeers;
use crate::node::Node;
use crate::peer;
use crate::signals;
use crate::terminal;

use announce::Announcing;
use host::Host;

/// Listens until it is asked to end.
pub(crate) fn run(common: &Common, args: &Listen) -> Result<()> {
    let signals = signals::watch()?;
    let accept = accept(args.accept)?;
    let home = Home::open(common.home.as_deref())?;
    // The second one signs the receipts of what is received.
    let (identity, host_identity) = (home.identity()?, home.identity()?);
    let known = KnownPeers::load(&home)?;
    let saving = format!("cannot save files to {}", args.save_to.display());
    let directory = SaveDirectory::open(&args.save_to)
        .map_err(|error| Failure::io(saving, &error).next("make that directory, or name another with --save-to DIR"))?;
    let gifts = Gifts::new(directory.clone(), args.existing.into());
    let shares = Shares::with_gifts(sharing::shares(args, &known)?, Some(gifts));
    let client = peer::client(common)?;
    let allowed_peers = (accept == Accept::Known).then(|| known.ids());
    let node = Node::start(identity, for_folders(Config { allowed_peers, ..Config::default() }))?;
    let address = listen(&node, args.listen)?;
    let addresses = announced(args, address, client.url().is_loopback());
    let announcing = Announcing::start(client, &home, &args.name, addresses)?;
    let mut host = Host::new(node, home, known, accept, args.name.clone());
    host.take_files(directory, args.existing.into());
    host.share(Arc::new(host_identity), shares);
    host.greet(address, &reach(address), &args.save_to)?;
    host.run(announcing, &signals)
}

fn accept(asked: Option<Accept>) -> Result<Accept> {
    match asked {
        Some(Accept::Ask) if !terminal::is_interactive() => {
            Err(Failure::new(Exit::Usage, "--accept ask needs a terminal to ask on").next("use --accept known or any"))
        }
        Some(accept) => Ok(accept),
        None if terminal::is_interactive() => Ok(Accept::Ask),
        None => Ok(Accept::Known),
    }
}

fn listen(node: &Node, address: SocketAddr) -> Result<SocketAddr> {
    node.engine.listen(address).map_err(|error| match error {
        Error::Io(error) => busy(address, &error),
        other => Failure::engine(format_args!("cannot listen on {address}"), &other),
    })
}

/// What is announced: what was asked for, else where we listen.
fn announced(args: &Listen, bound: SocketAddr, is_local: bool) -> Addresses {
    if !args.announce.is_empty() {
        return Addresses::Fixed(args.announce.clone());
    }
    if bound.ip().is_unspecified() {
        return Addresses::Interfaces { port: bound.port() };
    }
    if bound.ip().is_loopback() && !is_local {
        tracing::warn!("others cannot reach the loopback address that is announced; listen on [::] instead");
    }
    Addresses::Fixed(vec![bound])
}

/// Where others can reach us without a directory: one address is enough to paste.
fn reach(bound: SocketAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let ip = interface_ips(false).into_iter().chain(interface_ips(true)).find(|ip| ip.is_ipv4() || bound.is_ipv6());
    SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port())
}
