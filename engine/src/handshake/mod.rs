//! The handshake: Noise XX over `snow`, ending in traffic secrets and a peer whose identity is proven.
//!
//! Each phase is a type that the next message consumes, so a failed or finished handshake cannot be continued. Messages
//! go in and out as bytes; records, sockets and deadlines are the session's and its caller's affair.
//!
//! ```text
//! initiator: Initiator::start -> message 1 | AwaitReply::read(2) -> message 3, Outcome
//! responder: Responder::new   | read(1) -> message 2, AwaitLast  | AwaitLast::read(3) -> Outcome
//! ```

mod hello;
mod primitives;
mod x25519;

pub use hello::{Grants, Instance};

use crate::error::{CloseReason, PeerFault};
use crate::identity::{Identity, PeerId};
use crate::limits::HANDSHAKE_MESSAGE_MAX;
use hello::Hello;
use primitives::Primitives;
use sha2::Sha256;
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

/// What an initiator sends first: who we are, and the suite.
pub const PREFACE: [u8; 9] = *b"LANDLINE\x01";
/// The suite that the preface names.
pub const SUITE: u8 = 1;
const SUITE_NAME: &str = "Noise_XX_25519_AESGCM_SHA256";

/// What this process is in every handshake: its identity, its static key, what it grants.
pub struct Local {
    identity: Identity,
    instance: Instance,
    static_secret: Zeroizing<[u8; 32]>,
    static_public: [u8; 32],
    hello: Vec<u8>,
    grants: Grants,
}

impl Local {
    /// `static_seed` and `instance` are to be drawn anew at each process start.
    pub fn new(identity: Identity, static_seed: [u8; 32], instance: [u8; 16], grants: Grants) -> Local {
        let static_secret = Zeroizing::new(static_seed);
        let static_public = x25519::public_key(&static_secret);
        let instance = Instance(instance);
        let signature = hello::vouch(&identity, &static_public);
        let hello = hello::encode(identity.peer_id(), instance, &signature, grants);
        Local { identity, instance, static_secret, static_public, hello, grants }
    }

    /// This node's PeerId.
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// This process.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// What this process grants each peer from the start.
    pub fn grants(&self) -> Grants {
        self.grants
    }

    /// The node's identity, for other statements that it has to sign.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    fn noise(&self, initiator: bool, ephemeral: [u8; 32]) -> Box<HandshakeState> {
        let primitives = Primitives {
            static_secret: self.static_secret.clone(),
            static_public: self.static_public,
            ephemeral: Zeroizing::new(ephemeral),
        };
        let params: NoiseParams = SUITE_NAME.parse().expect("the suite's name is well formed");
        let builder = Builder::with_resolver(params, Box::new(primitives))
            .prologue(&PREFACE)
            .and_then(|builder| builder.local_private_key(&self.static_secret[..]))
            .expect("prologue and key are set once");
        let state = if initiator { builder.build_initiator() } else { builder.build_responder() };
        Box::new(state.expect("the resolver knows every primitive of the suite"))
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Local({})", self.peer_id())
    }
}

/// Who dialled and who accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This side dialled.
    Initiator,
    /// This side accepted.
    Responder,
}

/// The other side, proven.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its identity.
    pub id: PeerId,
    /// Its process.
    pub instance: Instance,
    /// What it grants us from the start.
    pub grants: Grants,
    /// Our role towards it.
    pub role: Role,
}

/// A root of one direction's keys, wiped when dropped.
pub(crate) type Root = Zeroizing<[u8; 32]>;

/// What a finished handshake leaves.
pub(crate) struct Outcome {
    pub(crate) peer: Peer,
    pub(crate) send_root: Root,
    pub(crate) receive_root: Root,
}

/// An initiator before its first message.
pub(crate) struct Initiator;

impl Initiator {
    /// Composes message 1; `ephemeral` is drawn for this handshake alone.
    pub(crate) fn start(local: &Local, expected: PeerId, ephemeral: [u8; 32]) -> (AwaitReply, Vec<u8>) {
        let mut noise = local.noise(true, ephemeral);
        let message = write(&mut noise, &[]).expect("message 1 exchanges no keys yet");
        (AwaitReply { noise, expected }, message)
    }
}

/// An initiator that waits for message 2.
pub(crate) struct AwaitReply {
    noise: Box<HandshakeState>,
    expected: PeerId,
}

impl AwaitReply {
    /// Reads message 2, checks who answered, and only then composes message 3.
    pub(crate) fn read(mut self, local: &Local, message: &[u8]) -> Result<(Outcome, Vec<u8>), CloseReason> {
        let hello = read_hello(&mut self.noise, local, message)?;
        if hello.peer != self.expected {
            return Err(CloseReason::WrongPeer { expected: self.expected, found: hello.peer });
        }
        let reply = write(&mut self.noise, &local.hello)?;
        Ok((finish(self.noise, hello, Role::Initiator), reply))
    }
}

/// A responder that waits for message 1.
pub(crate) struct Responder {
    noise: Box<HandshakeState>,
}

impl Responder {
    /// `ephemeral` is drawn for this handshake alone.
    pub(crate) fn new(local: &Local, ephemeral: [u8; 32]) -> Responder {
        Responder { noise: local.noise(false, ephemeral) }
    }

    /// Reads message 1 and composes message 2.
    pub(crate) fn read(mut self, local: &Local, message: &[u8]) -> Result<(AwaitLast, Vec<u8>), CloseReason> {
        if !read(&mut self.noise, message)?.is_empty() {
            return Err(PeerFault::Hello("message 1 carries none").into());
        }
        let reply = write(&mut self.noise, &local.hello)?;
        Ok((AwaitLast { noise: self.noise }, reply))
    }
}

/// A responder that waits for message 3.
pub(crate) struct AwaitLast {
    noise: Box<HandshakeState>,
}

impl AwaitLast {
    /// Reads message 3.
    pub(crate) fn read(mut self, local: &Local, message: &[u8]) -> Result<Outcome, CloseReason> {
        let hello = read_hello(&mut self.noise, local, message)?;
        Ok(finish(self.noise, hello, Role::Responder))
    }
}

/// Composes the next message. A key that the other side sent in clear is first used here, so it can fail for its sake.
fn write(noise: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, PeerFault> {
    let mut message = vec![0; HANDSHAKE_MESSAGE_MAX];
    let len = noise.write_message(payload, &mut message).map_err(fault)?;
    message.truncate(len);
    Ok(message)
}

fn read(noise: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, PeerFault> {
    let mut payload = vec![0; message.len()];
    let len = noise.read_message(message, &mut payload).map_err(fault)?;
    payload.truncate(len);
    Ok(payload)
}

fn fault(error: snow::Error) -> PeerFault {
    match error {
        snow::Error::Dh => PeerFault::WeakKey,
        _ => PeerFault::Handshake,
    }
}

fn read_hello(noise: &mut HandshakeState, local: &Local, message: &[u8]) -> Result<Hello, PeerFault> {
    let payload = read(noise, message)?;
    let key = noise.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(PeerFault::Handshake)?;
    let hello = hello::decode(&payload, key)?;
    if hello.peer == local.peer_id() {
        return Err(PeerFault::Ourselves);
    }
    Ok(hello)
}

/// Derives the two roots: HKDF-Extract(salt = handshake hash, ikm = Noise split key).
fn finish(mut noise: Box<HandshakeState>, hello: Hello, role: Role) -> Outcome {
    // `snow` answers the raw split at any time; before the end it would not depend on the whole handshake.
    assert!(noise.is_handshake_finished(), "keys are split after the last message");
    let (mut to_responder, mut to_initiator) = noise.dangerously_get_raw_split();
    let extract = |key: &[u8; 32]| -> Root {
        let (root, _) = hkdf::Hkdf::<Sha256>::extract(Some(noise.get_handshake_hash()), key);
        Zeroizing::new(root.into())
    };
    let roots = (extract(&to_responder), extract(&to_initiator));
    zeroize::Zeroize::zeroize(&mut to_responder);
    zeroize::Zeroize::zeroize(&mut to_initiator);
    let (send_root, receive_root) = match role {
        Role::Initiator => roots,
        Role::Responder => (roots.1, roots.0),
    };
    let peer = Peer { id: hello.peer, instance: hello.instance, grants: hello.grants, role };
    Outcome { peer, send_root, receive_root }
}

#[cfg(test)]
mod tests;
