//! The `Hello`: what each side says of itself inside the handshake, and the signature that ties its static key to its
//! identity.
//!
//! | bytes | field |
//! |---|---|
//! | 32 | PeerId |
//! | 16 | instance |
//! | 64 | Ed25519 signature over `"landline/1 static\0"` and the sender's static X25519 key |
//! | 4 | longest message taken, u32 |
//! | 8 | credit of each channel at its start, u64 |
//! | 8 | credit of the whole link at its start, u64 |
//! | rest | type (u8), length (u16), value; bit 0x80 of the type says that the receiver must know it |

use crate::error::PeerFault;
use crate::identity::{Identity, PeerId};
use crate::limits::{MESSAGE_CHARGE, ONE_PASS_LEN_MIN};

/// What the signature in a `Hello` covers, before the key.
const STATIC_DOMAIN: &[u8] = b"landline/1 static\0";
/// Bytes of the fixed part.
const FIXED_LEN: usize = 32 + 16 + 64 + 4 + 8 + 8;
/// The bit of an extension's type that says: refuse me if you do not know it.
const CRITICAL: u8 = 0x80;

/// 16 random bytes drawn at process start: tells a restarted process from the one before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Instance(pub [u8; 16]);

/// What one side grants and takes from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Longest message that this side takes, in bytes.
    pub message_len_max: u32,
    /// Charge that the other side may have outstanding on each channel at its start.
    pub channel_credit: u64,
    /// The same for all channels of the link together.
    pub link_credit: u64,
}

/// A decoded, verified `Hello`.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) peer: PeerId,
    pub(super) instance: Instance,
    pub(super) grants: Grants,
}

/// Signs the static key with the identity.
pub(super) fn vouch(identity: &Identity, static_public: &[u8; 32]) -> [u8; 64] {
    identity.sign(&statement(static_public))
}

fn statement(static_public: &[u8; 32]) -> Vec<u8> {
    [STATIC_DOMAIN, static_public].concat()
}

/// Composes a `Hello`.
pub(super) fn encode(peer: PeerId, instance: Instance, signature: &[u8; 64], grants: Grants) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED_LEN);
    out.extend_from_slice(peer.as_bytes());
    out.extend_from_slice(&instance.0);
    out.extend_from_slice(signature);
    out.extend_from_slice(&grants.message_len_max.to_be_bytes());
    out.extend_from_slice(&grants.channel_credit.to_be_bytes());
    out.extend_from_slice(&grants.link_credit.to_be_bytes());
    out
}

/// Reads a `Hello` and checks its signature over the static key that the handshake has proven.
pub(super) fn decode(bytes: &[u8], static_public: &[u8; 32]) -> Result<Hello, PeerFault> {
    let mut rest = bytes;
    let peer = PeerId::from_bytes(take(&mut rest)?);
    let instance = Instance(take(&mut rest)?);
    let signature = take::<64>(&mut rest)?;
    let grants = Grants {
        message_len_max: u32::from_be_bytes(take(&mut rest)?),
        channel_credit: u64::from_be_bytes(take(&mut rest)?),
        link_credit: u64::from_be_bytes(take(&mut rest)?),
    };
    check_extensions(rest)?;
    peer.verify(&statement(static_public), &signature).map_err(|_| PeerFault::BadSignature)?;
    // Messages are not cut finer than this for want of credit: with less, none would ever go out.
    if grants.channel_credit < ONE_PASS_LEN_MIN as u64 + MESSAGE_CHARGE {
        return Err(PeerFault::Hello("its channel credit does not cover a fragment"));
    }
    if grants.link_credit < u64::from(grants.message_len_max) + MESSAGE_CHARGE {
        return Err(PeerFault::Hello("its link credit does not cover its longest message"));
    }
    Ok(Hello { peer, instance, grants })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], PeerFault> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(PeerFault::Hello("too short"))?;
    *rest = tail;
    Ok(*head)
}

/// Walks the type-length-values. None is defined yet: critical ones are refused, others skipped, doubled ones refused.
fn check_extensions(mut rest: &[u8]) -> Result<(), PeerFault> {
    let mut seen = [false; 256];
    while !rest.is_empty() {
        let [kind] = take::<1>(&mut rest)?;
        let len = usize::from(u16::from_be_bytes(take(&mut rest)?));
        rest = rest.get(len..).ok_or(PeerFault::Hello("an extension runs past the end"))?;
        if std::mem::replace(&mut seen[usize::from(kind)], true) {
            return Err(PeerFault::Hello("an extension stands twice"));
        }
        if kind & CRITICAL != 0 {
            return Err(PeerFault::Hello("it demands an extension that is not known here"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GRANTS: Grants = Grants { message_len_max: 1 << 20, channel_credit: 1 << 16, link_credit: 1 << 22 };

    fn hello(extensions: &[u8]) -> (Vec<u8>, [u8; 32]) {
        let identity = Identity::from_seed([3; 32]);
        let key = [8; 32];
        let mut bytes = encode(identity.peer_id(), Instance([1; 16]), &vouch(&identity, &key), GRANTS);
        bytes.extend_from_slice(extensions);
        (bytes, key)
    }

    #[test]
    fn a_hello_goes_there_and_back() {
        let (bytes, key) = hello(&[0x01, 0, 2, 9, 9]);
        let hello = decode(&bytes, &key).unwrap();
        assert_eq!((hello.instance, hello.grants), (Instance([1; 16]), GRANTS));
    }

    #[test]
    fn a_signature_over_another_key_is_refused() {
        let (bytes, _) = hello(&[]);
        assert_eq!(decode(&bytes, &[7; 32]).unwrap_err(), PeerFault::BadSignature);
    }

    #[test]
    fn any_cut_is_refused() {
        let (bytes, key) = hello(&[0x01, 0, 2, 9, 9]);
        for len in (0..bytes.len()).filter(|&len| len != FIXED_LEN) {
            assert!(matches!(decode(&bytes[..len], &key).unwrap_err(), PeerFault::Hello(_)), "cut at {len}");
        }
    }

    #[test]
    fn critical_and_doubled_extensions_are_refused() {
        for extensions in [&[0x81, 0, 0][..], &[1, 0, 0, 1, 0, 0], &[1, 0], &[1, 0, 5, 1]] {
            let (bytes, key) = hello(extensions);
            assert!(matches!(decode(&bytes, &key).unwrap_err(), PeerFault::Hello(_)), "{extensions:?}");
        }
    }
}
