//! Strangers at the port of a listener.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{DEADLINE, Directory, Listener, User};

/// Sends bytes and reads until the other side ends the connection.
fn poke(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may be refused before it is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "not ended in time"),
    }
    answer
}

#[test]
fn garbage_before_the_handshake_ends_that_connection_and_nothing_else() {
    let directory = Directory::start();
    let mut bob = Listener::start(&directory);
    let huge = [&b"LANDLINE\x01\x10\xff\xff\xff"[..], &[0; 100_000]].concat();
    for bytes in [&b"GET / HTTP/1.1\r\nHost: bob\r\n\r\n"[..], &[0xff; 4096], b"LANDLINE\x01\x01\0\0\x11", &huge] {
        poke(bob.address(), bytes);
    }
    let answer = poke(bob.address(), b"LANDLINE\x7f");
    assert!(!answer.is_empty(), "an unknown suite is answered in the clear");
    let alice = User::new(&directory.url);
    alice.run_with(["chat", "bob", "--accept-new"], b"still there?\n").succeeds();
    bob.running.stdout_line("alice?: still there?");
}

#[test]
fn a_server_that_is_not_landline_is_named_as_such() {
    let directory = Directory::start();
    let address = directory.url.strip_prefix("http://").unwrap();
    let alice = User::new(&directory.url);
    let exact = format!("{}@{address}", User::new(&directory.url).peer_id());
    let finished = alice.run_with(["chat", &exact], b"hello\n");
    finished.fails(1, &[]);
}
