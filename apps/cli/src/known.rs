//! The known peers: names that are pinned to a PeerId, and what to make of a name at first contact.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::time::SystemTime;

use landline::PeerId;
use landline_directory::Name;

use crate::failure::{Exit, Failure, Result};
use crate::home::Home;

const FILE: &str = "known_peers";

/// The pinned names. A PeerId may have several names, a name has one PeerId.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownPeers {
    peers: BTreeMap<Name, PeerId>,
    /// When the file was replaced that they are from.
    changed: Option<SystemTime>,
}

/// What the known peers say about a name and the PeerId that somebody claims for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Pinned to just this.
    Known,
    /// Not pinned.
    New,
    /// Pinned to another.
    Changed {
        /// The one that is pinned.
        pinned: PeerId,
    },
}

impl KnownPeers {
    /// Reads those of a home directory.
    pub(crate) fn load(home: &Home) -> Result<Self> {
        let changed = home.changed(FILE);
        let text = home.read(FILE)?;
        let parsed = Self::parse(&text).map_err(|line| {
            Failure::new(Exit::Failed, format!("{}: line {line} is not `NAME PEERID`", home.file(FILE).display()))
                .next("mend or remove that line; nobody is trusted by a file that cannot be read")
        });
        Ok(Self { changed, ..parsed? })
    }

    /// Reads them again where the file was replaced since the last time; gives whether it was. One that cannot be read
    /// changes nothing, and fails once.
    pub(crate) fn reload(&mut self, home: &Home) -> Result<bool> {
        let changed = home.changed(FILE);
        if changed == self.changed {
            return Ok(false);
        }
        self.changed = changed;
        *self = Self::load(home)?;
        Ok(true)
    }

    /// Pins a name, in the file. An other PeerId that it is pinned to stays.
    pub(crate) fn pin(home: &Home, name: &Name, peer: PeerId) -> Result<Standing> {
        let _lock = home.lock()?;
        let mut known = Self::load(home)?;
        let standing = known.standing(name, peer);
        if standing == Standing::New {
            known.peers.insert(name.clone(), peer);
            home.write(FILE, &known.to_text())?;
        }
        Ok(standing)
    }

    /// Unpins a name, in the file; gives what it was pinned to.
    pub(crate) fn unpin(home: &Home, name: &Name) -> Result<Option<PeerId>> {
        let _lock = home.lock()?;
        let mut known = Self::load(home)?;
        let removed = known.peers.remove(name);
        if removed.is_some() {
            home.write(FILE, &known.to_text())?;
        }
        Ok(removed)
    }

    /// What is known about this pair.
    pub(crate) fn standing(&self, name: &Name, peer: PeerId) -> Standing {
        match self.peers.get(name) {
            None => Standing::New,
            Some(pinned) if *pinned == peer => Standing::Known,
            Some(pinned) => Standing::Changed { pinned: *pinned },
        }
    }

    /// Whether the name is another's.
    pub(crate) fn is_pinned_to_another(&self, name: &Name, peer: PeerId) -> bool {
        matches!(self.standing(name, peer), Standing::Changed { .. })
    }

    /// The first name that is pinned to this PeerId.
    pub(crate) fn name_of(&self, peer: PeerId) -> Option<&Name> {
        self.peers.iter().find(|(_, pinned)| **pinned == peer).map(|(name, _)| name)
    }

    /// The PeerId that is pinned to this name.
    pub(crate) fn id_of(&self, name: &Name) -> Option<PeerId> {
        self.peers.get(name).copied()
    }

    /// All PeerIds that have a name.
    pub(crate) fn ids(&self) -> HashSet<PeerId> {
        self.peers.values().copied().collect()
    }

    /// How a peer is shown: by its pinned name; by its claim with a question mark; by the start of its
    /// PeerId.
    pub(crate) fn shown(&self, peer: PeerId, claim: Option<&str>) -> String {
        match (self.name_of(peer), claim) {
            (Some(name), _) => name.to_string(),
            (None, Some(claim)) => format!("{claim}?"),
            (None, None) => peer.short(),
        }
    }

    fn parse(text: &str) -> std::result::Result<Self, usize> {
        let mut known = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, peer) = line.split_once(char::is_whitespace).ok_or(index + 1)?;
            let name = name.parse().map_err(|_| index + 1)?;
            let peer = peer.trim().parse().map_err(|_| index + 1)?;
            if known.peers.insert(name, peer).is_some() {
                return Err(index + 1);
            }
        }
        Ok(known)
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, peer) in &self.peers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} {peer}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn peer(byte: u8) -> PeerId {
        landline::Identity::from_seed([byte; 32]).peer_id()
    }

    #[test]
    fn a_name_is_pinned_once_and_forgotten_when_asked() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::open(Some(temporary.path())).unwrap();
        assert_eq!(KnownPeers::pin(&home, &name("bob"), peer(1)).unwrap(), Standing::New);
        assert_eq!(KnownPeers::pin(&home, &name("bob"), peer(1)).unwrap(), Standing::Known);
        assert_eq!(KnownPeers::pin(&home, &name("bob"), peer(2)).unwrap(), Standing::Changed { pinned: peer(1) });
        let known = KnownPeers::load(&home).unwrap();
        assert_eq!((known.name_of(peer(1)), known.name_of(peer(2))), (Some(&name("bob")), None));
        assert_eq!(KnownPeers::unpin(&home, &name("bob")).unwrap(), Some(peer(1)));
        assert_eq!(KnownPeers::unpin(&home, &name("bob")).unwrap(), None);
    }

    #[test]
    fn they_are_read_again_when_the_file_was_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::open(Some(temporary.path())).unwrap();
        let mut known = KnownPeers::load(&home).unwrap();
        assert!(!known.reload(&home).unwrap());
        KnownPeers::pin(&home, &name("bob"), peer(1)).unwrap();
        assert!(known.reload(&home).unwrap() && !known.reload(&home).unwrap());
        assert_eq!(known.standing(&name("bob"), peer(1)), Standing::Known);
        // The clock of the file system ticks a few hundred times a second.
        std::thread::sleep(std::time::Duration::from_millis(20));
        home.write(FILE, "damaged").unwrap();
        assert!(known.reload(&home).is_err());
        assert!(!known.reload(&home).unwrap(), "told once");
        assert_eq!(known.standing(&name("bob"), peer(1)), Standing::Known);
    }

    #[test]
    fn a_claim_never_looks_like_a_pinned_name() {
        let mut known = KnownPeers::default();
        known.peers.insert(name("bob"), peer(1));
        assert_eq!(known.shown(peer(1), Some("mallory")), "bob");
        assert_eq!(known.shown(peer(2), Some("bob")), "bob?");
        assert_eq!(known.shown(peer(2), None), peer(2).short());
    }

    #[test]
    fn a_damaged_file_is_not_half_believed() {
        let good = format!("# pinned by hand\n\nbob   {}\n", peer(1));
        assert_eq!(KnownPeers::parse(&good).unwrap().standing(&name("bob"), peer(1)), Standing::Known);
        let cases = ["bob".to_owned(), "bob x".into(), format!("Bob {}", peer(1)), format!("{good}bob {}", peer(2))];
        for text in cases {
            assert!(KnownPeers::parse(&text).is_err(), "{text}");
        }
    }
}
