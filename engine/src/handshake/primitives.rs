//! The primitives that `snow` runs the Noise handshake on: our AES-256-GCM, X25519 and SHA-256.
//!
//! Randomness is an argument here as everywhere below the reactor: the one ephemeral key of a handshake is made from 32
//! bytes that the caller drew. The public half of the static key is cached, since `snow` sets the private one anew in
//! each handshake and would compute it each time.

use super::x25519;
use crate::crypto::gcm;
use sha2::{Digest, Sha256};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const TAG_LEN: usize = crate::limits::TAG_LEN;

/// Resolves the names of the suite to our primitives, for one handshake.
pub(super) struct Primitives {
    pub(super) static_secret: Zeroizing<[u8; 32]>,
    pub(super) static_public: [u8; 32],
    pub(super) ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Ephemeral(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let cached = (self.static_secret.clone(), self.static_public);
        matches!(choice, DHChoice::Curve25519)
            .then(|| Box::new(X25519 { secret: Zeroizing::new([0; 32]), public: [0; 32], cached }) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(HashSha256(Sha256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(Aes256Gcm(None)) as Box<dyn Cipher>)
    }
}

/// The caller's 32 random bytes, given out once.
struct Ephemeral(Option<Zeroizing<[u8; 32]>>);

impl Random for Ephemeral {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let seed = self.0.take().ok_or(Error::Rng)?;
        if dest.len() != seed.len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&seed[..]);
        Ok(())
    }
}

struct X25519 {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
    cached: (Zeroizing<[u8; 32]>, [u8; 32]),
}

impl X25519 {
    fn set_secret(&mut self) {
        let is_cached = bool::from(self.secret[..].ct_eq(&self.cached.0[..]));
        self.public = if is_cached { self.cached.1 } else { x25519::public_key(&self.secret) };
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        self.secret.copy_from_slice(privkey);
        self.set_secret();
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        rng.try_fill_bytes(&mut self.secret[..])?;
        self.set_secret();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret[..]
    }

    /// Refuses results of all zeroes, which `snow` would take: the other side sent a point of small order.
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let theirs: [u8; 32] = pubkey.get(..32).and_then(|key| key.try_into().ok()).ok_or(Error::Dh)?;
        let shared = x25519::shared_secret(&self.secret, theirs).ok_or(Error::Dh)?;
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(&shared[..]);
        Ok(())
    }
}

struct HashSha256(Sha256);

impl Hash for HashSha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.finalize_reset());
    }
}

/// Without a key until `set`, which `snow` calls before the first use.
struct Aes256Gcm(Option<gcm::Key>);

impl Aes256Gcm {
    fn key(&self) -> &gcm::Key {
        self.0.as_ref().expect("snow sets a cipher's key before it uses it")
    }
}

/// Noise's nonce for AESGCM: 32 zero bits and a big-endian counter.
fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_be_bytes());
    bytes
}

impl Cipher for Aes256Gcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(gcm::Key::new(key));
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, tag) = out.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        tag[..TAG_LEN].copy_from_slice(&self.key().seal_in_place(&nonce_bytes(nonce), authtext, text));
        plaintext.len() + TAG_LEN
    }

    fn decrypt(&self, nonce: u64, authtext: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(Error::Decrypt)?;
        out.copy_from_slice(text);
        self.key().open_in_place(&nonce_bytes(nonce), authtext, out, tag).map_err(|_| Error::Decrypt)?;
        Ok(text.len())
    }
}
