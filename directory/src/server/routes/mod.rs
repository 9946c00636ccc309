//! What the directory answers: one function for each resource, over the store.
//!
//! A request comes in whole and an answer goes out whole. Who asks is the address of the connection and nothing else:
//! headers that claim another (`Forwarded`, `X-Forwarded-For`) are not read. What there is stands in `table.rs`.

mod announce;
mod guard;
mod lookup;
mod problem;
mod table;
mod tag;

use super::DirectoryConfig;
use super::date::DateClock;
use super::jitter::Jitter;
use super::metrics::{Levels, Limit, Metrics};
use super::page;
use super::rate::AnnounceRate;
use super::watch::Watchers;
use crate::http::{HttpError, Request, Response};
use crate::keys::Keys;
use crate::store::{Store, StoreHealth};
use guard::Guard;
pub(super) use lookup::parameter;
pub(super) use problem::Problem;
use std::net::SocketAddr;
use std::time::Instant;
use table::Route;
pub(super) use table::{OPERATIONS, Operation};
use tag::Tags;

/// The description of all of it for programs; a test compares it with the table.
const OPENAPI: &str = include_str!("../openapi.json");

/// The directory behind its HTTP.
pub(super) struct Service {
    pub(super) store: Store,
    pub(super) watchers: Watchers,
    pub(super) metrics: Metrics,
    guard: Guard,
    rate: AnnounceRate,
    keys: Keys,
    tags: Tags,
    openapi_tag: String,
    requests_per_connection_max: usize,
    dates: DateClock,
    jitter: Jitter,
    is_draining: bool,
}

impl Service {
    pub(super) fn new(store: Store, watchers: Watchers, config: &DirectoryConfig, jitter_seed: u64) -> Service {
        let tags = Tags::default();
        Service {
            store,
            watchers,
            metrics: Metrics::new(),
            guard: Guard::new(&config.host_names),
            rate: AnnounceRate::new(config),
            keys: Keys::default(),
            openapi_tag: tags.of_text(OPENAPI),
            tags,
            requests_per_connection_max: config.requests_per_connection_max,
            dates: DateClock::default(),
            // The generator must not start at 0.
            jitter: Jitter::new(jitter_seed),
            is_draining: false,
        }
    }

    /// The answer to `request`, which came from `remote` and was whole at `now`.
    pub(super) fn answer(&mut self, request: &Request, remote: SocketAddr, now: Instant) -> Response {
        let (operation, result) = self.dispatch(request, remote, now);
        let response = result.unwrap_or_else(|refusal| refusal);
        let duration = Instant::now().saturating_duration_since(now);
        self.metrics.count_request(operation, response.status(), duration);
        tracing::debug!(
            %remote,
            method = ?request.method,
            route = operation.row().path,
            path = request.target.path(),
            status = response.status(),
            ?duration,
            "answered"
        );
        response
    }

    /// The answer to what could not be understood.
    pub(super) fn refuse_request(&mut self, error: HttpError, remote: SocketAddr) -> Response {
        self.metrics.count_refused(error.status);
        tracing::debug!(%remote, status = error.status, detail = error.detail, "refused");
        Response::from(error)
    }

    /// Whether the connection ends after the answer to its request number `count`, wherever the client would go on.
    pub(super) fn ends_after(&mut self, count: usize) -> bool {
        let is_limit = count >= self.requests_per_connection_max;
        if is_limit {
            self.metrics.count_limit(Limit::RequestsPerConnection);
        }
        is_limit || self.is_draining
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

    fn dispatch(
        &mut self,
        request: &Request,
        remote: SocketAddr,
        now: Instant,
    ) -> (Operation, Result<Response, Response>) {
        if let Err(refusal) = self.guard.check(request) {
            return (Operation::None, Err(refusal));
        }
        let Some(route) = Route::find(request.target.path()) else {
            let detail = "there is nothing under this path; see /openapi.json";
            return (Operation::None, Err(Problem::NotFound.response(detail)));
        };
        match route.operation(request.method) {
            Ok(operation) => (operation, self.run(operation, route, request, remote, now)),
            Err(refusal) => (Operation::None, Err(refusal)),
        }
    }

    fn run(
        &mut self,
        operation: Operation,
        route: Route<'_>,
        request: &Request,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<Response, Response> {
        match (route, operation) {
            (Route::Asset(asset), _) => Ok(asset.response()),
            (Route::Peer(name), _) => self.by_name(name, request, now),
            (Route::Announcement(id), Operation::Announce) => self.announce(id, request, remote, now),
            (Route::Announcement(id), Operation::Withdraw) => self.withdraw(id, request, remote, now),
            (Route::Announcement(id), _) => self.by_id(id, request, now),
            (Route::Fixed(operation), _) => match operation {
                Operation::List => self.list(request, now),
                Operation::Watch => self.watch(request, remote),
                Operation::WhoAmI => Ok(lookup::who_am_i(remote)),
                Operation::Page => lookup::list_query(request).map(|query| page::render(&self.store, query, now)),
                Operation::Health => Ok(plain("ok\n")),
                Operation::Ready => self.ready(now),
                Operation::Metrics => Ok(self.metrics(now)),
                Operation::OpenApi => Ok(tag::answer(request, self.openapi_tag.clone(), || {
                    Response::new(200, "application/json", OPENAPI)
                })),
                _ => Err(Problem::NotFound.response("there is nothing under this path; see /openapi.json")),
            },
        }
    }

    fn watch(&mut self, request: &Request, remote: SocketAddr) -> Result<Response, Response> {
        let answer = self.watchers.answer(request, remote.ip().to_canonical(), self.jitter.retry_after());
        if answer.as_ref().is_err_and(|refusal| refusal.status() == 503) {
            self.metrics.count_limit(Limit::Watchers);
        }
        answer
    }

    /// Why this directory should not be asked now, if it should not.
    fn unready(&self, store: &StoreHealth) -> Option<String> {
        if self.is_draining {
            return Some("the directory is stopping; ask another, or come again when it is back".to_owned());
        }
        store.trouble.as_ref().map(|trouble| format!("announcements are refused: {trouble}"))
    }

    fn ready(&self, now: Instant) -> Result<Response, Response> {
        match self.unready(&self.store.health(now)) {
            None => Ok(plain("ready\n")),
            Some(detail) => Err(Problem::NotReady.response(&detail).with_retry_after(self.jitter.retry_after())),
        }
    }

    fn metrics(&self, now: Instant) -> Response {
        let store = self.store.health(now);
        let is_ready = self.unready(&store).is_none();
        let levels = Levels { watcher_count: self.watchers.count() as u64, store, is_ready };
        Response::new(200, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render(&levels))
    }
}

fn plain(text: &'static str) -> Response {
    Response::new(200, "text/plain; charset=utf-8", text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
