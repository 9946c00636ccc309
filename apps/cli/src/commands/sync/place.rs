//! What SRC and DST mean: a share of a peer and a directory in it, or a directory here.

use std::net::SocketAddr;
use std::path::PathBuf;

use landline_services::sync::entry::TreePath;

use crate::failure::{Exit, Failure, Result};

/// One side of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A directory of this machine.
    Local(PathBuf),
    /// PEER:SHARE[/PATH].
    Remote {
        /// As a peer is spoken of elsewhere.
        peer: String,
        /// What the peer calls it.
        share: String,
        /// The directory in it.
        path: TreePath,
    },
}

impl Place {
    /// Reads one. With a `/` before the first `:`, or a peer of one character, it is a local path, as for rsync.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some((peer, rest)) = split_peer(text) else { return Ok(Self::Local(PathBuf::from(text))) };
        let (share, path) = rest.split_once('/').unwrap_or((rest, ""));
        if share.is_empty() {
            let failure = Failure::new(Exit::Usage, format!("{text} names no share of {peer}"));
            return Err(failure.next(format!("say {peer}:SHARE, or {peer}:SHARE/PATH; {peer} knows what it shares")));
        }
        let path = TreePath::new(path.trim_end_matches('/').as_bytes())
            .map_err(|fault| Failure::new(Exit::Usage, format!("{text}: {fault}")))?;
        Ok(Self::Remote { peer: peer.to_owned(), share: share.to_owned(), path })
    }
}

/// The peer, and what comes behind its `:`.
fn split_peer(text: &str) -> Option<(&str, &str)> {
    let colon = text.find(':')?;
    if let Some(at) = text.find('@').filter(|at| *at < colon) {
        // PEERID@IP:PORT holds colons itself.
        let mut ends = text[at + 1..].match_indices(':').map(|(index, _)| at + 1 + index);
        let end = ends.find(|end| text[at + 1..*end].parse::<SocketAddr>().is_ok())?;
        return Some((&text[..end], &text[end + 1..]));
    }
    let peer = &text[..colon];
    (peer.chars().count() >= 2 && !peer.contains('/')).then_some((peer, &text[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(peer: &str, share: &str, path: &str) -> Place {
        let path = TreePath::new(path.as_bytes()).unwrap();
        Place::Remote { peer: peer.to_owned(), share: share.to_owned(), path }
    }

    #[test]
    fn peers_and_directories_are_told_apart() {
        let id = "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";
        for (text, place) in [
            ("bob:docs".to_owned(), remote("bob", "docs", "")),
            ("bob:docs/a/b/".to_owned(), remote("bob", "docs", "a/b")),
            ("bob:docs/a:b".to_owned(), remote("bob", "docs", "a:b")),
            (format!("{id}:docs"), remote(id, "docs", "")),
            (format!("{id}@192.0.2.7:4000:docs/a"), remote(&format!("{id}@192.0.2.7:4000"), "docs", "a")),
            (format!("{id}@[::1]:4000:docs"), remote(&format!("{id}@[::1]:4000"), "docs", "")),
        ] {
            assert_eq!(Place::parse(&text).unwrap(), place, "{text}");
        }
        for local in ["docs", "./bob:docs", "/a:b", "c:docs", "a/b:c", ".", "..", "id@host"] {
            assert_eq!(Place::parse(local).unwrap(), Place::Local(PathBuf::from(local)), "{local}");
        }
        for wrong in ["bob:", "bob:/etc", "bob:docs/../..", "bob:docs//a"] {
            assert_eq!(Place::parse(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
