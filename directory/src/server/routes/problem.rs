//! What is refused: a code for programs that stays the same, and the status that goes with it.

use crate::http::Response;
use serde_json::{Map, Value};

/// A refusal by a resource. Requests that break HTTP itself are `bad_request` (`HttpError`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Problem {
    Malformed,
    BadSignature,
    WrongPeer,
    LoopbackAddress,
    BadParameter,
    CrossOrigin,
    NotAllowed,
    NotFound,
    MethodNotAllowed,
    OldSequence,
    NameTaken,
    NotJson,
    WrongHost,
    AddressFull,
    TooFast,
    Full,
    StoreUnavailable,
    TooManyWatchers,
    NotReady,
}

impl Problem {
    /// Every one, for tests that compare them with what is written about them.
    #[cfg(test)]
    pub(in crate::server) const ALL: [Problem; 19] = [
        Problem::Malformed,
        Problem::BadSignature,
        Problem::WrongPeer,
        Problem::LoopbackAddress,
        Problem::BadParameter,
        Problem::CrossOrigin,
        Problem::NotAllowed,
        Problem::NotFound,
        Problem::MethodNotAllowed,
        Problem::OldSequence,
        Problem::NameTaken,
        Problem::NotJson,
        Problem::WrongHost,
        Problem::AddressFull,
        Problem::TooFast,
        Problem::Full,
        Problem::StoreUnavailable,
        Problem::TooManyWatchers,
        Problem::NotReady,
    ];

    /// The status and the code.
    pub(in crate::server) fn status_and_code(self) -> (u16, &'static str) {
        match self {
            Problem::Malformed => (400, "malformed"),
            Problem::BadSignature => (400, "bad_signature"),
            Problem::WrongPeer => (400, "wrong_peer"),
            Problem::LoopbackAddress => (400, "loopback_address"),
            Problem::BadParameter => (400, "bad_parameter"),
            Problem::CrossOrigin => (403, "cross_origin"),
            Problem::NotAllowed => (403, "not_allowed"),
            Problem::NotFound => (404, "not_found"),
            Problem::MethodNotAllowed => (405, "method_not_allowed"),
            Problem::OldSequence => (409, "old_sequence"),
            Problem::NameTaken => (409, "name_taken"),
            Problem::NotJson => (415, "not_json"),
            Problem::WrongHost => (421, "wrong_host"),
            Problem::AddressFull => (429, "address_full"),
            Problem::TooFast => (429, "too_fast"),
            Problem::Full => (503, "full"),
            Problem::StoreUnavailable => (503, "store_unavailable"),
            Problem::TooManyWatchers => (503, "too_many_watchers"),
            Problem::NotReady => (503, "not_ready"),
        }
    }

    /// The answer. `detail` says what is wrong and what to do.
    pub(in crate::server) fn response(self, detail: &str) -> Response {
        self.response_with(detail, Map::new())
    }

    /// The answer, with members beside those that each has.
    pub(in crate::server) fn response_with(self, detail: &str, members: Map<String, Value>) -> Response {
        let (status, code) = self.status_and_code();
        Response::problem_with(status, code, detail, members)
    }
}

/// A PeerId, name or query parameter that is none.
pub(super) fn bad_parameter(error: impl std::fmt::Display) -> Response {
    Problem::BadParameter.response(&error.to_string())
}
