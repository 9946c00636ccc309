//! No cipher at all, in the place of the portable one: what the engine costs without crypto. Texts stay as they are and
//! every tag is zero. Compiled only with `--cfg landline_null_cipher`, which no feature or profile sets, and only where the
//! build says in its environment as well that it means it.

use super::{HEAD_LEN, KEY_LEN, NONCE_LEN, TAG_LEN};

const _: () =
    assert!(option_env!("LANDLINE_NULL_CIPHER").is_some(), "landline_null_cipher is for `compare null` alone");

pub(super) struct Key;

impl Key {
    pub(super) fn new(_key: &[u8; KEY_LEN]) -> Key {
        Key
    }

    pub(super) fn seal_in_place(&self, _nonce: &[u8; NONCE_LEN], _aad: &[u8], _text: &mut [u8]) -> [u8; TAG_LEN] {
        [0; TAG_LEN]
    }

    pub(super) fn seal_to(
        &self,
        _nonce: &[u8; NONCE_LEN],
        _aad: &[u8],
        head: &[u8; HEAD_LEN],
        body: &[u8],
        dst: &mut [u8],
    ) -> [u8; TAG_LEN] {
        dst[..HEAD_LEN].copy_from_slice(head);
        dst[HEAD_LEN..].copy_from_slice(body);
        [0; TAG_LEN]
    }

    pub(super) fn open_in_place(&self, _nonce: &[u8; NONCE_LEN], _aad: &[u8], _text: &mut [u8]) -> [u8; TAG_LEN] {
        [0; TAG_LEN]
    }
}
