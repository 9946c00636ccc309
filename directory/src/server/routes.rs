//! What the directory answers: one function for each resource, over the store.
//!
//! A request comes in whole and an answer goes out whole. Who asks is the address of the connection and nothing else:
//! headers that claim another (`Forwarded`, `X-Forwarded-For`) are not read.

use super::date::DateClock;
use super::page;
use crate::announcement::{Name, SignedStatement, StatementError};
use crate::http::{ContentType, Method, Request, Response};
use crate::limits::{PAGE_COUNT_DEFAULT, PAGE_COUNT_MAX, RETRY_AFTER};
use crate::store::{Announced, Entry, Query, Store, StoreRefusal};
use landline::PeerId;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The directory behind its HTTP.
pub(super) struct Service {
    pub(super) store: Store,
    dates: DateClock,
    jitter: u64,
    is_draining: bool,
}

enum Route<'a> {
    Page,
    Style,
    Health,
    WhoAmI,
    List,
    Peer(&'a str),
    Announcement(&'a str),
}

impl<'a> Route<'a> {
    fn find(path: &'a str) -> Option<Route<'a>> {
        let is_segment = |text: &&str| !text.is_empty() && !text.contains('/');
        match path {
            "/" => Some(Route::Page),
            "/style.css" => Some(Route::Style),
            "/healthz" => Some(Route::Health),
            "/v1/whoami" => Some(Route::WhoAmI),
            "/v1/peers" => Some(Route::List),
            _ => {
                let peer = path.strip_prefix("/v1/peers/").filter(is_segment).map(Route::Peer);
                let id = path.strip_prefix("/v1/announcements/").filter(is_segment).map(Route::Announcement);
                peer.or(id)
            }
        }
    }
}

impl Service {
    pub(super) fn new(store: Store, jitter_seed: u64) -> Service {
        Service { store, dates: DateClock::default(), jitter: jitter_seed, is_draining: false }
    }

    /// The answer to `request`, which came from `remote`.
    pub(super) fn answer(&mut self, request: &Request, remote: SocketAddr, now: Instant) -> Response {
        use Method::{Delete, Get, Head, Other, Put};
        let Some(route) = Route::find(request.target.path()) else {
            return Response::problem(404, "not_found", "there is nothing under this path; see /v1/peers");
        };
        let result = match (route, request.method) {
            (Route::Page, Get | Head) => list_query(request).map(|query| page::render(&self.store, &query, now)),
            (Route::Style, Get | Head) => Ok(page::style()),
            (Route::Health, Get | Head) => Ok(Response::new(200, "text/plain; charset=utf-8", "ok\n")),
            (Route::WhoAmI, Get | Head) => Ok(who_am_i(remote)),
            (Route::List, Get | Head) => self.list(request, now),
            (Route::Peer(name), Get | Head) => self.by_name(name, now),
            (Route::Announcement(id), Get | Head) => self.by_id(id, now),
            (Route::Announcement(id), Put) => self.announce(id, request, remote, now),
            (Route::Announcement(id), Delete) => self.withdraw(id, request, remote, now),
            (Route::Announcement(_), Other) => Err(not_allowed("GET, HEAD, PUT, DELETE")),
            (_, Put | Delete | Other) => Err(not_allowed("GET, HEAD")),
        };
        result.unwrap_or_else(|refusal| refusal)
    }

    /// The value of the Date field.
    pub(super) fn date(&mut self, now: Instant) -> &str {
        self.dates.at(now)
    }

    /// From now on each answer is the last of its connection.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    fn announce(
        &mut self,
        id: &str,
        request: &Request,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<Response, Response> {
        let (peer_id, signed) = read_envelope(id, request)?;
        let announcement = signed.verify_announcement().map_err(refuse_statement)?;
        check_path(peer_id, announcement.peer_id)?;
        let source = remote.ip().to_canonical();
        if !source.is_loopback() && announcement.addresses.iter().any(|address| address.ip().is_loopback()) {
            let detail = "a loopback address means nothing to other hosts; announce those of your network interfaces";
            return Err(Response::problem(400, "loopback_address", detail));
        }
        let outcome = self.store.announce(&announcement, signed, source, now);
        let status = match outcome.map_err(|refusal| self.refuse(peer_id, refusal, now))? {
            Announced::New => 201,
            Announced::Renewed | Announced::Same => 200,
        };
        let left = self.store.by_id(peer_id, now).map_or(Duration::ZERO, |entry| entry.expires_in(now));
        let body = json!({
            "peer_id": peer_id.to_string(),
            "sequence": announcement.sequence,
            "expires_in_ms": left.as_millis() as u64,
            "renew_after_ms": self.renew_after(left).as_millis() as u64,
        });
        Ok(Response::json(status, &body))
    }

    fn withdraw(
        &mut self,
        id: &str,
        request: &Request,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<Response, Response> {
        let (peer_id, signed) = read_envelope(id, request)?;
        let withdrawal = signed.verify_withdrawal().map_err(refuse_statement)?;
        check_path(peer_id, withdrawal.peer_id)?;
        let outcome = self.store.withdraw(withdrawal, remote.ip().to_canonical(), now);
        outcome.map_err(|refusal| self.refuse(peer_id, refusal, now))?;
        let body = json!({ "peer_id": peer_id.to_string(), "sequence": withdrawal.sequence, "withdrawn": true });
        Ok(Response::json(200, &body))
    }

    fn by_name(&self, name: &str, now: Instant) -> Result<Response, Response> {
        let name: Name = name.parse().map_err(bad_parameter)?;
        match self.store.by_name(&name, now) {
            Some(entry) => Ok(Response::json(200, &entry_json(entry, now))),
            None => Err(Response::problem(404, "not_found", "no live peer has this name")),
        }
    }

    fn by_id(&self, id: &str, now: Instant) -> Result<Response, Response> {
        match self.store.by_id(parse_id(id)?, now) {
            Some(entry) => Ok(Response::json(200, &entry_json(entry, now))),
            None => Err(Response::problem(404, "not_found", "this peer has no live announcement")),
        }
    }

    fn list(&self, request: &Request, now: Instant) -> Result<Response, Response> {
        let page = self.store.list(&list_query(request)?, now);
        let peers: Vec<Value> = page.entries.iter().map(|(_, entry)| entry_json(entry, now)).collect();
        let next = page.next.map(|name| name.to_string());
        Ok(Response::json(200, &json!({ "peers": peers, "next": next })))
    }

    fn refuse(&self, peer_id: PeerId, refusal: StoreRefusal, now: Instant) -> Response {
        let mut members = Map::new();
        match refusal {
            StoreRefusal::OldSequence { stored } => {
                members.insert("sequence".to_owned(), stored.into());
                if let Some(entry) = self.store.by_id(peer_id, now) {
                    members.insert("stored".to_owned(), entry_json(entry, now));
                }
                let detail = "this peer has said something later; sign a sequence above the one given here";
                Response::problem_with(409, "old_sequence", detail, members)
            }
            StoreRefusal::NameTaken { holder, held_for } => {
                members.insert("holder".to_owned(), holder.to_string().into());
                if let Some(left) = held_for {
                    members.insert("held_for_ms".to_owned(), (left.as_millis() as u64).into());
                }
                let detail = "another peer has this name, live or not long gone; choose another, or ask the operator to \
                              free it with `landline directory release NAME`";
                Response::problem_with(409, "name_taken", detail, members)
            }
            StoreRefusal::NotAllowed => {
                let detail = "this directory lists only the peers that its operator names; give them your PeerId";
                Response::problem(403, "not_allowed", detail)
            }
            StoreRefusal::Unavailable => {
                let detail = "what is announced cannot be stored for now: the disk is full or fails; come again";
                Response::problem(503, "store_unavailable", detail).with_retry_after(RETRY_AFTER)
            }
            StoreRefusal::AddressFull => {
                let detail = "your address has as many announcements as one may have; withdraw some, or wait";
                Response::problem(429, "address_full", detail).with_retry_after(RETRY_AFTER)
            }
            StoreRefusal::Full => {
                let detail = "the directory is full; come again, or ask its operator to raise its limit";
                Response::problem(503, "full", detail).with_retry_after(RETRY_AFTER)
            }
            StoreRefusal::NotFound => Response::problem(404, "not_found", "this peer has no live announcement"),
        }
    }

    /// A third of what is left, give or take a tenth of that, so that many peers do not come back in one second.
    fn renew_after(&mut self, left: Duration) -> Duration {
        // xorshift64: spread is all that is asked of it.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let share = (self.jitter % 1000) as f64 / 1000.0;
        (left / 3).mul_f64(0.9 + 0.2 * share)
    }
}

fn who_am_i(remote: SocketAddr) -> Response {
    let ip = remote.ip().to_canonical();
    let address = SocketAddr::new(ip, remote.port());
    Response::json(200, &json!({ "address": address.to_string(), "ip": ip.to_string() }))
}

fn entry_json(entry: &Entry, now: Instant) -> Value {
    json!({
        "statement": entry.signed().statement(),
        "signature": entry.signed().signature_hex(),
        "expires_in_ms": entry.expires_in(now).as_millis() as u64,
        "since_ms": now.saturating_duration_since(entry.since()).as_millis() as u64,
    })
}

fn not_allowed(allow: &'static str) -> Response {
    let detail = format!("this resource takes {allow}");
    Response::problem(405, "method_not_allowed", &detail).with_field("Allow", allow)
}

fn read_envelope(id: &str, request: &Request) -> Result<(PeerId, SignedStatement), Response> {
    if request.content_type != ContentType::Json {
        let detail = "send the signed statement as Content-Type: application/json, not compressed";
        return Err(Response::problem(415, "not_json", detail));
    }
    let peer_id = parse_id(id)?;
    Ok((peer_id, SignedStatement::from_json(&request.body).map_err(refuse_statement)?))
}

fn check_path(path: PeerId, statement: PeerId) -> Result<(), Response> {
    if path == statement {
        return Ok(());
    }
    Err(Response::problem(400, "wrong_peer", "the path names another peer than the statement"))
}

fn refuse_statement(error: StatementError) -> Response {
    let code = match error {
        StatementError::Malformed(_) => "malformed",
        StatementError::BadSignature => "bad_signature",
    };
    Response::problem(400, code, &error.to_string())
}

fn parse_id(text: &str) -> Result<PeerId, Response> {
    text.parse().map_err(bad_parameter)
}

fn bad_parameter(error: impl std::fmt::Display) -> Response {
    Response::problem(400, "bad_parameter", &error.to_string())
}

/// Reads `cursor`, `limit`, `name` and `service`. Other parameters are skipped.
fn list_query(request: &Request) -> Result<Query, Response> {
    let mut query = Query::default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in request.target.query() {
        match name.as_str() {
            known @ ("cursor" | "limit" | "name" | "service") if seen.contains(&known) => {
                return Err(bad_parameter(format_args!("the parameter {known} stands twice")));
            }
            "cursor" => query.after = Some(value.parse().map_err(bad_parameter)?),
            "limit" => query.count_max = parse_limit(value)?,
            "name" => query.name_prefix = value.clone(),
            "service" => query.service = Some(value.clone()),
            _ => continue,
        }
        seen.push(name);
    }
    Ok(query)
}

fn parse_limit(text: &str) -> Result<usize, Response> {
    match text.parse() {
        Ok(limit @ 1..=PAGE_COUNT_MAX) if crate::http::is_digits(text) => Ok(limit),
        _ => Err(bad_parameter(format_args!(
            "limit must be 1 to {PAGE_COUNT_MAX}; it is {PAGE_COUNT_DEFAULT} unless given"
        ))),
    }
}
