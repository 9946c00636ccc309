//! Announcing and withdrawing: signed statements in, answers with when to come again out.

use super::Service;
use super::lookup::parse_id;
use super::problem::Problem;
use crate::announcement::{SignedStatement, StatementError};
use crate::http::{ContentType, Request, Response};
use crate::server::listing::entry_text;
use crate::server::metrics::Limit;
use crate::store::{Announced, StoreRefusal};
use landline::PeerId;
use serde_json::{Map, json};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

impl Service {
    pub(super) fn announce(
        &mut self,
        id: &str,
        request: &Request,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<Response, Response> {
        let source = remote.ip().to_canonical();
        let (peer_id, signed) = self.read_envelope(id, request, source, now)?;
        let announcement = signed.verify_announcement_by(&mut self.keys).map_err(refuse_statement)?;
        check_path(peer_id, announcement.peer_id)?;
        if !source.is_loopback() && announcement.addresses.iter().any(|address| address.ip().is_loopback()) {
            let detail = "a loopback address means nothing to other hosts; announce those of your network interfaces";
            return Err(Problem::LoopbackAddress.response(detail));
        }
        let outcome = self.store.announce(&announcement, signed, source, now);
        let outcome = outcome.map_err(|refusal| self.refuse(peer_id, refusal, now))?;
        self.metrics.count_announced(outcome);
        let left = self.store.by_id(peer_id, now).map_or(Duration::ZERO, |entry| entry.expires_in(now));
        let body = format!(
            "{{\"peer_id\":\"{id}\",\"sequence\":{},\"expires_in_ms\":{},\"renew_after_ms\":{}}}",
            announcement.sequence,
            left.as_millis(),
            self.jitter.renew_after(left).as_millis(),
        );
        Ok(Response::json_text(if outcome == Announced::New { 201 } else { 200 }, body))
    }

    pub(super) fn withdraw(
        &mut self,
        id: &str,
        request: &Request,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<Response, Response> {
        let source = remote.ip().to_canonical();
        let (peer_id, signed) = self.read_envelope(id, request, source, now)?;
        let withdrawal = signed.verify_withdrawal().map_err(refuse_statement)?;
        check_path(peer_id, withdrawal.peer_id)?;
        let outcome = self.store.withdraw(withdrawal, source, now);
        outcome.map_err(|refusal| self.refuse(peer_id, refusal, now))?;
        self.metrics.withdrawn_count += 1;
        let body = json!({ "peer_id": peer_id.to_string(), "sequence": withdrawal.sequence, "withdrawn": true });
        Ok(Response::json(200, &body))
    }

    /// The statement of a request, as far as it can be had without verifying it. Verifying is what costs, so that each
    /// address has its rate here.
    fn read_envelope(
        &mut self,
        id: &str,
        request: &Request,
        source: IpAddr,
        now: Instant,
    ) -> Result<(PeerId, SignedStatement), Response> {
        self.rate.take(source, now).map_err(|wait| {
            self.metrics.count_limit(Limit::AnnouncementsPerSecond);
            let detail = "your address announces more often than it may; come again when Retry-After says";
            Problem::TooFast.response(detail).with_retry_after(wait)
        })?;
        if request.content_type != ContentType::Json {
            let detail = "send the signed statement as Content-Type: application/json, not compressed";
            return Err(Problem::NotJson.response(detail));
        }
        let peer_id = parse_id(id)?;
        Ok((peer_id, SignedStatement::from_json(&request.body).map_err(refuse_statement)?))
    }

    fn refuse(&mut self, peer_id: PeerId, refusal: StoreRefusal, now: Instant) -> Response {
        let mut members = Map::new();
        match refusal {
            StoreRefusal::OldSequence { stored } => {
                members.insert("sequence".to_owned(), stored.into());
                if let Some(entry) = self.store.by_id(peer_id, now) {
                    // What we have just written is JSON.
                    let stored = serde_json::from_str(&entry_text(entry, now)).unwrap_or_default();
                    members.insert("stored".to_owned(), stored);
                }
                let detail = "this peer has said something later; sign a sequence above the one given here";
                Problem::OldSequence.response_with(detail, members)
            }
            StoreRefusal::NameTaken { holder, held_for } => {
                members.insert("holder".to_owned(), holder.to_string().into());
                if let Some(left) = held_for {
                    members.insert("held_for_ms".to_owned(), (left.as_millis() as u64).into());
                }
                let detail = "another peer has this name, live or not long gone; choose another, or ask the operator to \
                              free it with `landline directory release NAME`";
                Problem::NameTaken.response_with(detail, members)
            }
            StoreRefusal::NotAllowed => {
                let detail = "this directory lists only the peers that its operator names; give them your PeerId";
                Problem::NotAllowed.response(detail)
            }
            StoreRefusal::Unavailable => {
                let detail = "what is announced cannot be stored for now: the disk is full or fails; come again";
                Problem::StoreUnavailable.response(detail).with_retry_after(self.jitter.retry_after())
            }
            StoreRefusal::AddressFull => {
                self.metrics.count_limit(Limit::AnnouncementsPerAddress);
                let detail = "your address has as many announcements as one may have; withdraw some, or wait";
                Problem::AddressFull.response(detail).with_retry_after(self.jitter.retry_after())
            }
            StoreRefusal::Full => {
                self.metrics.count_limit(Limit::Announcements);
                let detail = "the directory is full; come again, or ask its operator to raise its limit";
                Problem::Full.response(detail).with_retry_after(self.jitter.retry_after())
            }
            StoreRefusal::NotFound => Problem::NotFound.response("this peer has no live announcement"),
        }
    }
}

fn check_path(path: PeerId, statement: PeerId) -> Result<(), Response> {
    if path == statement {
        return Ok(());
    }
    Err(Problem::WrongPeer.response("the path names another peer than the statement"))
}

fn refuse_statement(error: StatementError) -> Response {
    let problem = match error {
        StatementError::Malformed(_) => Problem::Malformed,
        StatementError::BadSignature => Problem::BadSignature,
    };
    problem.response(&error.to_string())
}
