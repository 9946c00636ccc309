//! Parsing the head of a request to the directory: what a look-up costs before anybody looks anything up.

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use landline_directory::http::RequestParser;
use std::hint::black_box;

/// What `curl` sends.
const SHORT: &[u8] =
    b"GET /v1/peers/alice HTTP/1.1\r\nHost: 192.168.1.5:25263\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("http");
    let long = browser_request();
    for (name, request) in [("short head", SHORT), ("browser's head", &long)] {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(name, |bencher| {
            let (mut parser, mut input) = (RequestParser::new(), BytesMut::with_capacity(4096));
            bencher.iter(|| {
                input.extend_from_slice(request);
                let request = parser.poll_request(&mut input).expect("a request as it should be");
                black_box(request.expect("a whole request"));
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A dozen fields, as browsers send them.
fn browser_request() -> Vec<u8> {
    let mut request = b"GET /v1/peers?limit=100 HTTP/1.1\r\nHost: 192.168.1.5:25263\r\n".to_vec();
    for (name, len) in [
        ("User-Agent", 110),
        ("Accept", 90),
        ("Accept-Language", 35),
        ("Accept-Encoding", 25),
        ("Cache-Control", 9),
        ("Sec-Fetch-Dest", 8),
        ("Sec-Fetch-Mode", 8),
        ("Sec-Fetch-Site", 4),
        ("Upgrade-Insecure-Requests", 1),
        ("Priority", 6),
    ] {
        request.extend_from_slice(format!("{name}: {}\r\n", "x".repeat(len)).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request
}
