//! What `landline listen` shares: directories, with whom, and how much they may write.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use landline::PeerId;
use landline_directory::Name;
use landline_services::limits::SHARE_NAME_MAX;
use landline_services::sync::tree::Root;
use landline_services::sync::{Share, Shares};

use crate::args::Listen;
use crate::failure::{Exit, Failure, Result};
use crate::known::KnownPeers;
use crate::units;

/// NAME=DIR, with `:rw` or `:ro` behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShareArg {
    name: String,
    directory: PathBuf,
    is_writable: bool,
}

/// NAME=PEER,...
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowArg {
    name: String,
    peers: Vec<String>,
}

/// NAME=SIZE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuotaArg {
    name: String,
    len: u64,
}

impl ShareArg {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let (name, directory) = named(text, "NAME=DIR, NAME=DIR:ro or NAME=DIR:rw")?;
        if name.contains(['/', ':']) {
            return Err("the name of a share holds no '/' and no ':'".to_owned());
        }
        let (directory, is_writable) = match directory.strip_suffix(":rw") {
            Some(directory) => (directory, true),
            None => (directory.strip_suffix(":ro").unwrap_or(directory), false),
        };
        Ok(Self { name, directory: PathBuf::from(directory), is_writable })
    }
}

impl AllowArg {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let (name, peers) = named(text, "NAME=PEER, or several with commas between")?;
        Ok(Self { name, peers: peers.split(',').map(str::to_owned).collect() })
    }
}

impl QuotaArg {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let (name, len) = named(text, "NAME=SIZE, as in docs=10GiB")?;
        Ok(Self { name, len: units::parse_size(len)? })
    }
}

/// The shares that the command line asks for.
pub(super) fn shares(args: &Listen, known: &KnownPeers) -> Result<Vec<Share>> {
    let mut shares: Vec<Share> = Vec::new();
    for arg in &args.shares {
        if shares.iter().any(|share| share.name == arg.name) {
            return Err(Failure::new(Exit::Usage, format!("two shares are called {}", arg.name)));
        }
        let shown = arg.directory.display();
        let root = Root::open(&arg.directory).map_err(|error| {
            Failure::io(format_args!("cannot share {shown}"), &error).next("make that directory, or share another")
        })?;
        let mut share = Share::new(arg.name.clone(), Arc::new(root));
        share.is_writable = arg.is_writable;
        shares.push(share);
    }
    for arg in &args.allow {
        let peers = arg.peers.iter().map(|peer| peer_id(peer, known)).collect::<Result<HashSet<PeerId>>>()?;
        find(&mut shares, &arg.name, "--allow")?.allowed.get_or_insert_default().extend(peers);
    }
    for arg in &args.quotas {
        find(&mut shares, &arg.name, "--quota")?.quota = Some(arg.len);
    }
    Ok(shares)
}

/// What is shared, for the greeting.
pub(super) fn shown(shares: &Shares) -> String {
    let one = |share: &Share| format!("{} ({})", share.name, if share.is_writable { "rw" } else { "ro" });
    shares.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn find<'a>(shares: &'a mut [Share], name: &str, flag: &str) -> Result<&'a mut Share> {
    shares.iter_mut().find(|share| share.name == name).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{flag} names {name}, which is no share"))
            .next("share it with --share NAME=DIR")
    })
}

fn peer_id(spoken: &str, known: &KnownPeers) -> Result<PeerId> {
    if let Ok(peer) = spoken.parse() {
        return Ok(peer);
    }
    let name: std::result::Result<Name, _> = spoken.parse();
    name.ok().and_then(|name| known.id_of(&name)).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("--allow names {spoken:?}, who is not known here"))
            .next(format!("pin them first: landline trust {spoken} PEERID"))
    })
}

fn named<'a>(text: &'a str, shape: &str) -> std::result::Result<(String, &'a str), String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() && name.len() <= SHARE_NAME_MAX && !rest.is_empty() => {
            Ok((name.to_owned(), rest))
        }
        _ => Err(format!("write it as {shape}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_only_unless_it_says_otherwise() {
        let share = |text: &str| ShareArg::parse(text).map(|arg| (arg.name, arg.directory, arg.is_writable));
        let read = |text, directory: &str, is_writable| {
            assert_eq!(share(text), Ok(("docs".to_owned(), PathBuf::from(directory), is_writable)));
        };
        read("docs=/srv/docs", "/srv/docs", false);
        read("docs=/srv/docs:ro", "/srv/docs", false);
        read("docs=/srv/a=b:c:rw", "/srv/a=b:c", true);
        for wrong in ["docs", "=x", "docs=", "a/b=x", "a:b=x"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        assert_eq!(QuotaArg::parse("docs=1k"), Ok(QuotaArg { name: "docs".to_owned(), len: 1024 }));
        assert!(QuotaArg::parse("docs=much").is_err());
    }
}
