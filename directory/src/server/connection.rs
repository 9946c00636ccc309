//! One HTTP connection: requests in, answers out, deadlines. No socket, no clock.
//!
//! Requests are answered in the order in which they came. While unread answers pile up, the requests behind them wait as
//! bytes, up to a limit. Every phase has an absolute deadline: a byte now and then buys no time.
//!
//! A connection that asks to watch belongs to the stream (`watch.rs`) from then on: what is sent behind that request is
//! dropped and never answered.

use super::routes::Service;
use super::watch::{Step, Watch};
use crate::http::{HttpError, Method, Persistence, Request, RequestParser, Tail, Version};
use crate::limits::{ANSWER_BUDGET_COUNT, OUTPUT_LEN_HIGH, PIPELINE_LEN_MAX};
use bytes::{Buf, BytesMut};
use landline::reactor::{Outbox, SocketEnd, Transmit};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) request: Duration,
    pub(super) response: Duration,
    pub(super) keep_alive: Duration,
}

/// The state of one connection.
pub(super) struct HttpConnection {
    remote: SocketAddr,
    parser: RequestParser,
    /// Received and not yet understood: an incomplete head, or requests that wait for their turn.
    backlog: BytesMut,
    /// Requests answered so far.
    request_count: usize,
    /// Answers that are not in the outbox yet.
    output: BytesMut,
    /// Requests that may still be answered in the turn at this instant.
    ration: (Instant, usize),
    /// The ration is used up and requests may wait in the backlog.
    is_rationed: bool,
    /// No further request is taken.
    is_ending: bool,
    has_eof: bool,
    /// Since it has asked to watch, until the stream ends.
    watch: Option<Box<Watch>>,
    /// It counts among the watchers.
    has_watched: bool,
    patience: Patience,
    /// Since when the request under way is awaited; set from the start, for the first one.
    request_since: Option<Instant>,
    /// Since when the socket has been offered the answers that it holds.
    response_since: Option<Instant>,
    idle_since: Instant,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum HttpEnd {
    Socket(SocketEnd),
    /// Nothing was asked for too long.
    Idle,
    /// An answer was not taken in time.
    SlowReader,
    /// Too many requests were sent without reading the answers.
    Overrun,
}

impl HttpConnection {
    pub(super) fn new(remote: SocketAddr, patience: Patience, now: Instant) -> HttpConnection {
        HttpConnection {
            remote,
            parser: RequestParser::new(),
            backlog: BytesMut::new(),
            request_count: 0,
            output: BytesMut::new(),
            ration: (now, ANSWER_BUDGET_COUNT),
            is_rationed: false,
            is_ending: false,
            has_eof: false,
            watch: None,
            has_watched: false,
            patience,
            request_since: Some(now),
            response_since: None,
            idle_since: now,
        }
    }

    /// Takes all of `input`. Gives whether a request has been answered.
    pub(super) fn handle_input(
        &mut self,
        input: &mut BytesMut,
        service: &mut Service,
        now: Instant,
    ) -> Result<bool, HttpEnd> {
        if !self.takes_requests() {
            input.clear();
            return Ok(false);
        }
        let answered = if self.backlog.is_empty() {
            let answered = self.answer(input, service, now);
            // Kept here and not in the reactor's buffer, so that a byte more costs a byte more.
            self.backlog.extend_from_slice(input);
            answered
        } else {
            self.backlog.extend_from_slice(input);
            self.answer_backlog(service, now)
        };
        input.clear();
        if self.backlog.len() > PIPELINE_LEN_MAX {
            return Err(HttpEnd::Overrun);
        }
        Ok(answered)
    }

    /// The client will send nothing more; what it asked for is still answered.
    pub(super) fn handle_eof(&mut self) {
        self.has_eof = true;
    }

    /// Moves answers into the outbox.
    pub(super) fn poll_transmit(&mut self, outbox: &mut Outbox, service: &mut Service, now: Instant) -> Transmit {
        loop {
            let len = outbox.put(&self.output);
            self.output.advance(len);
            if !self.output.is_empty() || !self.refill(service, now) {
                break;
            }
        }
        let is_out = self.output.is_empty();
        if is_out {
            self.output = BytesMut::new();
        }
        let is_asked_all = self.has_eof && !self.is_rationed && self.watch.is_none();
        // A request that has begun to come when the server stops is still answered, if it comes in time.
        let is_stopped = service.is_draining() && !self.has_begun();
        let is_last = self.is_ending || is_asked_all || is_stopped;
        if !outbox.is_empty() || is_last {
            self.response_since = Some(now);
        } else if self.response_since.take().is_some() {
            self.idle_since = now;
        }
        match is_out {
            true if is_last => Transmit::Finish,
            true if outbox.is_empty() => Transmit::Idle,
            // Asked again when the outbox has drained, which is how the answer is known to be taken.
            _ => Transmit::More,
        }
    }

    /// The deadline has come. `Ok` where something remains to be sent.
    pub(super) fn handle_deadline(&mut self, service: &mut Service, now: Instant) -> Result<(), HttpEnd> {
        if self.response_since.is_some() {
            return Err(HttpEnd::SlowReader);
        }
        if let Some(watch) = &mut self.watch {
            watch.handle_beat();
            return Ok(());
        }
        if self.request_since.is_none() || !self.has_begun() {
            return Err(HttpEnd::Idle);
        }
        self.refuse(HttpError::new(408, "the request took too long to arrive"), service, now);
        Ok(())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(match (self.response_since, &self.watch, self.request_since) {
            (Some(since), _, _) => since + self.patience.response,
            (None, Some(watch), _) => watch.beat_at(),
            (None, None, Some(since)) => since + self.patience.request,
            (None, None, None) => self.idle_since + self.patience.keep_alive,
        })
    }

    /// Whether there is something for `poll_transmit`.
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether requests wait for `poll_transmit` in the next turn.
    pub(super) fn is_rationed(&self) -> bool {
        self.is_rationed
    }

    /// Whether part of a request is there.
    fn has_begun(&self) -> bool {
        !self.backlog.is_empty() || self.parser.is_in_body()
    }

    /// The address of the client, an IPv4 one as such.
    pub(super) fn address(&self) -> IpAddr {
        self.remote.ip().to_canonical()
    }

    /// Whether it counts among the watchers, from the request on until it is gone.
    pub(super) fn has_watched(&self) -> bool {
        self.has_watched
    }

    fn takes_requests(&self) -> bool {
        !self.is_ending && self.watch.is_none()
    }

    /// Puts more into the empty output, if there is more.
    fn refill(&mut self, service: &mut Service, now: Instant) -> bool {
        if self.watch.is_some() {
            self.refill_stream(service, now);
        } else if !self.is_ending && !self.backlog.is_empty() {
            self.answer_backlog(service, now);
        }
        !self.output.is_empty()
    }

    fn refill_stream(&mut self, service: &mut Service, now: Instant) {
        let Some(watch) = &mut self.watch else { return };
        self.is_rationed = false;
        let step = match service.is_draining() {
            true => Step::End,
            false => watch.poll(&mut self.output, &mut service.watchers, &service.store, now),
        };
        match step {
            Step::Wrote => {}
            Step::Paused => self.is_rationed = true,
            // Who sends nothing more may still read; but what would it wait for, now that it knows all?
            Step::UpToDate if !self.has_eof => {}
            Step::UpToDate | Step::End => {
                watch.finish(&mut self.output);
                self.watch = None;
                self.is_ending = true;
            }
        }
    }

    fn answer_backlog(&mut self, service: &mut Service, now: Instant) -> bool {
        let mut backlog = std::mem::take(&mut self.backlog);
        let answered = self.answer(&mut backlog, service, now);
        if !backlog.is_empty() {
            self.backlog = backlog;
        }
        answered
    }

    /// Answers the requests at the front of `source` until the answers pile up or the turn's ration is used up.
    fn answer(&mut self, source: &mut BytesMut, service: &mut Service, now: Instant) -> bool {
        let mut answered = false;
        if self.ration.0 != now {
            self.ration = (now, ANSWER_BUDGET_COUNT);
        }
        while self.takes_requests() && self.ration.1 > 0 && self.output.len() < OUTPUT_LEN_HIGH {
            match self.parser.poll_request(source) {
                Ok(Some(request)) => {
                    self.respond(&request, service, now);
                    self.request_since = None;
                    self.ration.1 -= 1;
                    answered = true;
                }
                Ok(None) => {
                    if self.parser.take_continue() {
                        self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    break;
                }
                Err(error) => self.refuse(error, service, now),
            }
        }
        if !self.takes_requests() {
            source.clear();
        }
        self.is_rationed = self.ration.1 == 0 && !source.is_empty();
        if self.request_since.is_none() && (!source.is_empty() || self.parser.is_in_body()) {
            self.request_since = Some(now);
        }
        if self.has_output() && self.response_since.is_none() {
            self.response_since = Some(now);
        }
        answered
    }

    fn respond(&mut self, request: &Request, service: &mut Service, now: Instant) {
        let mut response = service.answer(request, self.remote, now);
        self.request_count += 1;
        self.is_ending = !request.keep_alive || service.ends_after(self.request_count);
        if response.is_stream() && request.method == Method::Get {
            let watch = service.watchers.open(request, self.address(), &service.store, now);
            response = watch.frame(response);
            self.watch = Some(Box::new(watch));
            self.has_watched = true;
        }
        let is_close_delimited = self.watch.is_some() && request.version == Version::Http10;
        let connection = match request.version {
            _ if self.is_ending || is_close_delimited => Persistence::Close,
            Version::Http10 => Persistence::KeepAlive,
            Version::Http11 => Persistence::Implied,
        };
        // The stream ends the connection when it ends itself.
        self.is_ending &= self.watch.is_none();
        let tail = Tail { connection, omit_body: request.method == Method::Head };
        response.write(&mut self.output, service.date(now), tail);
    }

    /// Answers what could not be understood; the connection ends with it.
    fn refuse(&mut self, error: HttpError, service: &mut Service, now: Instant) {
        let response = service.refuse_request(error, self.remote);
        let tail = Tail { connection: Persistence::Close, omit_body: self.parser.is_head() };
        response.write(&mut self.output, service.date(now), tail);
        self.is_ending = true;
        self.backlog = BytesMut::new();
        self.response_since = Some(now);
    }
}

impl From<SocketEnd> for HttpEnd {
    fn from(end: SocketEnd) -> HttpEnd {
        match end {
            SocketEnd::WriteStall => HttpEnd::SlowReader,
            end => HttpEnd::Socket(end),
        }
    }
}

impl fmt::Display for HttpEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpEnd::Socket(end) => write!(f, "{end}"),
            HttpEnd::Idle => f.write_str("nothing was asked for too long"),
            HttpEnd::SlowReader => f.write_str("an answer was not taken in time"),
            HttpEnd::Overrun => f.write_str("too many requests came before their answers were read"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
