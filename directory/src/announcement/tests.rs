use super::*;

fn alice() -> (Identity, Announcement) {
    let identity = Identity::from_seed([1; 32]);
    let announcement = Announcement {
        peer_id: identity.peer_id(),
        name: "alice".parse().unwrap(),
        addresses: vec!["192.0.2.7:4000".parse().unwrap(), "[2001:db8::7]:4000".parse().unwrap()],
        services: vec!["chat".to_owned(), "files".to_owned()],
        sequence: 1_700_000_000_000,
        lease: Duration::from_secs(60),
    };
    (identity, announcement)
}

/// Signs whatever text a test wants signed.
fn sign_text(identity: &Identity, domain: &[u8], statement: &str) -> SignedStatement {
    SignedStatement { statement: statement.into(), signature: identity.sign(&signed_bytes(domain, statement)) }
}

/// The statement of `alice` with one piece replaced, signed properly.
fn altered(from: &str, to: &str) -> Result<Announcement, StatementError> {
    let (identity, announcement) = alice();
    let signed = announcement.sign(&identity).unwrap();
    assert!(signed.statement().contains(from), "{from}");
    sign_text(&identity, ANNOUNCE_DOMAIN, &signed.statement().replace(from, to)).verify_announcement()
}

#[test]
fn what_is_signed_comes_back() {
    let (identity, announcement) = alice();
    let signed = announcement.sign(&identity).unwrap();
    let back = SignedStatement::from_json(signed.to_json().as_bytes()).unwrap();
    assert_eq!(back, signed);
    assert_eq!(back.verify_announcement().unwrap(), announcement);
    let withdrawal = Withdrawal { peer_id: identity.peer_id(), sequence: 5 };
    let signed = withdrawal.sign(&identity).unwrap();
    assert_eq!(signed.verify_withdrawal().unwrap(), withdrawal);
}

#[test]
fn each_flipped_bit_of_the_envelope_is_refused() {
    let (identity, announcement) = alice();
    let json = announcement.sign(&identity).unwrap().to_json();
    for index in 0..json.len() * 8 {
        let mut bytes = json.clone().into_bytes();
        bytes[index / 8] ^= 1 << (index % 8);
        let result = SignedStatement::from_json(&bytes).and_then(|signed| signed.verify_announcement());
        assert!(result.is_err(), "bit {index} of {json}");
    }
}

#[test]
fn flipped_bits_of_the_statement_are_refused_by_the_signature_alone() {
    let (identity, announcement) = alice();
    let signed = announcement.sign(&identity).unwrap();
    // Steps of 7 visit every byte and every position in a byte; the envelope's test flips them all.
    for index in (0..signed.statement.len() * 8).step_by(7) {
        let mut bytes = signed.statement.as_bytes().to_vec();
        bytes[index / 8] ^= 1 << (index % 8);
        let Ok(statement) = String::from_utf8(bytes) else { continue };
        let flipped = SignedStatement { statement: statement.into(), signature: signed.signature };
        assert_eq!(flipped.verify(identity.peer_id(), ANNOUNCE_DOMAIN), Err(StatementError::BadSignature));
    }
}

#[test]
fn a_signature_of_another_peer_or_purpose_is_refused() {
    let (identity, announcement) = alice();
    let signed = announcement.sign(&identity).unwrap();
    let mallory = Identity::from_seed([2; 32]);
    for (identity, domain) in [
        (&mallory, ANNOUNCE_DOMAIN),
        (&identity, WITHDRAW_DOMAIN),
        (&identity, b"landline/1 static\0".as_slice()),
        (&identity, b"".as_slice()),
        (&identity, b"landline/1 announce".as_slice()),
    ] {
        let forged = sign_text(identity, domain, signed.statement());
        assert_eq!(forged.verify_announcement(), Err(StatementError::BadSignature));
    }
    assert!(signed.verify_withdrawal().is_err());
    let withdrawal = Withdrawal { peer_id: identity.peer_id(), sequence: 1 }.sign(&identity).unwrap();
    assert!(withdrawal.verify_announcement().is_err());
    let as_announcement = sign_text(&identity, ANNOUNCE_DOMAIN, withdrawal.statement());
    assert_eq!(as_announcement.verify_withdrawal(), Err(StatementError::BadSignature));
}

#[test]
fn signing_for_another_identity_is_misuse() {
    let (_, announcement) = alice();
    assert!(announcement.sign(&Identity::from_seed([2; 32])).is_err());
}

#[test]
fn names_keep_their_rule() {
    let longest = "a".repeat(63);
    for text in ["al", "a.b", "0-9", "_x", &longest] {
        assert!(text.parse::<Name>().is_ok(), "{text}");
    }
    let too_long = "a".repeat(64);
    for text in ["", "a", "..", "._-", "Alice", "al ice", "al/ice", "é1", "a\0", "<script>", &too_long] {
        assert!(text.parse::<Name>().is_err(), "{text}");
        assert!(altered("\"alice\"", &serde_json::json!(text).to_string()).is_err(), "{text}");
    }
}

#[test]
fn addresses_keep_their_rule() {
    for text in ["127.0.0.1:1", "[::1]:65535", "[fe80::1]:7"] {
        assert!(altered("192.0.2.7:4000", text).is_ok(), "{text}");
    }
    for text in [
        "0.0.0.0:1",
        "[::]:1",
        "224.0.0.1:1",
        "[ff02::1]:1",
        "255.255.255.255:1",
        "192.0.2.7:0",
        "192.0.2.7",
        "192.0.2.7:65536",
        "192.0.2.7:+1",
        "[::ffff:192.0.2.7]:1",
        "[fe80::1%2]:1",
        "2001:db8::1:1",
        "a.example:1",
        "javascript:alert(1)",
        "",
        "[2001:db8::7]:4000",
    ] {
        assert!(altered("192.0.2.7:4000", text).is_err(), "{text}");
    }
    assert!(altered("[\"192.0.2.7:4000\",\"[2001:db8::7]:4000\"]", "[]").is_err());
    let many = |count: u16| {
        let addresses: Vec<String> = (1..=count).map(|port| format!("192.0.2.7:{port}")).collect();
        altered("[\"192.0.2.7:4000\",\"[2001:db8::7]:4000\"]", &serde_json::json!(addresses).to_string())
    };
    assert_eq!(many(32).unwrap().addresses.len(), 32);
    assert!(many(33).is_err());
}

#[test]
fn services_sequence_and_lease_keep_their_rules() {
    assert!(altered("\"services\":[\"chat\",\"files\"],", "").unwrap().services.is_empty());
    assert!(altered("\"files\"", "\"chat\"").is_err());
    assert!(altered("\"files\"", "\"\"").is_err());
    assert!(altered("\"files\"", "\"FILES\"").is_err());
    let many: Vec<String> = (0..17).map(|index| format!("s{index}")).collect();
    assert!(altered("[\"chat\",\"files\"]", &serde_json::json!(many).to_string()).is_err());
    for (text, fits) in [
        ("1", true),
        ("9007199254740991", true),
        ("9007199254740992", false),
        ("18446744073709551615", false),
        ("18446744073709551616", false),
        ("0", false),
        ("-1", false),
        ("1.0", false),
        ("1e3", false),
        ("\"1\"", false),
        ("null", false),
    ] {
        assert_eq!(altered("1700000000000", text).is_ok(), fits, "{text}");
    }
    assert_eq!(altered(",\"lease\":60", "").unwrap().lease, Duration::from_secs(60));
    for (text, fits) in [("0", true), ("9223372036854775808", true), ("-1", false), ("1.5", false), ("\"60\"", false)] {
        assert_eq!(altered("\"lease\":60", &format!("\"lease\":{text}")).is_ok(), fits, "{text}");
    }
}

#[test]
fn unknown_members_are_skipped_and_known_ones_may_not_stand_twice() {
    assert!(altered("\"lease\":60", "\"lease\":60,\"later\":{\"a\":[1,2]}").is_ok());
    assert!(altered("\"lease\":60", "\"lease\":60,\"lease\":60").is_err());
    assert!(altered("\"name\"", "\"name\":\"bob\",\"name\"").is_err());
    assert!(altered("{\"peer_id\"", "[{\"peer_id\"").is_err());
    assert!(altered("\"lease\":60}", "\"lease\":60} ").is_ok(), "blanks are part of the signed bytes");
    assert!(altered("\"lease\":60}", "\"lease\":60}x").is_err());
}

#[test]
fn a_withdrawal_says_that_it_is_one() {
    let (identity, _) = alice();
    let id = identity.peer_id();
    let verify = |text: String| sign_text(&identity, WITHDRAW_DOMAIN, &text).verify_withdrawal();
    assert!(verify(format!("{{\"peer_id\":\"{id}\",\"sequence\":2,\"withdraw\":true}}")).is_ok());
    assert!(verify(format!("{{\"peer_id\":\"{id}\",\"sequence\":2,\"withdraw\":false}}")).is_err());
    assert!(verify(format!("{{\"peer_id\":\"{id}\",\"sequence\":2}}")).is_err());
    assert!(verify(format!("[\"{id}\",2,true]")).is_err(), "members have names");
    assert!(verify(format!("{{\"peer_id\":\"{id}\",\"sequence\":0,\"withdraw\":true}}")).is_err());
}

#[test]
fn envelopes_are_read_strictly() {
    let (identity, announcement) = alice();
    let signed = announcement.sign(&identity).unwrap();
    let statement = serde_json::json!(signed.statement()).to_string();
    let hex = signed.signature_hex();
    let read = |text: String| SignedStatement::from_json(text.as_bytes());
    assert!(read(format!("{{\"signature\":\"{hex}\",\"statement\":{statement},\"x\":1}}")).is_ok());
    assert!(read(format!("{{\"signature\":\"{}\",\"statement\":{statement}}}", hex.to_uppercase())).is_err());
    assert!(read(format!("{{\"signature\":\"{hex}00\",\"statement\":{statement}}}")).is_err());
    assert!(read(format!("{{\"signature\":\"{hex}\",\"signature\":\"{hex}\",\"statement\":{statement}}}")).is_err());
    assert!(read(format!("{{\"signature\":\"{hex}\"}}")).is_err());
    let long = serde_json::json!("x".repeat(STATEMENT_LEN_MAX + 1)).to_string();
    assert!(read(format!("{{\"signature\":\"{hex}\",\"statement\":{long}}}")).is_err());
    assert!(read(format!("[{statement},\"{hex}\"]")).is_err(), "an array is no envelope");
    assert!(SignedStatement::from_json("[".repeat(10_000).as_bytes()).is_err(), "depth is bounded");
}

#[test]
fn sequences_follow_the_clock_and_never_stand_still() {
    let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
    assert_eq!(next_sequence(0, at(1000)), 1000);
    assert_eq!(next_sequence(1000, at(1000)), 1001);
    assert_eq!(next_sequence(5000, at(1000)), 5001);
    assert_eq!(next_sequence(0, UNIX_EPOCH - Duration::from_secs(1)), 1);
    assert_eq!(next_sequence(u64::MAX, at(0)), SEQUENCE_MAX);
}

#[test]
fn the_vectors_that_other_implementations_read_are_ours() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../vectors/announcement.json")).unwrap();
    let (identity, announcement) = alice();
    assert_eq!(vectors["peer_id"], identity.peer_id().to_string());
    assert_eq!(vectors["fingerprint"], identity.peer_id().fingerprint());
    let withdrawal = Withdrawal { peer_id: identity.peer_id(), sequence: 1_700_000_000_001 };
    for (kind, signed) in [("announcement", announcement.sign(&identity)), ("withdrawal", withdrawal.sign(&identity))] {
        let signed = signed.unwrap();
        assert_eq!(vectors[kind]["statement"], signed.statement());
        assert_eq!(vectors[kind]["signature"], signed.signature_hex());
    }
}
