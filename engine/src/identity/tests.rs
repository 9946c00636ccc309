//! PeerIds, signatures and the key file.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

const SEED: [u8; 32] = [0x5a; 32];

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Writes `text` as a private file and loads it, which must fail; returns what the user would read.
fn load_error(text: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    write_new(&path, text).unwrap();
    let error = Identity::load(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::Malformed { .. }), "{error:?}");
    error.to_string()
}

fn parse(text: &str) -> Result<PeerId, PeerIdParseError> {
    text.parse()
}

/// RFC 8032, section 7.1, tests 1 to 3.
#[test]
fn the_rfc_8032_vectors_come_out() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[][..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39\
             701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f36\
             13d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            &[0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7\
             60984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in cases {
        let identity = Identity::from_seed(unhex(seed));
        assert_eq!(identity.peer_id().as_bytes(), &unhex(public));
        assert_eq!(identity.sign(message), unhex(signature));
        identity.peer_id().verify(message, &unhex(signature)).unwrap();
    }
}

#[test]
fn a_signature_fits_one_message_and_one_peer() {
    let identity = Identity::from_seed(SEED);
    let stranger = Identity::from_seed([1; 32]).peer_id();
    let signature = identity.sign(b"message");
    assert_eq!(identity.peer_id().verify(b"message", &signature), Ok(()));
    assert_eq!(identity.peer_id().verify(b"massage", &signature), Err(BadSignature));
    assert_eq!(stranger.verify(b"message", &signature), Err(BadSignature));
    for bit in (0..512).step_by(7) {
        let mut bad = signature;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(identity.peer_id().verify(b"message", &bad), Err(BadSignature), "bit {bit}");
    }
}

#[test]
fn a_key_of_small_order_verifies_nothing() {
    // The neutral element as key and as R, with s = 0, satisfies the equation for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let peer_id = PeerId::from_bytes(neutral);
    assert_eq!(peer_id.verify(b"anything", &signature), Err(BadSignature));
}

#[test]
fn the_table_of_small_orders_holds_just_the_eight() {
    let with_sign = |y: &[u8; 32], sign: u8| {
        let mut bytes = *y;
        bytes[31] |= sign;
        bytes
    };
    let encodings: BTreeSet<[u8; 32]> =
        SMALL_ORDER_Y.iter().flat_map(|y| [with_sign(y, 0), with_sign(y, 0x80)]).collect();
    assert_eq!(encodings.len(), 10, "eight points, and two whose x is 0 and has no sign");
    for bytes in encodings {
        assert!(is_small_order(&bytes) && VerifyingKey::from_bytes(&bytes).unwrap().is_weak());
    }
    assert!(!is_small_order(Identity::from_seed(SEED).peer_id().as_bytes()));
}

#[test]
fn an_r_of_small_order_verifies_nothing() {
    // Made with the secret key: R is the neutral element and s = k a, so that the equation holds.
    let identity = Identity::from_seed([9; 32]);
    let mut signature = [0; 64];
    signature[0] = 1;
    signature[32..].copy_from_slice(&unhex::<32>("b287e26cf2d943e4b91f8f947a43613f9a45c66870359e4a6f7ebc70fd1d6b06"));
    let key = identity.key.verifying_key();
    assert!(key.verify(b"anything", &Signature::from_bytes(&signature)).is_ok(), "a lax check takes it");
    assert_eq!(identity.peer_id().verify(b"anything", &signature), Err(BadSignature));
}

#[test]
fn what_verifies_is_what_verifies_strictly() {
    let keys: Vec<[u8; 32]> = (SMALL_ORDER_Y.iter().copied())
        .chain([*Identity::from_seed(SEED).peer_id().as_bytes(), [2; 32], [0xff; 32]])
        .collect();
    let points = keys.iter().chain([&[3; 32], &[0xee; 32]]);
    for (key, r, s) in keys.iter().flat_map(|key| points.clone().flat_map(move |r| [0, 1, 0xff].map(|s| (key, r, s)))) {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(r);
        signature[32] = s;
        let strictly = VerifyingKey::from_bytes(key)
            .and_then(|key| key.verify_strict(b"anything", &Signature::from_bytes(&signature)));
        assert_eq!(PeerId::from_bytes(*key).verify(b"anything", &signature).is_ok(), strictly.is_ok());
    }
}

#[test]
fn bytes_that_are_no_key_verify_nothing() {
    let all = (0..=255).map(|byte| PeerId::from_bytes([byte; 32]));
    let no_key = |id: &PeerId| VerifyingKey::from_bytes(id.as_bytes()).is_err();
    let no_keys: Vec<PeerId> = all.filter(no_key).collect();
    assert!(!no_keys.is_empty());
    for peer_id in no_keys {
        assert_eq!(peer_id.verify(b"", &[0; 64]), Err(BadSignature));
    }
}

#[test]
fn a_peer_id_has_the_text_form_of_rfc_4648() {
    // Made with Python: base64.b32encode(bytes(range(32))).lower().rstrip(b"=")
    let counting = PeerId::from_bytes(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    assert_eq!(counting.to_string(), "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq");
    assert_eq!(counting.short(), "aaaqeaye");
    assert_eq!(format!("{counting:?}"), format!("PeerId({counting})"));
    assert_eq!(PeerId::from_bytes([0; 32]).to_string(), "a".repeat(52));
    assert_eq!(PeerId::from_bytes([255; 32]).to_string(), "7".repeat(51) + "q");
}

#[test]
fn every_text_form_parses_back() {
    for bit in 0..256 {
        let mut bytes = [0; 32];
        bytes[bit / 8] = 1 << (bit % 8);
        for bytes in [bytes, bytes.map(|byte| !byte)] {
            let peer_id = PeerId::from_bytes(bytes);
            assert_eq!(parse(&peer_id.to_string()), Ok(peer_id));
        }
    }
}

#[test]
fn only_the_one_text_form_parses() {
    let good = Identity::from_seed(SEED).peer_id().to_string();
    assert!(parse(&good).is_ok());
    assert_eq!(parse(""), Err(PeerIdParseError::Length { found_len: 0 }));
    assert_eq!(parse(&good[1..]), Err(PeerIdParseError::Length { found_len: 51 }));
    assert_eq!(parse(&(good.clone() + "a")), Err(PeerIdParseError::Length { found_len: 53 }));
    for (index, found) in [(0, 'A'), (7, '1'), (20, '8'), (30, 'é'), (51, '='), (3, ' ')] {
        let mut text: Vec<char> = good.chars().collect();
        text[index] = found;
        let text: String = text.into_iter().collect();
        assert_eq!(parse(&text), Err(PeerIdParseError::Character { index, found }));
    }
    for last in "bcdefghijklmnoprstuvwxyz234567".chars() {
        let text = format!("{}{last}", &good[..51]);
        assert_eq!(parse(&text), Err(PeerIdParseError::LastCharacter), "{last}");
    }
}

#[test]
fn a_parse_error_says_what_is_wrong_and_where() {
    let error = parse(&"A".repeat(52)).unwrap_err().to_string();
    assert!(error.contains("character 1 ") && error.contains("lower case"), "{error}");
    let error = parse("abc").unwrap_err().to_string();
    assert!(error.contains("52") && error.contains('3'), "{error}");
}

#[test]
fn a_fingerprint_is_eight_groups_of_five_digits() {
    // Made with Python: hashlib.sha256(b"landline/1 fingerprint\0" + bytes(32)).digest()[:16]
    let zero = PeerId::from_bytes([0; 32]).fingerprint();
    assert_eq!(zero, "01877 61891 46304 64353 16583 59888 33726 54970");
    let all: BTreeSet<String> = (0..=255).map(|byte| PeerId::from_bytes([byte; 32]).fingerprint()).collect();
    assert_eq!(all.len(), 256);
    for fingerprint in all {
        let groups: Vec<&str> = fingerprint.split(' ').collect();
        assert_eq!(groups.len(), 8);
        assert!(groups.iter().all(|g| g.len() == 5 && g.parse::<u16>().is_ok()), "{fingerprint}");
    }
}

#[test]
fn debug_of_an_identity_shows_the_peer_id_only() {
    let identity = Identity::from_seed(SEED);
    let expected = format!("Identity {{ peer_id: PeerId({}), .. }}", identity.peer_id());
    assert_eq!(format!("{identity:?}"), expected);
}

#[test]
fn a_created_identity_loads_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/key");
    let created = Identity::create(&path, SEED).unwrap();
    assert_eq!(Identity::load(&path).unwrap().peer_id(), created.peer_id());
    assert_eq!(created.peer_id(), Identity::from_seed(SEED).peer_id());
    assert_eq!(names_in(path.parent().unwrap()), ["key"], "the temporary file is gone");
}

#[test]
fn a_key_file_is_one_line_of_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    Identity::create(&path, [0; 32]).unwrap();
    let expected = format!("landline-identity-1 {}\n", "a".repeat(52));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[cfg(unix)]
#[test]
fn key_file_and_directory_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/key");
    Identity::create(&path, SEED).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_touch_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    Identity::create(&path, SEED).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o610, 0o601, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Identity::load(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { mode: m, .. } if m == mode), "{error:?}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    Identity::load(&path).unwrap();
}

#[test]
fn an_existing_file_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let first = Identity::create(&path, SEED).unwrap();
    let error = Identity::create(&path, [1; 32]).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }), "{error:?}");
    assert_eq!(Identity::load(&path).unwrap().peer_id(), first.peer_id());
    assert_eq!(names_in(directory.path()), ["key"]);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced_either() {
    let directory = tempfile::tempdir().unwrap();
    let (temporary, path) = (directory.path().join("new"), directory.path().join("key"));
    write_new(&temporary, b"ours").unwrap();
    write_new(&path, b"theirs").unwrap();
    let error = place(&temporary, &path, b"ours").unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
}

#[test]
fn identities_made_at_once_at_one_path_leave_exactly_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("key");
    let made: Vec<Identity> = std::thread::scope(|scope| {
        let create = |byte| scope.spawn(move || Identity::create(path, [byte; 32]));
        let threads: Vec<_> = (0..8).map(create).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
    });
    assert_eq!(made.len(), 1);
    assert_eq!(Identity::load(path).unwrap().peer_id(), made[0].peer_id());
    assert_eq!(names_in(directory.path()), ["key"]);
}

#[test]
fn a_missing_key_file_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let error = Identity::load(&directory.path().join("key")).unwrap_err();
    assert!(matches!(error, KeyFileError::Missing { .. }), "{error:?}");
}

#[test]
fn a_key_file_is_read_strictly() {
    let seed = "a".repeat(52);
    let line = |rest: &str| load_error(format!("landline-identity-1 {rest}").as_bytes());
    assert!(load_error(b"").contains("does not begin with"));
    assert!(load_error(b"-----BEGIN OPENSSH PRIVATE KEY-----\n").contains("does not begin with"));
    assert!(load_error(b"landline-identity-2 x\n").contains("version"));
    assert!(line("abc\n").contains("cut short"));
    assert!(line(&seed).contains("does not end"));
    assert!(line(&format!("{seed}\r\n")).contains("does not end"));
    assert!(line(&format!("{seed}\n\n")).contains("does not end"));
    assert!(line(&format!("{seed}\n{}", "x".repeat(5000))).contains("does not end"));
    assert!(line(&format!("{}\n", "A".repeat(52))).contains("base32"));
    assert!(line(&format!("{}b\n", &seed[1..])).contains("base32"));
}

#[cfg(unix)]
#[test]
fn a_key_file_error_shows_nothing_of_the_seed() {
    let text = format!("landline-identity-1 {}\n", "secret27".repeat(6) + "abcb");
    let error = load_error(text.as_bytes());
    assert!(!error.contains("secret27"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_directory_is_no_key_file() {
    let directory = tempfile::tempdir().unwrap();
    let error = Identity::load(directory.path()).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Identity::create(&file.join("key"), SEED).unwrap_err();
    assert!(matches!(error, KeyFileError::Io { action: "create", .. }), "{error:?}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}
