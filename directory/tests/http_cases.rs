//! Every case of the table, whole, cut at each byte, and byte by byte: the same comes out.
#![allow(clippy::unwrap_used)]

mod cases;

use bytes::BytesMut;
use cases::{Case, SECOND};
use landline_directory::http::{HttpError, Request, RequestParser};

/// What came out of one connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    requests: Vec<Request>,
    error: Option<HttpError>,
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut parser = RequestParser::new();
    let mut input = BytesMut::new();
    let mut outcome = Outcome { requests: Vec::new(), error: None };
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match parser.poll_request(&mut input) {
                Ok(Some(request)) => outcome.requests.push(request),
                Ok(None) => break,
                Err(error) => assert_eq!(outcome.error.replace(error), None, "an error is the last thing to come out"),
            }
        }
    }
    outcome
}

fn check(case: &Case) -> Outcome {
    let shown: String = case.input.chars().take(300).collect();
    let whole = run([case.input.as_bytes()]);
    let status = whole.error.map_or(0, |error| error.status);
    assert_eq!((whole.requests.len(), status), (case.count, case.status), "{shown:?}: {whole:?}");
    whole
}

#[test]
fn every_case_has_its_outcome() {
    let cases = cases::all();
    assert!(cases.len() >= 290, "{}", cases.len());
    // Those that are wrong with a whole request behind, which must not run.
    let hostile = cases.iter().filter(|case| case.status != 0 && case.input.contains(SECOND)).count();
    assert!(hostile >= 200, "{hostile}");
    cases.iter().for_each(|case| {
        check(case);
    });
}

#[test]
fn cutting_changes_nothing() {
    for case in cases::all() {
        let whole = check(&case);
        let bytes = case.input.as_bytes();
        assert_eq!(run(bytes.chunks(1)), whole, "byte by byte: {:?}", case.input);
        // The long ones are there for their length: cut them now and then.
        let step = bytes.len() / 500 + 1;
        for cut in (0..bytes.len()).step_by(step) {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(run([left, right]), whole, "cut at {cut}: {:?}", case.input);
        }
    }
}

#[test]
fn a_pipelined_request_behind_an_error_never_comes_out() {
    for case in cases::all().iter().filter(|case| case.status != 0 && case.input.ends_with(SECOND)) {
        assert!(check(case).requests.is_empty());
    }
}

#[test]
fn every_error_says_what_to_do_in_words() {
    for case in cases::all() {
        if let Some(error) = check(&case).error {
            assert!(error.detail.len() > 15, "{error}");
        }
    }
}

#[test]
fn parsing_byte_by_byte_costs_no_more_than_the_bytes() {
    // A header near the limit, fifty times in pieces of one byte: quadratic work would take minutes.
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(16_000));
    for _ in 0..50 {
        assert_eq!(run(head.as_bytes().chunks(1)).requests.len(), 1);
    }
}

#[test]
fn a_head_of_a_mebibyte_is_refused_at_its_limit_and_costs_nothing_afterwards() {
    let (mut parser, mut input) = (RequestParser::new(), BytesMut::new());
    input.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\nX: ");
    let mut refused_at = None;
    for len in 0..1024 * 1024 {
        input.extend_from_slice(b"y");
        if let Err(error) = parser.poll_request(&mut input) {
            assert_eq!((error.status, refused_at.replace(len)), (431, None));
        }
        assert!(input.len() <= 16 * 1024 && (refused_at.is_none() || input.is_empty()));
    }
    assert!(refused_at.is_some_and(|len| len < 16 * 1024));
}

/// Random bytes from a small alphabet: whatever comes out, whole and in pieces it is the same, and nothing panics.
#[test]
fn noise_is_taken_the_same_way_however_it_is_cut() {
    const WORDS: [&[u8]; 16] = [
        b"GET / HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"0\r\n\r\n",
        b"5\r\nabcde\r\n",
        b" ",
        b":",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"abcde",
        b"\0",
        b"PUT /x HTTP/1.1\r\n",
        b"\xff",
        b";",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..5000 {
        let bytes: Vec<u8> = (0..random(20)).flat_map(|_| WORDS[random(WORDS.len())].iter().copied()).collect();
        let whole = run([&bytes[..]]);
        assert_eq!(run(bytes.chunks(1 + random(7))), whole, "{:?}", String::from_utf8_lossy(&bytes));
    }
}
