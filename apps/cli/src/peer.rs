//! From what the user calls a peer to who that is and where: the directory, the known peers, the question at first contact.

use std::io::Write;
use std::net::SocketAddr;

use landline::PeerId;
use landline_directory::{Client, Listed, Name};

use crate::args::{Common, DIRECTORY_PORT};
use crate::failure::{Exit, Failure, Result};
use crate::home::Home;
use crate::known::{KnownPeers, Standing};
use crate::terminal;

/// A peer to be reached.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// How it is shown.
    pub(crate) shown: String,
    /// Who it is.
    pub(crate) peer: PeerId,
    /// Where it is.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The name to be pinned to it once it has proven who it is.
    pub(crate) to_pin: Option<Name>,
}

/// What a PEER on the command line is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Spoken {
    /// `PEERID@IP:PORT`.
    Exact(PeerId, SocketAddr),
    /// A PeerId: the directory knows where.
    Id(PeerId),
    /// A name: the directory knows who and where.
    Name(Name),
}

impl Target {
    /// Finds out who `spoken` is and where, and whether it may be trusted.
    pub(crate) fn resolve(spoken: &str, common: &Common, home: &Home, accept_new: bool) -> Result<Self> {
        let known = KnownPeers::load(home)?;
        match parse(spoken)? {
            Spoken::Exact(peer, address) => Ok(Self::exact(peer, vec![address], &known)),
            Spoken::Id(peer) => {
                let listed = ask_directory(common, home, |client, memory| client.lookup_id(peer, memory))?;
                Ok(Self::exact(peer, listed.announcement.addresses, &known))
            }
            Spoken::Name(name) => {
                let listed = ask_directory(common, home, |client, memory| client.lookup_name(&name, memory))?;
                let peer = listed.announcement.peer_id;
                let is_new = check_standing(&name, peer, &known, accept_new)?;
                let (shown, addresses) = (name.to_string(), listed.announcement.addresses);
                Ok(Self { shown, peer, addresses, to_pin: is_new.then_some(name) })
            }
        }
    }

    /// Pins the name, now that the peer has proven who it is.
    pub(crate) fn pin(&self, home: &Home) -> Result<()> {
        let Some(name) = &self.to_pin else { return Ok(()) };
        match KnownPeers::pin(home, name, self.peer)? {
            Standing::Changed { pinned } => Err(changed(name, pinned, self.peer)),
            Standing::Known => Ok(()),
            Standing::New => {
                let (peer, fingerprint) = (self.peer, self.peer.fingerprint());
                Ok(writeln!(std::io::stderr(), "{name} was new here; pinned to {peer}\n  fingerprint {fingerprint}")?)
            }
        }
    }

    /// The port to name in what to do next: that of the first address.
    pub(crate) fn port(&self) -> u16 {
        self.addresses.first().map_or(crate::args::PEER_PORT, SocketAddr::port)
    }

    fn exact(peer: PeerId, addresses: Vec<SocketAddr>, known: &KnownPeers) -> Self {
        Self { shown: known.shown(peer, None), peer, addresses, to_pin: None }
    }
}

/// A client of the directory that the command line, the environment or the default names.
pub(crate) fn client(common: &Common) -> Result<Client> {
    let default = format!("http://127.0.0.1:{DIRECTORY_PORT}");
    let url = common.directory.as_deref().unwrap_or(&default);
    Client::new(url).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

fn ask_directory(
    common: &Common,
    home: &Home,
    ask: impl FnOnce(
        &Client,
        &mut landline_directory::SequenceMemory,
    ) -> std::result::Result<Listed, landline_directory::ClientError>,
) -> Result<Listed> {
    let client = client(common)?;
    let mut memory = home.sequences();
    let listed = ask(&client, &mut memory).map_err(|error| Failure::directory(&error))?;
    home.keep_sequences(&mut memory);
    Ok(listed)
}

fn parse(spoken: &str) -> Result<Spoken> {
    let usage =
        |what: String| Failure::new(Exit::Usage, what).next("a peer is a name in the directory, or PEERID@IP:PORT");
    if let Some((id, address)) = spoken.split_once('@') {
        let id = id.parse().map_err(|error| usage(format!("{id:?} is no PeerId: {error}")))?;
        let address = address.parse().map_err(|_| usage(format!("{address:?} is no IP:PORT")))?;
        return Ok(Spoken::Exact(id, address));
    }
    // A name could be spelled like somebody's PeerId; who types one means the key.
    if let Ok(id) = spoken.parse() {
        return Ok(Spoken::Id(id));
    }
    spoken.parse().map(Spoken::Name).map_err(|error| usage(format!("{spoken:?} is no peer: {error}")))
}

/// Whether the name is to be pinned; a failure if it must not be trusted.
fn check_standing(name: &Name, peer: PeerId, known: &KnownPeers, accept_new: bool) -> Result<bool> {
    match known.standing(name, peer) {
        Standing::Known => Ok(false),
        Standing::Changed { pinned } => Err(changed(name, pinned, peer)),
        Standing::New if accept_new => Ok(true),
        Standing::New if terminal::can_ask() => {
            let question = format!(
                "First contact with {name}. The directory says it is {peer}\n  fingerprint {}\n\
                 Compare it with what `landline id` shows on their side. Is it the same?",
                peer.fingerprint()
            );
            if terminal::ask(&question)? {
                return Ok(true);
            }
            Err(Failure::new(Exit::Refused, format!("{name} is not trusted, so nothing was sent")))
        }
        Standing::New => Err(Failure::new(
            Exit::Refused,
            format!("first contact with {name}, and no terminal to ask on; the directory says it is {peer}\n  fingerprint {}", peer.fingerprint()),
        )
        .next(format!("compare the fingerprint, then run: landline trust {name} {peer}   (or take it unseen with --accept-new)"))),
    }
}

fn changed(name: &Name, pinned: PeerId, found: PeerId) -> Failure {
    Failure::new(
        Exit::Refused,
        format!(
            "THE KEY OF {name} HAS CHANGED. Somebody may be posing as {name}; nothing was sent.\n  \
             pinned here  {pinned}\n               {}\n  \
             found now    {found}\n               {}",
            pinned.fingerprint(),
            found.fingerprint()
        ),
    )
    .next(format!(
        "ask {name} on another way whether this is their new key; only then run: landline forget {name}; landline trust {name} {found}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_name_an_id_or_an_exact_place() {
        let id = landline::Identity::from_seed([1; 32]).peer_id();
        assert_eq!(parse("bob").unwrap(), Spoken::Name("bob".parse().unwrap()));
        assert_eq!(parse(&id.to_string()).unwrap(), Spoken::Id(id));
        assert_eq!(parse(&format!("{id}@[::1]:5")).unwrap(), Spoken::Exact(id, "[::1]:5".parse().unwrap()));
        for wrong in ["", "Bob", "b b", "bob@1.2.3.4:5", &format!("{id}@host:5"), &format!("{id}@1.2.3.4"), "\u{1b}[2J"]
        {
            assert_eq!(parse(wrong).unwrap_err().exit, Exit::Usage, "{wrong:?}");
        }
    }

    #[test]
    fn a_changed_key_is_refused_even_with_accept_new() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::open(Some(temporary.path())).unwrap();
        let name: Name = "bob".parse().unwrap();
        let (first, second) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        KnownPeers::pin(&home, &name, first).unwrap();
        let known = KnownPeers::load(&home).unwrap();
        assert!(!check_standing(&name, first, &known, false).unwrap());
        let failure = check_standing(&name, second, &known, true).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.what.contains(&first.to_string()) && failure.what.contains(&second.fingerprint()));
    }
}
