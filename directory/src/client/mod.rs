//! The blocking client of a directory, which believes nothing that it has not verified.
//!
//! An announcement that it returns is signed by the peer that it names, is the one that was asked for, and is not older
//! than what was seen of that peer before. Each request has a connection of its own and one absolute time limit, from
//! connecting on; looking up a host name takes as long as the system lets it.

mod announcer;
mod error;
mod events;
mod exchange;
mod memory;
mod url;
mod watch;

pub use announcer::{Addresses, Announcer, AnnouncerEvent, AnnouncerPlan};
pub use error::{ClientError, Refusal};
pub use memory::SequenceMemory;
pub use url::{DirectoryUrl, UrlError};
pub use watch::{DownReason, Watch, WatchEvent, WatchFilter};

use crate::announcement::{Announcement, Name, SignedStatement};
use crate::limits::{CLIENT_TIMEOUT, LIST_COUNT_MAX, LIST_TIMEOUT, PAGE_COUNT_MAX, PAGE_READ_COUNT_MAX};
use exchange::{Answer, ExchangeError, Opened, exchange, open};
use landline::PeerId;
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Asks one directory.
#[derive(Clone, Debug)]
pub struct Client {
    url: DirectoryUrl,
    timeout: Duration,
}

/// What a directory grants an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Whether the peer was not listed before.
    pub is_new: bool,
    /// For how long it is listed unless it renews.
    pub expires_in: Duration,
    /// When the directory wants it to renew.
    pub renew_after: Duration,
}

/// A verified announcement, and for how long the directory will list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the peer said.
    pub announcement: Announcement,
    /// The directory's word; nobody signed that.
    pub expires_in: Duration,
    /// Since when the peer has been listed without a gap, as the time from then to now. The directory's word too.
    pub listed_for: Duration,
}

/// What a directory lists.
#[derive(Debug, Default)]
pub struct PeerList {
    /// Verified, in the order of names, none twice.
    pub peers: Vec<Listed>,
    /// Why the other entries were left out.
    pub refused: Vec<ClientError>,
}

#[derive(Deserialize)]
struct GrantedBody {
    expires_in_ms: u64,
    renew_after_ms: u64,
}

#[derive(Deserialize)]
struct ListedBody {
    statement: String,
    signature: String,
    expires_in_ms: u64,
    /// Directories of earlier versions do not say.
    #[serde(default)]
    since_ms: u64,
}

#[derive(Deserialize)]
struct PageBody {
    peers: Vec<ListedBody>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct WhoAmIBody {
    address: SocketAddr,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ProblemBody {
    code: String,
    detail: String,
    sequence: Option<u64>,
}

impl Client {
    /// A client of the directory at `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// Where the URL is not `http://HOST[:PORT]`.
    pub fn new(url: &str) -> Result<Client, UrlError> {
        Ok(Client { url: url.parse()?, timeout: CLIENT_TIMEOUT })
    }

    /// The same with another time limit for each request.
    pub fn with_timeout(self, timeout: Duration) -> Client {
        Client { timeout, ..self }
    }

    /// Whom it asks.
    pub fn url(&self) -> &DirectoryUrl {
        &self.url
    }

    /// Announces, or renews. `statement` is an announcement that `peer_id` signed.
    ///
    /// # Errors
    /// See [`ClientError`]; a [`Refusal`] says why by its code.
    pub fn announce(&self, peer_id: PeerId, statement: &SignedStatement) -> Result<Granted, ClientError> {
        let path = format!("/v1/announcements/{peer_id}");
        let answer = self.request("PUT", &path, Some(statement))?;
        let body: GrantedBody = self.expect(&answer, &[200, 201])?;
        Ok(Granted {
            is_new: answer.status == 201,
            expires_in: Duration::from_millis(body.expires_in_ms),
            renew_after: Duration::from_millis(body.renew_after_ms),
        })
    }

    /// Withdraws. `statement` is a withdrawal that `peer_id` signed.
    ///
    /// # Errors
    /// See [`ClientError`]; `NotFound` where there was nothing to withdraw.
    pub fn withdraw(&self, peer_id: PeerId, statement: &SignedStatement) -> Result<(), ClientError> {
        let path = format!("/v1/announcements/{peer_id}");
        let answer = self.request("DELETE", &path, Some(statement))?;
        let _: serde::de::IgnoredAny = self.expect_found(&answer, &peer_id.to_string())?;
        Ok(())
    }

    /// The peer that is called `name`, by the directory's word. Whether it is the one you mean, its PeerId tells.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn lookup_name(&self, name: &Name, memory: &mut SequenceMemory) -> Result<Listed, ClientError> {
        let answer = self.request("GET", &format!("/v1/peers/{name}"), None)?;
        let body = self.expect_found(&answer, name.as_str())?;
        self.verify(body, memory, |announcement| announcement.name == *name)
    }

    /// Where the peer with this PeerId is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn lookup_id(&self, peer_id: PeerId, memory: &mut SequenceMemory) -> Result<Listed, ClientError> {
        let answer = self.request("GET", &format!("/v1/announcements/{peer_id}"), None)?;
        let body = self.expect_found(&answer, &peer_id.to_string())?;
        self.verify(body, memory, |announcement| announcement.peer_id == peer_id)
    }

    /// All live peers, by name. What cannot be believed is left out and told apart: one bad entry does not hide the rest.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn list(&self, memory: &mut SequenceMemory) -> Result<PeerList, ClientError> {
        let mut list = PeerList::default();
        let mut after: Option<Name> = None;
        let deadline = Instant::now() + LIST_TIMEOUT;
        for _ in 0..PAGE_READ_COUNT_MAX {
            let cursor = after.as_ref().map(|name| format!("&cursor={name}")).unwrap_or_default();
            let path = format!("/v1/peers?limit={PAGE_COUNT_MAX}{cursor}");
            let page: PageBody = self.expect(&self.request("GET", &path, None)?, &[200])?;
            if page.peers.len() > PAGE_COUNT_MAX {
                return Err(self.http_error("its page is longer than was asked for"));
            }
            for body in page.peers {
                let last = list.peers.last().map(|last| &last.announcement.name);
                let rises = |announcement: &Announcement| last.is_none_or(|last| *last < announcement.name);
                match self.verify(body, memory, rises) {
                    Ok(listed) => list.peers.push(listed),
                    Err(error) => list.refused.push(error),
                }
            }
            let Some(next) = page.next else { return Ok(list) };
            let next: Name = next.parse().map_err(|_| self.http_error("its cursor is no name"))?;
            if after.is_some_and(|after| after >= next) {
                return Err(self.http_error("its list runs in circles"));
            }
            after = Some(next);
            if list.peers.len() + list.refused.len() > LIST_COUNT_MAX || Instant::now() >= deadline {
                break;
            }
        }
        Err(self.http_error("its list has no end"))
    }

    /// The address under which the directory sees us.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn who_am_i(&self) -> Result<SocketAddr, ClientError> {
        let body: WhoAmIBody = self.expect(&self.request("GET", "/v1/whoami", None)?, &[200])?;
        Ok(body.address)
    }

    fn request(&self, method: &str, path: &str, body: Option<&SignedStatement>) -> Result<Answer, ClientError> {
        let mut request = self.request_head(method, path);
        match body.map(SignedStatement::to_json) {
            Some(json) => {
                let len = json.len();
                request += &format!("Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n{json}");
            }
            None => request += "\r\n",
        }
        let exchanged = self.url.resolve().map_err(ExchangeError::Io);
        let exchanged = exchanged.and_then(|addresses| exchange(&addresses, request.as_bytes(), self.timeout));
        exchanged.map_err(|error| self.exchange_error(error))
    }

    /// Asks for a stream of events. `fields` are whole lines of header.
    fn open_stream(&self, path: &str, fields: &str) -> Result<Opened, ClientError> {
        let request = self.request_head("GET", path) + fields + "\r\n";
        let opened = self.url.resolve().map_err(ExchangeError::Io);
        let opened = opened.and_then(|addresses| open(&addresses, request.as_bytes(), self.timeout));
        opened.map_err(|error| self.exchange_error(error))
    }

    fn request_head(&self, method: &str, path: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.url.authority())
    }

    fn exchange_error(&self, error: ExchangeError) -> ClientError {
        match error {
            ExchangeError::Io(source) => ClientError::Unreachable { url: self.url.clone(), source },
            ExchangeError::Malformed(what) => self.http_error(what),
        }
    }

    fn expect<T: for<'a> Deserialize<'a>>(&self, answer: &Answer, statuses: &[u16]) -> Result<T, ClientError> {
        if !statuses.contains(&answer.status) {
            return Err(self.refusal(answer));
        }
        serde_json::from_slice(&answer.body).map_err(|error| self.http_error(&error.to_string()))
    }

    fn expect_found<T: for<'a> Deserialize<'a>>(&self, answer: &Answer, what: &str) -> Result<T, ClientError> {
        match self.expect(answer, &[200]) {
            Err(ClientError::Refused(Refusal { status: 404, code, .. })) if code == "not_found" => {
                Err(ClientError::NotFound { url: self.url.clone(), what: what.to_owned() })
            }
            result => result,
        }
    }

    /// Whatever was asked for did not happen: the directory says why, or it is no directory.
    fn refusal(&self, answer: &Answer) -> ClientError {
        match serde_json::from_slice::<ProblemBody>(&answer.body) {
            Ok(problem) if answer.status >= 400 && !problem.code.is_empty() => ClientError::Refused(Refusal {
                status: answer.status,
                code: problem.code,
                detail: problem.detail,
                retry_after: answer.retry_after,
                sequence: problem.sequence,
            }),
            _ => self.http_error(&format!("its answer has the status {}", answer.status)),
        }
    }

    /// Believes an entry where its peer signed it, it is one that was asked for, and nothing newer was seen.
    fn verify(
        &self,
        body: ListedBody,
        memory: &mut SequenceMemory,
        is_wanted: impl FnOnce(&Announcement) -> bool,
    ) -> Result<Listed, ClientError> {
        let dishonest = |what: String| ClientError::Dishonest { url: self.url.clone(), what };
        let signed = SignedStatement::from_parts(body.statement, &body.signature);
        let announcement =
            signed.and_then(|signed| signed.verify_announcement()).map_err(|error| dishonest(error.to_string()))?;
        if !is_wanted(&announcement) {
            return Err(dishonest("it is another peer's announcement than the one asked for".to_owned()));
        }
        if !memory.raise(announcement.peer_id, announcement.sequence) {
            let what = format!("{} has since announced something newer", announcement.name);
            return Err(dishonest(what));
        }
        let (expires_in, listed_for) = (body.expires_in_ms, body.since_ms);
        let (expires_in, listed_for) = (Duration::from_millis(expires_in), Duration::from_millis(listed_for));
        Ok(Listed { announcement, expires_in, listed_for })
    }

    fn http_error(&self, what: &str) -> ClientError {
        ClientError::Http { url: self.url.clone(), what: what.to_owned() }
    }
}
