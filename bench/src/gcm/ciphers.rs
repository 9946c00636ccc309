//! Each implementation as [`Cipher`].

use super::{AAD, KEY};
use landline::crypto::gcm::{HEAD_LEN, Implementation, Key};

/// AES-256-GCM under [`KEY`], with [`AAD`].
pub trait Cipher {
    /// What tells it apart beside the key.
    type Kind: Copy;

    /// Expands [`KEY`].
    fn new(kind: Self::Kind) -> Self;

    /// Encrypts in place and returns the tag.
    fn seal(&self, nonce: [u8; 12], text: &mut [u8]) -> [u8; 16];

    /// Decrypts in place; whether the tag was right. `text` has the tag behind it, as two of the libraries want it.
    fn open(&self, nonce: [u8; 12], text_and_tag: &mut [u8]) -> bool;

    /// Encrypts a head and a body into `dst`. By default as one does with a library that has no such call: copy, then
    /// seal.
    fn seal_to(&self, nonce: [u8; 12], head: &[u8; HEAD_LEN], body: &[u8], dst: &mut [u8]) -> [u8; 16] {
        dst[..HEAD_LEN].copy_from_slice(head);
        dst[HEAD_LEN..].copy_from_slice(body);
        self.seal(nonce, dst)
    }
}

/// One of the engine's.
#[derive(Debug)]
pub struct Ours(Key);

impl Cipher for Ours {
    type Kind = Implementation;

    fn new(implementation: Implementation) -> Ours {
        Ours(Key::with(implementation, &KEY).expect("only what is available is measured"))
    }

    fn seal(&self, nonce: [u8; 12], text: &mut [u8]) -> [u8; 16] {
        self.0.seal_in_place(&nonce, &AAD, text)
    }

    fn open(&self, nonce: [u8; 12], text_and_tag: &mut [u8]) -> bool {
        let Some((text, tag)) = text_and_tag.split_last_chunk_mut() else { return false };
        self.0.open_in_place(&nonce, &AAD, text, tag).is_ok()
    }

    fn seal_to(&self, nonce: [u8; 12], head: &[u8; HEAD_LEN], body: &[u8], dst: &mut [u8]) -> [u8; 16] {
        self.0.seal_to(&nonce, &AAD, head, body, dst)
    }
}

/// aws-lc-rs and ring have the same interface.
#[cfg(feature = "rivals")]
macro_rules! cipher_of {
    ($name:ident, $library:ident) => {
        #[doc = concat!("The library `", stringify!($library), "`.")]
        #[derive(Debug)]
        pub struct $name($library::aead::LessSafeKey);

        impl Cipher for $name {
            type Kind = ();

            fn new((): ()) -> $name {
                use $library::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
                $name(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("a key has 32 bytes")))
            }

            fn seal(&self, nonce: [u8; 12], text: &mut [u8]) -> [u8; 16] {
                use $library::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(AAD), text).expect("the text is short");
                tag.as_ref().try_into().expect("a tag has 16 bytes")
            }

            fn open(&self, nonce: [u8; 12], text_and_tag: &mut [u8]) -> bool {
                use $library::aead::{Aad, Nonce};
                self.0.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(AAD), text_and_tag).is_ok()
            }
        }
    };
}

#[cfg(feature = "rivals")]
cipher_of!(AwsLc, aws_lc_rs);
#[cfg(feature = "rivals")]
cipher_of!(Ring, ring);

/// The library `graviola`.
#[cfg(feature = "rivals")]
pub struct Graviola(graviola::aead::AesGcm);

#[cfg(feature = "rivals")]
impl Cipher for Graviola {
    type Kind = ();

    fn new((): ()) -> Graviola {
        Graviola(graviola::aead::AesGcm::new(&KEY))
    }

    fn seal(&self, nonce: [u8; 12], text: &mut [u8]) -> [u8; 16] {
        let mut tag = [0; 16];
        self.0.encrypt(&nonce, &AAD, text, &mut tag);
        tag
    }

    fn open(&self, nonce: [u8; 12], text_and_tag: &mut [u8]) -> bool {
        let Some((text, tag)) = text_and_tag.split_last_chunk_mut::<16>() else { return false };
        self.0.decrypt(&nonce, &AAD, text, tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal_by<C: Cipher>(kind: C::Kind, len: usize) -> Vec<u8> {
        let cipher = C::new(kind);
        let text: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let mut sealed = text.clone();
        let tag = cipher.seal([7; 12], &mut sealed);
        if let Some((head, body)) = text.split_first_chunk() {
            let mut dst = vec![0; len];
            assert_eq!((cipher.seal_to([7; 12], head, body, &mut dst), &dst), (tag, &sealed));
        }
        sealed.extend_from_slice(&tag);
        let mut opened = sealed.clone();
        assert!(cipher.open([7; 12], &mut opened) && opened[..len] == text, "{len} bytes");
        let mut forged = sealed.clone();
        forged[len] ^= 1;
        assert!(!cipher.open([7; 12], &mut forged), "{len} bytes");
        sealed
    }

    #[test]
    fn everybody_computes_the_same_and_refuses_a_bad_tag() {
        for len in [0, 64, 1000] {
            let expected = seal_by::<Ours>(Implementation::Portable, len);
            for implementation in Implementation::available() {
                assert_eq!(seal_by::<Ours>(implementation, len), expected, "{implementation}");
            }
            #[cfg(feature = "rivals")]
            {
                assert_eq!(seal_by::<AwsLc>((), len), expected);
                assert_eq!(seal_by::<Ring>((), len), expected);
                assert_eq!(seal_by::<Graviola>((), len), expected);
            }
        }
    }
}
