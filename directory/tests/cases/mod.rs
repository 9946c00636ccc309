//! Requests, well-formed and not, as data: what a strict HTTP/1.1 server makes of them.
//!
//! `count` is how many requests come out before the end or the error; `status` is that of the error, 0 for none. A case
//! that ends in `SECOND` has a whole request pipelined behind it: it comes out where nothing was wrong before.

/// One case.
pub(crate) struct Case {
    /// The bytes of the connection.
    pub(crate) input: String,
    /// Whole requests before the end or the error.
    pub(crate) count: usize,
    /// The error's status; 0 where there is none.
    pub(crate) status: u16,
}

/// A whole request.
pub(crate) const SECOND: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn case(input: impl Into<String>, count: usize, status: u16) -> Case {
    Case { input: input.into(), count, status }
}

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(request_lines());
    cases.extend(line_ends());
    cases.extend(fields());
    cases.extend(hosts());
    cases.extend(lengths());
    cases.extend(codings());
    cases.extend(chunks());
    cases.extend(connections());
    cases.extend(limits());
    cases
}

/// A request line with a Host and a second request behind it.
fn with_line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n{SECOND}")
}

/// Fields after a good request line, with a second request behind.
fn with_fields(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\n{fields}\r\n{SECOND}")
}

/// A chunked body, with a second request behind.
fn with_chunks(body: &str) -> String {
    format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SECOND}")
}

fn request_lines() -> Vec<Case> {
    let good = [
        "GET / HTTP/1.1",
        "HEAD /x HTTP/1.1",
        "PUT /x HTTP/1.1",
        "DELETE /x HTTP/1.1",
        "POST /x HTTP/1.1",
        "QUERY /x HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "OPTIONS /x HTTP/1.1",
        "GET http://a.example/x HTTP/1.1",
        "GET http://[::1]:80 HTTP/1.1",
        "GET /?a=b&c=%20 HTTP/1.1",
        "GET //x HTTP/1.1",
        "GET /%C3%A9 HTTP/1.1",
    ];
    let bad = [
        ("GET /", 400),
        ("GET", 400),
        ("GET / ", 400),
        ("/ HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET / x HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP/1.1.1", 400),
        ("GET / HTTP/11", 400),
        ("GET / HTTPS/1.1", 400),
        ("GET / HTTP/ 1.1", 400),
        ("GET / HTTP/-1.1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/3.0", 505),
        ("G@T / HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("get / HTTP/1.1", 501),
        ("BREW / HTTP/1.1", 501),
        ("GET x HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET a:80 HTTP/1.1", 400),
        ("CONNECT a:80 HTTP/1.1", 400),
        ("GET https://a/ HTTP/1.1", 400),
        ("GET http:///x HTTP/1.1", 400),
        ("GET http://u@a/ HTTP/1.1", 400),
        ("GET /#x HTTP/1.1", 400),
        ("GET /%zz HTTP/1.1", 400),
        ("GET /%0 HTTP/1.1", 400),
        ("GET /%00 HTTP/1.1", 400),
        ("GET /%ff HTTP/1.1", 400),
        ("GET /é HTTP/1.1", 400),
        ("GET /\u{7f} HTTP/1.1", 400),
        ("GET /\u{1} HTTP/1.1", 400),
    ];
    let mut cases: Vec<Case> = good.map(|line| case(with_line(line), 2, 0)).into();
    cases.extend(bad.map(|(line, status)| case(with_line(line), 0, status)));
    cases.push(case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505));
    cases.push(case(format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SECOND}"), 0, 505));
    cases.push(case(format!("PRI * HTTP/1.1\r\nHost: a\r\n\r\n{SECOND}"), 0, 400));
    cases.push(case("GET /\r\n", 0, 400));
    cases.push(case(format!("GET /\r\n{SECOND}"), 0, 400));
    cases.push(case(format!("GET /x\r\n\r\n{SECOND}"), 0, 400));
    cases.push(case(format!("\0{SECOND}"), 0, 400));
    cases.push(case(format!("\u{feff}{SECOND}"), 0, 400));
    cases.push(case(format!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{SECOND}"), 0, 400));
    cases.push(case("\u{16}\u{3}\u{1}\0\0", 0, 400));
    cases
}

fn line_ends() -> Vec<Case> {
    vec![
        case(format!("\r\n{SECOND}"), 1, 0),
        case(format!("\r\n\r\n{SECOND}"), 0, 400),
        case(format!("\n{SECOND}"), 0, 400),
        case(format!("{SECOND}\r\n{SECOND}"), 2, 0),
        case(format!("GET / HTTP/1.1\nHost: a\r\n\r\n{SECOND}"), 0, 400),
        case(format!("GET / HTTP/1.1\r\nHost: a\n\r\n{SECOND}"), 0, 400),
        case(format!("GET / HTTP/1.1\r\nHost: a\r\n\n{SECOND}"), 0, 400),
        case(format!("GET / HTTP/1.1\n\n{SECOND}"), 0, 400),
        case(format!("GET / HTTP/1.1\rHost: a\r\n\r\n{SECOND}"), 0, 400),
        case(format!("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n{SECOND}"), 0, 400),
        case(format!("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n{SECOND}"), 0, 400),
        case(format!("GET / HTTP/1.1\r\nHost: a\r\n\r{SECOND}"), 0, 400),
        case("GET / HTTP/1.1\r\nHost: a\r\n", 0, 0),
        case("GET / HTTP/1.1\r\nHost: a\r\n\r", 0, 0),
        case("", 0, 0),
    ]
}

fn fields() -> Vec<Case> {
    let good = [
        "Host: a\r\nX: \r\n",
        "Host:a\r\n",
        "Host: \t a \t \r\n",
        "host: a\r\n",
        "HOST: a\r\n",
        "Host: a\r\nX: a\tb\r\n",
        "Host: a\r\nX: \u{e9}\r\n",
        "Host: a\r\n!#$%&'*+-.^_`|~09: x\r\n",
        "Host: a\r\nX-Forwarded-For: 1.2.3.4\r\n",
        "Host: a\r\nCookie: a=b\r\nCookie: c=d\r\n",
        "Host: a\r\nIf-None-Match: \"a\"\r\nIf-None-Match: W/\"b\"\r\n",
        "Host: a\r\nOrigin: null\r\n",
        "Host: a\r\nForwarded: host=b\r\nX-Forwarded-Host: b\r\n",
    ];
    let bad = [
        "Host: a\r\nX : b\r\n",
        "Host : a\r\n",
        "Host\t: a\r\n",
        " Host: a\r\n",
        "Host: a\r\n X: b\r\n",
        "Host: a\r\n\tfolded\r\n",
        "Host: a\r\nX: b\r\n c\r\n",
        "Host: a\r\nX\r\n",
        "Host: a\r\n: b\r\n",
        "Host: a\r\nX\u{e9}: b\r\n",
        "Host: a\r\nX\0: b\r\n",
        "Host: a\r\nX: b\0c\r\n",
        "Host: a\r\nX: b\u{1}c\r\n",
        "Host: a\r\nX: b\u{7f}c\r\n",
        "Host: a\r\nX: b\u{b}c\r\n",
        "Host: a\r\nX(: b\r\n",
        "Host: a\r\nX Y: b\r\n",
        "Host: a\r\n\"X\": b\r\n",
        "Host: a\r\nX/Y: b\r\n",
        "Host: a\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n",
        "Host: a\r\nOrigin: http://a\r\nOrigin: http://a\r\n",
        "Host: a\r\nOrigin: http://\u{e9}\r\n",
        "Host: a\r\nIf-None-Match: \"\u{e9}\"\r\n",
        "Host: a\r\nX: b\r\n\r\r\n",
        "Host: a\r\nX[0]: b\r\n",
        "Host: a\r\nX{: b\r\n",
        "Host: a\r\nX=: b\r\n",
        "Host: a\r\nX@: b\r\n",
        "Host: a\r\nX\t: b\r\n",
        "Host: a\r\nX\u{7f}: b\r\n",
        "Host: a\r\n\u{feff}X: b\r\n",
        "Host: a\r\nTransfer-Encoding\0: chunked\r\n",
        "Host: a\r\nContent-Length : 5\r\n",
        "Host: a\r\nContent-Length: 5\r\n 0\r\n",
        "Host: a\r\nTransfer-Encoding:\r\n chunked\r\n",
    ];
    let mut cases: Vec<Case> = good.map(|fields| case(with_fields(fields), 2, 0)).into();
    cases.extend(bad.map(|fields| case(with_fields(fields), 0, 400)));
    cases
}

fn hosts() -> Vec<Case> {
    let good = ["a", "a.example:80", "127.0.0.1:8600", "[::1]:8600", "a:"];
    let bad = [
        "", " ", "a b", "a,b", "a/b", "u@a", "a:b", "a:99999", "[::1", "[x]", "http://a", "a\u{e9}", ":80", "a:+1",
        "[::1%lo]", "[::1]x", "a:80:80", "a#b", "a?b", "a\\b",
    ];
    let mut cases: Vec<Case> = good.map(|host| case(with_fields(&format!("Host: {host}\r\n")), 2, 0)).into();
    // A comma is allowed in a registered name, so "a,b" is one host and no list.
    cases.extend(bad.map(|host| match host {
        "a,b" => case(with_fields("Host: a,b\r\n"), 2, 0),
        host => case(with_fields(&format!("Host: {host}\r\n")), 0, 400),
    }));
    cases.push(case(with_fields("X: b\r\n"), 0, 400));
    cases.push(case(with_fields(""), 0, 400));
    cases.push(case(with_fields("Host: a\r\nHost: a\r\n"), 0, 400));
    cases.push(case(with_fields("Host: a\r\nhost: b\r\n"), 0, 400));
    cases.push(case("GET / HTTP/1.0\r\n\r\n", 1, 0));
    cases.push(case("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 0, 400));
    cases.push(case("GET http://a/ HTTP/1.1\r\n\r\n", 0, 400));
    cases
}

fn lengths() -> Vec<Case> {
    let put = |fields: &str, body: &str| format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}{SECOND}");
    let mut cases = vec![
        case(put("Content-Length: 5", "abcde"), 2, 0),
        case(put("Content-Length: 005", "abcde"), 2, 0),
        case(put("content-length:5", "abcde"), 2, 0),
        case(put("Content-Length: 0", ""), 2, 0),
        case("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcd", 0, 0),
        case(format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /{SECOND}"), 2, 0),
        case(put("Content-Length: 16385", ""), 0, 413),
        case(put("Content-Length: 99999999999999999999999999", ""), 0, 413),
        case(put("Content-Length: 18446744073709551617", ""), 0, 413),
        case(put("Content-Length: 5\r\nContent-Length: 5", "abcde"), 0, 400),
        case(put("Content-Length: 5\r\nContent-Length: 6", "abcde"), 0, 400),
        case(put("Content-Length: 5\r\ncontent-length: 0", "abcde"), 0, 400),
    ];
    let wrong = [
        "+5", "-5", "0x5", "5,5", "5, 5", "", "5 5", "5.0", "5e0", "five", "0x", "\"5\"", "5;", "\u{663}", "_5", "5_0",
    ];
    cases.extend(wrong.map(|length| case(put(&format!("Content-Length: {length}"), "abcde"), 0, 400)));
    cases
}

fn codings() -> Vec<Case> {
    let body = "0\r\n\r\n";
    let put = |fields: &str| format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}{SECOND}");
    let good = ["Transfer-Encoding: chunked", "transfer-encoding: CHUNKED", "Transfer-Encoding:\tchunked "];
    let bad = [
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: chunkedx", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding: chunked;q=1", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: ", 400),
        ("Transfer-Encoding: chunked identity", 400),
        ("Transfer-Encoding: \u{b}chunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding: gz ip, chunked", 400),
        ("Transfer-Encoding: chunked,,", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: ", 400),
        ("Transfer-Encoding: chunked\u{e9}", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: +5", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\nContent-Length: 0", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: identity, chunked", 501),
    ];
    let mut cases: Vec<Case> = good.map(|fields| case(put(fields), 2, 0)).into();
    cases.extend(bad.map(|(fields, status)| case(put(fields), 0, status)));
    cases.push(case(format!("PUT / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SECOND}"), 0, 400));
    cases
}

fn chunks() -> Vec<Case> {
    let good = [
        "0\r\n\r\n",
        "5\r\nabcde\r\n0\r\n\r\n",
        "A\r\n0123456789\r\n000\r\n\r\n",
        "1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
        "5;a=b\r\nabcde\r\n0;c\r\n\r\n",
        "5 ;a=\"b c\"\r\nabcde\r\n0\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0000000000000005\r\nabcde\r\n0\r\n\r\n",
    ];
    let bad = [
        "5\r\nabcdeX\r\n0\r\n\r\n",
        "5\r\nabcde0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\nabcde\r\n0\r\n\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "\r\nabcde\r\n0\r\n\r\n",
        "g\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n",
        "5,5\r\nabcde\r\n",
        "00000000000000005\r\nabcde\r\n0\r\n\r\n",
        "5;a\nb\r\nabcde\r\n0\r\n\r\n",
        "5;a\0b\r\nabcde\r\n0\r\n\r\n",
        "5;a\rb\r\nabcde\r\n0\r\n\r\n",
        "5;a\u{1}\r\nabcde\r\n0\r\n\r\n",
        "5\rabcde\r\n0\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
        "0\r\nConnection: close\r\n\r\n",
        "0\r\nTrailer: X\r\n\r\n",
        "0\r\nTE: trailers\r\n\r\n",
        "0\r\nContent-Type: application/json\r\n\r\n",
        "0\r\nAuthorization: x\r\n\r\n",
        "0\r\nExpect: 100-continue\r\n\r\n",
        "0\r\nX: y\0\r\n\r\n",
        "0\r\nX: y\rZ: 1\r\n\r\n",
        "0;a\n\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
        "1\n;\r\na\r\n0\r\n\r\n",
        "5\t\r\nabcde\r\n0\r\n\r\n",
        "\u{663}\r\nabc\r\n0\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\ncontent-length: 0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
    ];
    let mut cases: Vec<Case> = good.map(|body| case(with_chunks(body), 2, 0)).into();
    cases.extend(bad.map(|body| case(with_chunks(body), 0, 400)));
    cases.push(case(with_chunks("ffffffffffffffff\r\nabc"), 0, 413));
    cases.push(case(with_chunks("4001\r\n"), 0, 413));
    cases.push(case(with_chunks("4000\r\n").replace(SECOND, "abc"), 0, 0));
    cases.push(case(with_chunks(&format!("5;{}\r\nabcde\r\n0\r\n\r\n", "x".repeat(2000))), 0, 400));
    cases.push(case(with_chunks(&format!("5;{}\r\nabcde\r\n0\r\n\r\n", "x".repeat(64 * 1024))), 0, 400));
    cases.push(case(with_chunks(&format!("{}\r\n", "0".repeat(17))), 0, 400));
    cases.push(case(with_chunks("8000000000000000\r\n"), 0, 413));
    let creeping = format!("1;{}\r\na\r\n", "x".repeat(300)).repeat(4);
    cases.push(case(with_chunks(&format!("{creeping}0\r\n\r\n")), 0, 400));
    cases.push(case(with_chunks(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(5000))), 0, 431));
    cases
}

fn connections() -> Vec<Case> {
    let good = [
        "Host: a\r\nConnection: keep-alive\r\n",
        "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n",
        "Host: a\r\nConnection: close\r\n",
        "Host: a\r\nExpect: 100-continue\r\n",
        "Host: a\r\nExpect: 100-CONTINUE\r\n",
    ];
    let mut cases: Vec<Case> = good.map(|fields| case(with_fields(fields), 2, 0)).into();
    cases.push(case(with_fields("Host: a\r\nConnection: clo se\r\n"), 0, 400));
    cases.push(case(with_fields("Host: a\r\nExpect: 200-ok\r\n"), 0, 417));
    cases.push(case(with_fields("Host: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n"), 0, 417));
    cases.push(case("GET / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n", 1, 0));
    cases
}

fn limits() -> Vec<Case> {
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n{SECOND}", "x".repeat(len - 1));
    let field = |len: usize| with_fields(&format!("Host: a\r\nX: {}\r\n", "y".repeat(len)));
    let count = |count: usize| with_fields(&format!("Host: a\r\n{}", "X: y\r\n".repeat(count)));
    vec![
        case(target(8192), 2, 0),
        case(target(8193), 0, 414),
        case(target(20_000), 0, 414),
        case("x".repeat(20_000), 0, 414),
        case(field(16_000), 2, 0),
        case(field(16_384), 0, 431),
        case(format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X".repeat(20_000)), 0, 431),
        case(count(63), 2, 0),
        case(count(64), 0, 431),
        case(with_fields("Host: a\r\nX: y\r\n").repeat(10), 20, 0),
    ]
}
