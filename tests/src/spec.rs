//! The handshake, the key schedule and the records as `docs/protocol.md` states them. Slow, plain, and independent: no
//! Noise library, no GCM library, nothing of the engine.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

/// What the initiator sends first.
pub const PREFACE: [u8; 9] = *b"LANDLINE\x01";
const NOISE_NAME: &[u8] = b"Noise_XX_25519_AESGCM_SHA256";

/// One side's inputs.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    /// The Ed25519 secret key.
    pub identity_seed: [u8; 32],
    /// The X25519 secret of the process, before clamping.
    pub static_seed: [u8; 32],
    /// The X25519 secret of the handshake, before clamping.
    pub ephemeral_seed: [u8; 32],
    /// The process.
    pub instance: [u8; 16],
    /// Longest message taken.
    pub message_len_max: u32,
    /// Credit of a channel at its start.
    pub channel_credit: u64,
    /// Credit of the link at its start.
    pub link_credit: u64,
}

impl Party {
    /// Its Ed25519 public key.
    pub fn peer_id(&self) -> [u8; 32] {
        SigningKey::from_bytes(&self.identity_seed).verifying_key().to_bytes()
    }

    /// Its static X25519 public key.
    pub fn static_public(&self) -> [u8; 32] {
        public(&self.static_seed)
    }

    /// Its ephemeral X25519 public key.
    pub fn ephemeral_public(&self) -> [u8; 32] {
        public(&self.ephemeral_seed)
    }

    /// Its Hello, without extensions.
    pub fn hello(&self) -> Vec<u8> {
        let key = SigningKey::from_bytes(&self.identity_seed);
        let signature = key.sign(&[b"landline/1 static\0", &self.static_public()[..]].concat()).to_bytes();
        [
            &self.peer_id()[..],
            &self.instance,
            &signature,
            &self.message_len_max.to_be_bytes(),
            &self.channel_credit.to_be_bytes(),
            &self.link_credit.to_be_bytes(),
        ]
        .concat()
    }
}

/// What a handshake says and leaves.
pub struct Handshake {
    /// The three messages, without record headers.
    pub messages: [Vec<u8>; 3],
    /// The handshake hash.
    pub hash: [u8; 32],
    /// The split keys: of what the initiator sends, of what the responder sends.
    pub split: [[u8; 32]; 2],
}

/// Both sides' handshake at once.
pub fn handshake(initiator: &Party, responder: &Party) -> Handshake {
    let mut state = Symmetric::new();
    let (e, f) = (initiator.ephemeral_public(), responder.ephemeral_public());
    let (s, r) = (initiator.static_public(), responder.static_public());

    state.mix_hash(&e);
    let first = [&e[..], &state.encrypt_and_hash(&[])].concat();

    state.mix_hash(&f);
    state.mix_key(&dh(&initiator.ephemeral_seed, &f));
    let sealed_static = state.encrypt_and_hash(&r);
    state.mix_key(&dh(&initiator.ephemeral_seed, &r));
    let second = [&f[..], &sealed_static, &state.encrypt_and_hash(&responder.hello())].concat();

    let sealed_static = state.encrypt_and_hash(&s);
    state.mix_key(&dh(&initiator.static_seed, &f));
    let third = [&sealed_static[..], &state.encrypt_and_hash(&initiator.hello())].concat();

    let mut split = [0; 64];
    Hkdf::<Sha256>::new(Some(&state.chaining_key), &[]).expand(&[], &mut split).expect("64 bytes are few");
    let half = |at: usize| split[at..at + 32].try_into().expect("32 bytes");
    Handshake { messages: [first, second, third], hash: state.hash, split: [half(0), half(32)] }
}

/// Noise's symmetric state.
struct Symmetric {
    chaining_key: [u8; 32],
    hash: [u8; 32],
    key: Option<[u8; 32]>,
    counter: u64,
}

impl Symmetric {
    fn new() -> Symmetric {
        let mut hash = [0; 32];
        hash[..NOISE_NAME.len()].copy_from_slice(NOISE_NAME);
        let mut state = Symmetric { chaining_key: hash, hash, key: None, counter: 0 };
        state.mix_hash(&PREFACE);
        state
    }

    fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = Sha256::new().chain_update(self.hash).chain_update(bytes).finalize().into();
    }

    /// Noise's HKDF of two outputs is RFC 5869's with the chaining key as salt, no info, and 64 bytes of output.
    fn mix_key(&mut self, secret: &[u8; 32]) {
        let mut output = [0; 64];
        let hkdf = Hkdf::<Sha256>::new(Some(&self.chaining_key), secret);
        hkdf.expand(&[], &mut output).expect("64 bytes are few");
        self.chaining_key.copy_from_slice(&output[..32]);
        self.key = Some(output[32..].try_into().expect("32 bytes"));
        self.counter = 0;
    }

    fn encrypt_and_hash(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let result = match &self.key {
            None => plaintext.to_vec(),
            Some(key) => {
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
                self.counter += 1;
                seal(key, &nonce, &self.hash, plaintext)
            }
        };
        self.mix_hash(&result);
        result
    }
}

/// Key, iv and the next root of one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// What it was made from.
    pub root: [u8; 32],
    /// The AES-256-GCM key.
    pub key: [u8; 32],
    /// What the sequence number is XORed to.
    pub iv: [u8; 12],
    /// What the next epoch is made from.
    pub next: [u8; 32],
}

/// The first `count` epochs of one direction.
pub fn epochs(handshake_hash: &[u8; 32], split: &[u8; 32], count: usize) -> Vec<Epoch> {
    let (root, _) = Hkdf::<Sha256>::extract(Some(handshake_hash), split);
    let mut root: [u8; 32] = root.into();
    let mut epochs = Vec::new();
    for _ in 0..count {
        let hkdf = Hkdf::<Sha256>::from_prk(&root).expect("a root is as long as a hash");
        let mut epoch = Epoch { root, key: [0; 32], iv: [0; 12], next: [0; 32] };
        hkdf.expand(b"landline/1 key", &mut epoch.key).expect("32 bytes are few");
        hkdf.expand(b"landline/1 iv", &mut epoch.iv).expect("12 bytes are few");
        hkdf.expand(b"landline/1 next", &mut epoch.next).expect("32 bytes are few");
        root = epoch.next;
        epochs.push(epoch);
    }
    epochs
}

/// A record as on the wire.
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

/// A sealed record as on the wire.
pub fn sealed_record(epoch: &Epoch, sequence: u64, frames: &[u8]) -> Vec<u8> {
    let header = &record(1, &vec![0; frames.len() + 16])[..4];
    [header, &seal(&epoch.key, &nonce(epoch, sequence), header, frames)].concat()
}

/// The frames of a sealed record, if it opens.
pub fn open_record(epoch: &Epoch, sequence: u64, record: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = record.split_at_checked(4)?;
    open(&epoch.key, &nonce(epoch, sequence), header, body)
}

/// A frame: type, u24 length, body.
pub fn frame(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    record(kind, &fields.concat())
}

/// A DATA frame.
pub fn data(channel: u32, total_len: u32, offset: u32, payload: &[u8]) -> Vec<u8> {
    frame(0x82, &[&channel.to_be_bytes(), &total_len.to_be_bytes(), &offset.to_be_bytes(), payload])
}

/// A CREDIT frame.
pub fn credit(channel: u32, received_through: u64, limit: u64) -> Vec<u8> {
    frame(0x83, &[&channel.to_be_bytes(), &received_through.to_be_bytes(), &limit.to_be_bytes()])
}

fn nonce(epoch: &Epoch, sequence: u64) -> [u8; 12] {
    let mut nonce = epoch.iv;
    nonce[4..].iter_mut().zip(sequence.to_be_bytes()).for_each(|(byte, part)| *byte ^= part);
    nonce
}

fn public(seed: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*seed)).to_bytes()
}

fn dh(secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public)).to_bytes()
}

/// AES-256-GCM as in NIST SP 800-38D: ciphertext, then tag.
pub fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let aes = Aes256::new(&(*key).into());
    let mut text = counter_mode(&aes, nonce, plaintext);
    let tag = tag(&aes, nonce, aad, &text);
    text.extend_from_slice(&tag);
    text
}

/// The inverse of `seal`.
pub fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let aes = Aes256::new(&(*key).into());
    let (text, found) = sealed.split_last_chunk::<16>()?;
    (tag(&aes, nonce, aad, text) == *found).then(|| counter_mode(&aes, nonce, text))
}

fn counter_mode(aes: &Aes256, nonce: &[u8; 12], text: &[u8]) -> Vec<u8> {
    let blocks = text.chunks(16).zip(2..);
    blocks.flat_map(|(block, counter)| xor(block, &keystream(aes, nonce, counter))).collect()
}

fn keystream(aes: &Aes256, nonce: &[u8; 12], counter: u32) -> [u8; 16] {
    let mut block = [0; 16];
    block[..12].copy_from_slice(nonce);
    block[12..].copy_from_slice(&counter.to_be_bytes());
    encrypt(aes, block)
}

fn encrypt(aes: &Aes256, block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    aes.encrypt_block(&mut block);
    block.into()
}

fn xor(left: &[u8], right: &[u8; 16]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

fn tag(aes: &Aes256, nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> [u8; 16] {
    let subkey = u128::from_be_bytes(encrypt(aes, [0; 16]));
    let lengths = ((aad.len() as u128 * 8) << 64) | (text.len() as u128 * 8);
    let mut sum = 0;
    for block in aad.chunks(16).chain(text.chunks(16)) {
        let mut padded = [0; 16];
        padded[..block.len()].copy_from_slice(block);
        sum = multiply(sum ^ u128::from_be_bytes(padded), subkey);
    }
    sum = multiply(sum ^ lengths, subkey);
    (sum ^ u128::from_be_bytes(keystream(aes, nonce, 1))).to_be_bytes()
}

/// Multiplication in GF(2^128), bit by bit, in GCM's order of bits.
fn multiply(left: u128, right: u128) -> u128 {
    let (mut product, mut factor) = (0, right);
    for bit in (0..128).rev() {
        if (left >> bit) & 1 == 1 {
            product ^= factor;
        }
        factor = (factor >> 1) ^ if factor & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hex, unhex};

    /// Test case 16 of the GCM specification.
    #[test]
    fn gcm_is_that_of_the_specification() {
        let array = |text: &str| unhex(text);
        let key = array("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = array("cafebabefacedbaddecaf888");
        let aad = array("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let text = array(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let (key, nonce) = (key.try_into().expect("32 bytes"), nonce.try_into().expect("12 bytes"));
        let sealed = seal(&key, &nonce, &aad, &text);
        assert_eq!(hex(&sealed[60..]), "76fc6ece0f4e1768cddf8853bb2d551b");
        assert_eq!(open(&key, &nonce, &aad, &sealed), Some(text));
        assert_eq!(open(&key, &nonce, &aad[1..], &sealed), None);
    }
}
