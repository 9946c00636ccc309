//! AES-256-GCM put together from the crates `aes` and `ghash`, which pick the processor's AES and
//! carry-less multiplication by themselves. Called only by the interface above it, which has
//! checked the lengths; it computes tags and does not judge them.
//!
//! One pass: a piece of the text that stays in the first-level cache is encrypted and hashed before
//! the next is touched. The whole pass runs inside the closure to which `aes` hands its backend, so
//! that the backend is set up once per text, and the loops here are compiled for the same processor
//! features as the cipher.

use aes::cipher::consts::U16;
use aes::cipher::inout::{InOut, InOutBuf};
use aes::cipher::typenum::Unsigned;
use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit, ParBlocks,
};
use aes::{Aes256Enc, Block};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use super::{HEAD_LEN, KEY_LEN, NONCE_LEN, TAG_LEN};

const BLOCK_LEN: usize = 16;

/// Cipher batches in one piece. `ghash` is fast only with four blocks at a time, and four batches
/// are a multiple of four blocks whatever the cipher's batch is (4 to 64 blocks by processor); the
/// largest piece is 4 KiB. Measured on Zen 3, where a batch is 8 blocks: 1 loses 15 % against 4.
const BATCHES_PER_PIECE: usize = 4;

/// A key in the forms that the two halves of GCM want. Both wipe themselves on drop.
pub(super) struct Key {
    cipher: Aes256Enc,
    /// GHASH under the key `E(0)` with nothing hashed yet. Cloned for each text, because that is
    /// cheaper than expanding it again.
    hash: GHash,
}

impl Key {
    pub(super) fn new(key: &[u8; KEY_LEN]) -> Key {
        let cipher = Aes256Enc::new(key.into());
        let mut hash_key = Block::default();
        cipher.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        hash_key.as_mut_slice().zeroize();
        Key { cipher, hash }
    }

    /// Encrypts `text` and returns its tag.
    pub(super) fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        self.run(Direction::Seal, nonce, aad, None, text.into())
    }

    /// Encrypts `head` and `body` into `dst` and returns the tag.
    pub(super) fn seal_to(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        head: &[u8; HEAD_LEN],
        body: &[u8],
        dst: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let (head_dst, body_dst) = dst.split_at_mut(HEAD_LEN);
        let mut head_block = Block::from(*head);
        let body = InOutBuf::new(body, body_dst).expect("the interface compared the lengths");
        let tag = self.run(Direction::Seal, nonce, aad, Some(&mut head_block), body);
        head_dst.copy_from_slice(&head_block);
        tag
    }

    /// Decrypts `text` and returns the tag that it ought to have come with.
    pub(super) fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        self.run(Direction::Open, nonce, aad, None, text.into())
    }

    fn run(
        &self,
        direction: Direction,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        head: Option<&mut Block>,
        body: InOutBuf<'_, '_, u8>,
    ) -> [u8; TAG_LEN] {
        let text_len = body.len() + if head.is_some() { HEAD_LEN } else { 0 };
        let mut hash = self.hash.clone();
        hash.update_padded(aad);
        let mut tag = Block::default();
        let mask = &mut tag;
        let pass = Pass { direction, nonce, head, body, hash: &mut hash, mask };
        self.cipher.encrypt_with_backend(pass);
        hash.update(&[lengths_block(aad.len(), text_len)]);
        for (byte, hashed) in tag.iter_mut().zip(hash.finalize()) {
            *byte ^= hashed;
        }
        tag.into()
    }
}

/// The last block that GHASH takes in: both lengths in bits, big endian (SP 800-38D, 7.1 step 5).
fn lengths_block(aad_len: usize, text_len: usize) -> Block {
    let mut block = Block::default();
    block[..8].copy_from_slice(&(aad_len as u64 * 8).to_be_bytes());
    block[8..].copy_from_slice(&(text_len as u64 * 8).to_be_bytes());
    block
}

#[derive(Clone, Copy)]
enum Direction {
    Seal,
    Open,
}

/// The work on one text: counter mode over `head` and `body`, and GHASH over the ciphertext.
struct Pass<'a, 'i, 'o> {
    direction: Direction,
    nonce: &'a [u8; NONCE_LEN],
    /// Plaintext in, ciphertext out. Only ever sealed.
    head: Option<&'a mut Block>,
    body: InOutBuf<'i, 'o, u8>,
    hash: &'a mut GHash,
    /// Out: the block that masks the hash to make the tag.
    mask: &'a mut Block,
}

impl BlockSizeUser for Pass<'_, '_, '_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Pass<'_, '_, '_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let mut keystream = Keystream::new(backend, self.nonce);
        *self.mask = keystream.next_block();
        if let Some(head) = self.head {
            InOut::from(&mut *head).xor_in2out(&keystream.next_block());
            self.hash.update(std::slice::from_ref(head));
        }
        let piece_len = BATCHES_PER_PIECE * B::ParBlocksSize::USIZE * BLOCK_LEN;
        let mut rest = self.body;
        while !rest.is_empty() {
            let len = rest.len().min(piece_len);
            let (mut piece, after) = rest.split_at(len);
            match self.direction {
                Direction::Seal => {
                    keystream.apply(piece.reborrow());
                    self.hash.update_padded(piece.get_out());
                }
                Direction::Open => {
                    self.hash.update_padded(piece.get_in());
                    keystream.apply(piece);
                }
            }
            rest = after;
        }
    }
}

/// The encrypted counter blocks of one nonce. `counter` belongs to the block to be made next; block
/// 1 masks the tag, the text begins at 2. The length limit of the interface keeps it from wrapping.
struct Keystream<'b, B> {
    backend: &'b B,
    nonce: [u8; NONCE_LEN],
    counter: u32,
}

impl<'b, B: BlockCipherEncBackend<BlockSize = U16>> Keystream<'b, B> {
    #[inline(always)]
    fn new(backend: &'b B, nonce: &[u8; NONCE_LEN]) -> Self {
        Keystream { backend, nonce: *nonce, counter: 1 }
    }

    #[inline(always)]
    fn next_block(&mut self) -> Block {
        let mut block = self.next_counter_block();
        self.backend.encrypt_block_inplace(&mut block);
        block
    }

    /// Combines keystream with `text`. Only the last `text` may have a length
    /// other than whole batches.
    #[inline(always)]
    fn apply(&mut self, text: InOutBuf<'_, '_, u8>) {
        let (blocks, tail) = text.into_chunks::<U16>();
        let (batches, blocks) = blocks.into_chunks::<B::ParBlocksSize>();
        for mut batch in batches {
            batch.xor_in2out(&self.next_batch());
        }
        if blocks.len() > B::ParBlocksSize::USIZE / 4 {
            self.apply_most_of_a_batch(blocks, tail);
        } else {
            self.apply_few(blocks, tail);
        }
    }

    /// The end of a text, less than a batch. The widest backends make a full batch in the time of a
    /// quarter of it block by block, and the others lose nothing by it; what is left over is
    /// dropped, which is why nothing may follow.
    #[inline(always)]
    fn apply_most_of_a_batch(&mut self, blocks: InOutBuf<'_, '_, Block>, mut tail: InOutBuf<'_, '_, u8>) {
        let block_count = blocks.len();
        let keystream = self.next_batch();
        for (mut block, key) in blocks.into_iter().zip(&keystream) {
            block.xor_in2out(key);
        }
        if !tail.is_empty() {
            tail.xor_in2out(&keystream[block_count][..tail.len()]);
        }
    }

    #[inline(always)]
    fn apply_few(&mut self, blocks: InOutBuf<'_, '_, Block>, mut tail: InOutBuf<'_, '_, u8>) {
        for mut block in blocks {
            block.xor_in2out(&self.next_block());
        }
        if !tail.is_empty() {
            tail.xor_in2out(&self.next_block()[..tail.len()]);
        }
    }

    #[inline(always)]
    fn next_batch(&mut self) -> ParBlocks<B> {
        let mut batch = ParBlocks::<B>::default();
        for block in &mut batch {
            *block = self.next_counter_block();
        }
        self.backend.encrypt_par_blocks_inplace(&mut batch);
        batch
    }

    #[inline(always)]
    fn next_counter_block(&mut self) -> Block {
        let mut block = Block::default();
        block[..NONCE_LEN].copy_from_slice(&self.nonce);
        block[NONCE_LEN..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        block
    }
}
