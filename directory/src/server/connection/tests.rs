use super::super::DirectoryConfig;
use super::*;
use crate::server::watch::Watchers;
use crate::store::{Store, StoreConfig};

const PATIENCE: Patience = Patience {
    request: Duration::from_secs(10),
    response: Duration::from_secs(10),
    keep_alive: Duration::from_secs(60),
};
const GET: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// A connection without a socket, under a clock of the test's.
struct Wire {
    http: HttpConnection,
    service: Service,
    now: Instant,
}

impl Wire {
    fn new() -> Wire {
        let now = Instant::now();
        let remote = SocketAddr::from(([192, 0, 2, 1], 1000));
        let config = DirectoryConfig { host_names: vec!["a".to_owned()], ..DirectoryConfig::default() };
        let service = Service::new(Store::new(StoreConfig::default()), Watchers::new(7, 2, 2), &config, 1);
        Wire { http: HttpConnection::new(remote, PATIENCE, now), service, now }
    }

    fn feed(&mut self, text: &str) -> Result<bool, HttpEnd> {
        self.http.handle_input(&mut BytesMut::from(text), &mut self.service, self.now)
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Whether the deadline has come, and what the connection makes of it.
    fn tick(&mut self) -> Option<Result<(), HttpEnd>> {
        let due = self.http.deadline().is_some_and(|at| at <= self.now);
        due.then(|| self.http.handle_deadline(&mut self.service, self.now))
    }

    /// One outbox of `room` bytes.
    fn transmit(&mut self, room: usize) -> (String, Transmit) {
        let mut outbox = Outbox::with_room(room);
        let transmit = self.http.poll_transmit(&mut outbox, &mut self.service, self.now);
        (String::from_utf8_lossy(outbox.bytes()).into_owned(), transmit)
    }

    /// All that comes, as status codes, and how it ends.
    fn statuses(&mut self) -> (Vec<String>, Transmit) {
        let mut all = String::new();
        loop {
            let (text, transmit) = self.transmit(4096);
            all += &text;
            if self.http.is_rationed() {
                // The next turn.
                self.now += Duration::from_millis(1);
            } else if transmit != Transmit::More {
                let codes = all.match_indices("HTTP/1.1 ").map(|(at, _)| all[at + 9..at + 12].to_owned());
                return (codes.collect(), transmit);
            }
        }
    }
}

#[test]
fn a_kept_connection_answers_again_and_again() {
    let mut wire = Wire::new();
    for _ in 0..3 {
        assert!(wire.feed(GET).unwrap());
        assert_eq!(wire.statuses(), (vec!["200".to_owned()], Transmit::Idle));
    }
    assert!(wire.http.backlog.is_empty() && wire.http.output.is_empty());
    assert_eq!(wire.http.output.capacity(), 0, "an idle connection owns no buffer");
}

#[test]
fn pipelined_requests_wait_while_answers_are_unread_and_are_all_answered() {
    let mut wire = Wire::new();
    let count = 2000;
    assert!(wire.feed(&GET.repeat(count)).unwrap());
    let (text, _) = wire.transmit(OUTPUT_LEN_HIGH);
    assert_eq!(text.matches("HTTP/1.1 200").count(), ANSWER_BUDGET_COUNT, "others have their turn");
    assert!(!wire.http.backlog.is_empty() && wire.http.is_rationed());
    let (statuses, transmit) = wire.statuses();
    assert_eq!((statuses.len(), transmit), (count - ANSWER_BUDGET_COUNT, Transmit::Idle));
    assert!(statuses.iter().all(|status| status == "200"));
}

#[test]
fn who_never_reads_answers_is_closed() {
    let mut wire = Wire::new();
    let requests = GET.repeat(500);
    let end = (0..100).find_map(|_| wire.feed(&requests).err());
    assert!(matches!(end, Some(HttpEnd::Overrun)));
}

#[test]
fn what_follows_an_error_or_a_close_is_never_run() {
    for first in ["GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /healthz HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\n"] {
        let mut wire = Wire::new();
        wire.feed(&format!("{first}{GET}")).unwrap();
        wire.feed(GET).unwrap();
        let (statuses, transmit) = wire.statuses();
        assert_eq!((statuses.len(), transmit), (1, Transmit::Finish), "{first}");
    }
}

#[test]
fn a_slow_head_is_answered_408_at_one_absolute_deadline() {
    let mut wire = Wire::new();
    for byte in GET[..9].chars() {
        assert!(wire.tick().is_none());
        wire.feed(&byte.to_string()).unwrap();
        wire.later(1);
    }
    wire.later(1);
    assert!(matches!(wire.tick(), Some(Ok(()))));
    assert_eq!(wire.statuses(), (vec!["408".to_owned()], Transmit::Finish));
}

#[test]
fn a_slow_body_is_answered_408() {
    let mut wire = Wire::new();
    wire.feed("PUT /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n").unwrap();
    for _ in 0..9 {
        wire.later(1);
        assert!(wire.tick().is_none());
        wire.feed("x").unwrap();
    }
    wire.later(1);
    assert!(matches!(wire.tick(), Some(Ok(()))));
    assert_eq!(wire.statuses().0, ["408"]);
}

#[test]
fn who_says_nothing_is_closed_without_a_word() {
    let mut wire = Wire::new();
    wire.later(10);
    assert!(matches!(wire.tick(), Some(Err(HttpEnd::Idle))));
    let mut wire = Wire::new();
    wire.feed(GET).unwrap();
    wire.statuses();
    wire.later(59);
    assert!(wire.tick().is_none());
    wire.later(1);
    assert!(matches!(wire.tick(), Some(Err(HttpEnd::Idle))));
}

#[test]
fn who_does_not_take_an_answer_is_closed() {
    let mut wire = Wire::new();
    wire.feed(GET).unwrap();
    assert_eq!(wire.transmit(100).1, Transmit::More);
    wire.later(9);
    assert!(wire.tick().is_none());
    wire.later(1);
    assert!(matches!(wire.tick(), Some(Err(HttpEnd::SlowReader))));
    let stalled = HttpEnd::from(SocketEnd::WriteStall);
    assert!(matches!(stalled, HttpEnd::SlowReader), "the same limit, met by the socket first: {stalled}");
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let mut wire = Wire::new();
    wire.feed("PUT /v1/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").unwrap();
    assert_eq!(wire.statuses(), (vec!["100".to_owned()], Transmit::Idle));
    wire.feed("x").unwrap();
    assert_eq!(wire.statuses().0, ["404"]);
}

#[test]
fn after_the_end_of_input_what_was_asked_is_still_answered() {
    let mut wire = Wire::new();
    wire.feed(&GET.repeat(1000)).unwrap();
    wire.http.handle_eof();
    let (statuses, transmit) = wire.statuses();
    assert_eq!((statuses.len(), transmit), (1000, Transmit::Finish));
}

#[test]
fn a_draining_server_says_close() {
    let mut wire = Wire::new();
    wire.service.drain();
    wire.feed(&GET.repeat(2)).unwrap();
    let (text, transmit) = wire.transmit(4096);
    assert!(text.contains("Connection: close\r\n"));
    assert_eq!((text.matches("HTTP/1.1 200").count(), transmit), (1, Transmit::Finish));
}

#[test]
fn an_http_1_0_client_that_asks_for_it_keeps_its_connection() {
    let mut wire = Wire::new();
    wire.feed("GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap();
    let (text, transmit) = wire.transmit(4096);
    assert!(text.contains("Connection: keep-alive\r\n"), "{text}");
    assert_eq!(transmit, Transmit::More);
    assert_eq!(wire.transmit(4096).1, Transmit::Idle);
}

#[test]
fn head_has_the_length_and_not_the_body() {
    let mut wire = Wire::new();
    wire.feed("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let (text, _) = wire.transmit(4096);
    assert!(text.contains("Content-Length: 3\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

const WATCH: &str = "GET /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n";

/// The data of the chunks in `body`, and whether the last one is there.
fn unchunk(mut body: &str) -> (String, bool) {
    let mut data = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let len = usize::from_str_radix(size, 16).unwrap();
        if len == 0 {
            assert_eq!(rest, "\r\n");
            return (data, true);
        }
        data += &rest[..len];
        body = rest[len..].strip_prefix("\r\n").unwrap();
    }
    (data, false)
}

#[test]
fn a_watch_is_a_stream_of_chunks_and_the_connection_is_its_own() {
    let mut wire = Wire::new();
    wire.feed(&format!("{GET}{WATCH}{GET}")).unwrap();
    let (text, transmit) = wire.transmit(4096);
    assert_eq!((text.matches("HTTP/1.1 200").count(), transmit), (2, Transmit::More), "{text}");
    assert!(text.contains("Content-Type: text/event-stream\r\n") && text.contains("Transfer-Encoding: chunked\r\n"));
    let (_, watch) = text.split_once("Transfer-Encoding").unwrap();
    assert!(!watch.contains("Content-Length"), "{watch}");
    let (data, is_over) = unchunk(watch.split_once("\r\n\r\n").unwrap().1);
    assert!(data.starts_with("event: reset\n") && data.contains("event: ready\n") && !is_over, "{data}");
    assert_eq!(wire.transmit(4096), (String::new(), Transmit::Idle));
    assert!(!wire.feed(&GET.repeat(5000)).unwrap(), "however much is asked behind it");
    assert_eq!(wire.transmit(4096), (String::new(), Transmit::Idle));
    assert!(wire.http.backlog.capacity() == 0 && wire.http.output.capacity() == 0, "an idle watcher owns no buffer");
}

#[test]
fn an_old_client_s_watch_ends_with_its_connection() {
    let mut wire = Wire::new();
    wire.feed("GET /v1/watch HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
    let (text, _) = wire.transmit(4096);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Connection: close") && !head.contains("Transfer-Encoding"), "{head}");
    assert!(body.starts_with("event: reset\ndata: {\"now_ms\":"), "{body}");
    wire.service.drain();
    assert_eq!(wire.transmit(4096), (String::new(), Transmit::Finish));
}

#[test]
fn the_head_of_a_watch_can_be_had_alone_and_opens_none() {
    let mut wire = Wire::new();
    wire.feed("HEAD /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wire.feed(GET).unwrap();
    let (text, _) = wire.transmit(4096);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("text/event-stream\r\n"), "{text}");
    assert!(text.ends_with("ok\n") && text.matches("HTTP/1.1 200").count() == 2, "{text}");
    assert_eq!(wire.service.watchers.count(), 0);
}

#[test]
fn a_quiet_watch_beats_and_one_that_is_not_read_is_ended() {
    let mut wire = Wire::new();
    wire.feed(WATCH).unwrap();
    wire.transmit(4096);
    wire.transmit(4096);
    wire.later(14);
    assert!(wire.tick().is_none());
    wire.later(1);
    assert!(matches!(wire.tick(), Some(Ok(()))));
    assert_eq!(wire.transmit(4096).0, "8\r\n: beat\n\n\r\n");
    wire.later(10);
    assert!(matches!(wire.tick(), Some(Err(HttpEnd::SlowReader))), "the outbox was never asked for again");
}

#[test]
fn a_draining_directory_ends_its_streams_with_their_last_chunk() {
    let mut wire = Wire::new();
    wire.feed(WATCH).unwrap();
    wire.transmit(4096);
    wire.service.drain();
    assert_eq!(wire.transmit(4096), ("0\r\n\r\n".to_owned(), Transmit::Finish));
}

#[test]
fn a_watcher_that_has_ended_its_side_gets_the_snapshot_and_no_more() {
    let mut wire = Wire::new();
    wire.feed(WATCH).unwrap();
    wire.http.handle_eof();
    let (text, transmit) = wire.transmit(4096);
    let (data, is_over) = unchunk(text.split_once("\r\n\r\n").unwrap().1);
    assert!(data.contains("event: ready") && is_over && transmit == Transmit::Finish, "{text}");
}

#[test]
fn a_refusal_of_head_has_no_body() {
    for (request, status) in [
        ("HEAD / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("HEAD / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n".to_owned(), "417"),
        (format!("HEAD / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100_000)), "431"),
    ] {
        let mut wire = Wire::new();
        wire.feed(&request).unwrap();
        let (text, _) = wire.transmit(4096);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(text.ends_with("\r\n\r\n") && !text.contains("Content-Length: 0\r\n"), "{text}");
    }
    // What came before on the connection does not count.
    let mut wire = Wire::new();
    wire.feed(&format!("{}GET / HTTP/1.1\r\n\r\n", GET.replacen("GET", "HEAD", 1))).unwrap();
    let (text, _) = wire.transmit(4096);
    assert!(text.contains("HTTP/1.1 400 ") && text.contains("\"code\""), "{text}");
}

#[test]
fn a_watch_too_many_is_refused_and_the_connection_goes_on() {
    let mut wire = Wire::new();
    wire.service.watchers = Watchers::new(7, 0, 9);
    wire.feed(&format!("{WATCH}{GET}")).unwrap();
    let (text, _) = wire.transmit(4096);
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("Retry-After: 1"), "{text}");
    assert!(text.ends_with("ok\n"), "{text}");
}
