//! Watching a directory: who comes, changes and goes, as it happens, from one call that waits.
//!
//! What a [`Watch`] gives has been verified as everything that the client gives. It connects by itself, and again after a
//! loss, with back-off and from where it was; only where the directory has nothing to go on from does it begin anew.
//! A directory that is silent for three of its beats counts as lost.

use super::announcer::retry_pause;
use super::events::{Event, EventParser};
use super::exchange::{EventStream, ExchangeError, Opened};
use super::{Client, ClientError, Listed, ListedBody, SequenceMemory};
use crate::announcement::Name;
use crate::http::percent_encode;
use crate::limits::{LIST_COUNT_MAX, NAME_LEN_MAX, SERVICE_LEN_MAX, WATCH_SILENCE_MAX};
use landline::PeerId;
use serde::Deserialize;
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

/// Which peers to watch; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// Only names that begin so.
    pub name_prefix: String,
    /// Only peers with this service.
    pub service: Option<String>,
}

/// What a watch has to tell.
#[derive(Debug)]
pub enum WatchEvent {
    /// What was told before is void; everything follows anew.
    Reset,
    /// A peer is listed, or says something else than before.
    Up(Listed),
    /// A peer goes on being listed, with nothing new. Nobody signed that.
    Renewed {
        /// Who.
        peer_id: PeerId,
        /// For how long.
        expires_in: Duration,
    },
    /// A peer is not listed any more.
    Down {
        /// Who.
        peer_id: PeerId,
        /// What it was called.
        name: Name,
        /// Why.
        reason: DownReason,
    },
    /// All that there is has been told; from now on it is as it happens.
    Ready,
    /// The directory told something that is not to be believed. It has no effect.
    Refused(ClientError),
    /// The directory is away; the watch goes on trying.
    Lost {
        /// Why.
        error: ClientError,
        /// When the next try is.
        retry_in: Duration,
    },
}

/// Why a peer is not listed any more, by the directory's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// Its lease ended.
    Expired,
    /// It withdrew.
    Withdrawn,
    /// The directory's operator removed it.
    Removed,
    /// It does not fit the filter any more.
    Changed,
    /// A reason that this version does not know.
    Other,
}

/// A watch on one directory. Nothing is sent before it is asked for the first event.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    filter: WatchFilter,
    state: State,
    /// Where to go on.
    last_id: Option<String>,
    /// Who was told as up. Bounded by `LIST_COUNT_MAX`.
    listed: HashSet<PeerId>,
    /// Failures since it was ready last.
    failure_count: u32,
    silence_max: Duration,
}

#[derive(Debug)]
enum State {
    /// To be connected then.
    Away {
        until: Instant,
    },
    Open(Box<Connection>),
}

#[derive(Debug)]
struct Connection {
    stream: EventStream,
    parser: EventParser,
    /// Read and not yet understood.
    input: Vec<u8>,
    taken_len: usize,
    heard_at: Instant,
}

#[derive(Deserialize)]
struct RenewBody {
    peer_id: String,
    expires_in_ms: u64,
}

#[derive(Deserialize)]
struct DownBody {
    peer_id: String,
    name: String,
    reason: String,
}

impl Client {
    /// Watches the directory. What is known of the peers' sequences is given with each call for an event.
    pub fn watch(&self, filter: WatchFilter) -> Watch {
        Watch {
            client: self.clone(),
            filter,
            state: State::Away { until: Instant::now() },
            last_id: None,
            listed: HashSet::new(),
            failure_count: 0,
            silence_max: WATCH_SILENCE_MAX,
        }
    }
}

impl Watch {
    /// The same with another limit for how long the directory may be silent; its beats are 15 s apart.
    pub fn with_silence_max(self, silence_max: Duration) -> Watch {
        Watch { silence_max, ..self }
    }

    /// Whom it watches.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for the next event.
    pub fn next(&mut self, memory: &mut SequenceMemory) -> WatchEvent {
        loop {
            if let Some(event) = self.next_within(memory, self.silence_max) {
                return event;
            }
        }
    }

    /// Waits for the next event, no longer than `timeout`; connecting may take as long as a request may. A timeout of zero
    /// gives what has come already.
    pub fn next_within(&mut self, memory: &mut SequenceMemory, timeout: Duration) -> Option<WatchEvent> {
        let deadline = Instant::now() + timeout;
        loop {
            let result = match &mut self.state {
                State::Away { until } => {
                    std::thread::sleep(deadline.min(*until).saturating_duration_since(Instant::now()));
                    if *until > deadline {
                        return None;
                    }
                    self.connect().map(|()| None)
                }
                State::Open(connection) => match connection.poll_event(&self.client, self.silence_max, deadline) {
                    Ok(None) => return None,
                    Ok(Some(event)) => self.handle_event(&event, memory),
                    Err(error) => Err(error),
                },
            };
            match result {
                Ok(Some(event)) => return Some(event),
                Ok(None) if Instant::now() >= deadline => return None,
                Ok(None) => {}
                Err(error) => return Some(self.lose(error)),
            }
        }
    }

    fn lose(&mut self, error: ClientError) -> WatchEvent {
        let retry_in = retry_pause(&error, self.failure_count);
        self.failure_count = self.failure_count.saturating_add(1);
        self.state = State::Away { until: Instant::now() + retry_in };
        WatchEvent::Lost { error, retry_in }
    }

    fn connect(&mut self) -> Result<(), ClientError> {
        let mut fields = "Accept: text/event-stream\r\n".to_owned();
        if let Some(id) = &self.last_id {
            fields += &format!("Last-Event-ID: {id}\r\n");
        }
        match self.client.open_stream(&format!("/v1/watch{}", self.filter.query()), &fields)? {
            Opened::Answer(answer) => Err(self.client.refusal(&answer)),
            Opened::Stream(stream) => {
                self.state = State::Open(Box::new(Connection {
                    stream,
                    parser: EventParser::default(),
                    input: Vec::new(),
                    taken_len: 0,
                    heard_at: Instant::now(),
                }));
                Ok(())
            }
        }
    }

    /// What an event of the stream means to whoever watches, if anything.
    fn handle_event(&mut self, event: &Event, memory: &mut SequenceMemory) -> Result<Option<WatchEvent>, ClientError> {
        let told = match event.name.as_str() {
            "reset" => {
                // Until the snapshot is complete there is nothing to go on from.
                self.last_id = None;
                self.listed.clear();
                Some(WatchEvent::Reset)
            }
            "up" => Some(self.handle_up(event, memory)?),
            "renew" => {
                let body: RenewBody = self.read(event)?;
                let peer_id = self.read_id(&body.peer_id)?;
                let expires_in = Duration::from_millis(body.expires_in_ms);
                self.listed.contains(&peer_id).then_some(WatchEvent::Renewed { peer_id, expires_in })
            }
            "down" => {
                let body: DownBody = self.read(event)?;
                let peer_id = self.read_id(&body.peer_id)?;
                let name = body.name.parse().map_err(|_| self.client.http_error("its stream names no peer"))?;
                let reason = DownReason::parse(&body.reason);
                self.listed.remove(&peer_id).then_some(WatchEvent::Down { peer_id, name, reason })
            }
            "ready" => {
                self.failure_count = 0;
                Some(WatchEvent::Ready)
            }
            _ => None,
        };
        if let Some(id) = &event.id {
            self.last_id = Some(id.clone());
        }
        Ok(told)
    }

    fn handle_up(&mut self, event: &Event, memory: &mut SequenceMemory) -> Result<WatchEvent, ClientError> {
        let body: ListedBody = self.read(event)?;
        match self.client.verify(body, memory, |_| true) {
            Ok(listed) => {
                let peer_id = listed.announcement.peer_id;
                if self.listed.len() >= LIST_COUNT_MAX && !self.listed.contains(&peer_id) {
                    return Err(self.client.http_error("its list has no end"));
                }
                self.listed.insert(peer_id);
                Ok(WatchEvent::Up(listed))
            }
            Err(error) => Ok(WatchEvent::Refused(error)),
        }
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, event: &Event) -> Result<T, ClientError> {
        serde_json::from_str(&event.data).map_err(|error| self.client.http_error(&error.to_string()))
    }

    fn read_id(&self, text: &str) -> Result<PeerId, ClientError> {
        text.parse().map_err(|_| self.client.http_error("its stream names no peer"))
    }
}

impl Connection {
    /// The next event; `None` at the deadline. What is there already is looked at once even where that has passed.
    fn poll_event(
        &mut self,
        client: &Client,
        silence_max: Duration,
        deadline: Instant,
    ) -> Result<Option<Event>, ClientError> {
        let mut has_looked = false;
        loop {
            let mut rest = &self.input[self.taken_len..];
            let event = self.parser.poll_event(&mut rest).map_err(|fault| client.http_error(fault))?;
            self.taken_len = self.input.len() - rest.len();
            if event.is_some() {
                return Ok(event);
            }
            self.input.clear();
            self.taken_len = 0;
            if has_looked && Instant::now() >= deadline {
                return Ok(None);
            }
            // Nobody may have asked for long: what has come in the meantime counts before the silence does.
            let silent_at = self.heard_at + silence_max;
            match self.stream.read(silent_at.min(deadline)) {
                Ok(input) => self.input = input,
                Err(ExchangeError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if Instant::now() < silent_at {
                        return Ok(None);
                    }
                    let error = io::Error::new(io::ErrorKind::TimedOut, "it has fallen silent");
                    return Err(client.exchange_error(ExchangeError::Io(error)));
                }
                Err(error) => return Err(client.exchange_error(error)),
            }
            has_looked = true;
            self.heard_at = Instant::now();
        }
    }
}

impl WatchFilter {
    /// As the query of the request. What can fit no name or service is said to the directory in short.
    fn query(&self) -> String {
        let bounded = |text: &str, len_max| percent_encode(if text.len() > len_max { "/" } else { text });
        let mut query = String::new();
        if !self.name_prefix.is_empty() {
            query += &format!("?name={}", bounded(&self.name_prefix, NAME_LEN_MAX));
        }
        if let Some(service) = &self.service {
            let mark = if query.is_empty() { '?' } else { '&' };
            query += &format!("{mark}service={}", bounded(service, SERVICE_LEN_MAX));
        }
        query
    }
}

impl DownReason {
    fn parse(text: &str) -> DownReason {
        match text {
            "expired" => DownReason::Expired,
            "withdrawn" => DownReason::Withdrawn,
            "removed" => DownReason::Removed,
            "changed" => DownReason::Changed,
            _ => DownReason::Other,
        }
    }

    /// The reason in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            DownReason::Expired => "expired",
            DownReason::Withdrawn => "withdrawn",
            DownReason::Removed => "removed",
            DownReason::Changed => "changed",
            DownReason::Other => "gone",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    const READY: &str = "event: ready\nid: 7-1\ndata: {\"count\":0}\n\n";
    const RESET: &str = "event: reset\ndata: {\"now_ms\":1}\n\n";

    /// A watch that is ready, and what the directory is for it.
    fn watch(silence_max: Duration) -> (Watch, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let directory = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(format!("{HEAD}{READY}").as_bytes()).unwrap();
            stream
        });
        let mut watch = client.watch(WatchFilter::default()).with_silence_max(silence_max);
        assert!(matches!(watch.next(&mut SequenceMemory::new()), WatchEvent::Ready));
        (watch, directory.join().unwrap())
    }

    #[test]
    fn what_came_while_nobody_asked_is_read_before_the_directory_counts_as_silent() {
        let silence_max = Duration::from_millis(100);
        let (mut watch, mut directory) = watch(silence_max);
        let mut memory = SequenceMemory::new();
        directory.write_all(RESET.as_bytes()).unwrap();
        std::thread::sleep(2 * silence_max);
        let event = watch.next(&mut memory);
        assert!(matches!(event, WatchEvent::Reset), "{event:?}");
        std::thread::sleep(2 * silence_max);
        let Some(WatchEvent::Lost { error, .. }) = watch.next_within(&mut memory, Duration::ZERO) else {
            panic!("not lost")
        };
        assert!(error.to_string().contains("silent"), "{error}");
    }

    #[test]
    fn who_does_not_wait_gets_what_is_there_and_no_more() {
        let (mut watch, mut directory) = watch(WATCH_SILENCE_MAX);
        let mut memory = SequenceMemory::new();
        assert!(watch.next_within(&mut memory, Duration::ZERO).is_none());
        directory.write_all(format!(": beat\n\n{RESET}{READY}").as_bytes()).unwrap();
        let deadline = Instant::now() + WATCH_SILENCE_MAX;
        let mut next = || loop {
            assert!(Instant::now() < deadline, "it never looks");
            match watch.next_within(&mut memory, Duration::ZERO) {
                Some(event) => return event,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        assert!(matches!(next(), WatchEvent::Reset));
        assert!(matches!(next(), WatchEvent::Ready));
        // A stream of what is nothing to tell holds nobody who does not wait.
        let talker = std::thread::spawn(move || while directory.write_all(&b": beat\n\n".repeat(1000)).is_ok() {});
        for _ in 0..100 {
            assert!(watch.next_within(&mut memory, Duration::ZERO).is_none());
        }
        drop(watch);
        talker.join().unwrap();
    }

    #[test]
    fn a_filter_is_a_query() {
        let query = |name: &str, service: Option<&str>| {
            WatchFilter { name_prefix: name.to_owned(), service: service.map(str::to_owned) }.query()
        };
        assert_eq!(query("", None), "");
        assert_eq!(query("a b&", None), "?name=a%20b%26");
        assert_eq!(query("", Some("chat")), "?service=chat");
        assert_eq!(query(&"x".repeat(9000), Some("")), "?name=%2F&service=");
    }
}
