//! Which paths and methods there are: the table that requests are looked up in, metrics are counted by, and the OpenAPI
//! document is checked against.

use super::problem::Problem;
use crate::http::{Method, Response};
use crate::server::page::Asset;

/// What a request can ask for. The value is the index in [`OPERATIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Operation {
    Page,
    Asset,
    Health,
    Ready,
    Metrics,
    OpenApi,
    WhoAmI,
    List,
    Watch,
    LookUpName,
    LookUpId,
    Announce,
    Withdraw,
    /// Nothing of the above: it was refused before, or there is no such path or method.
    None,
}

/// How an operation is asked for and answered.
pub(in crate::server) struct Row {
    pub(in crate::server) operation: Operation,
    pub(in crate::server) method: &'static str,
    pub(in crate::server) path: &'static str,
    /// What it is answered with, beside [`ANY_STATUSES`].
    pub(in crate::server) statuses: &'static [u16],
}

/// Every operation, in the order of the enum.
pub(in crate::server) const OPERATIONS: [Row; 14] = [
    row(Operation::Page, "GET", "/", &[200]),
    row(Operation::Asset, "GET", "/page/{file}", &[200, 404]),
    row(Operation::Health, "GET", "/healthz", &[200]),
    row(Operation::Ready, "GET", "/readyz", &[200, 503]),
    row(Operation::Metrics, "GET", "/metrics", &[200]),
    row(Operation::OpenApi, "GET", "/openapi.json", &[200, 304]),
    row(Operation::WhoAmI, "GET", "/v1/whoami", &[200]),
    row(Operation::List, "GET", "/v1/peers", &[200, 304]),
    row(Operation::Watch, "GET", "/v1/watch", &[200, 503]),
    row(Operation::LookUpName, "GET", "/v1/peers/{name}", &[200, 304, 404]),
    row(Operation::LookUpId, "GET", "/v1/announcements/{peer_id}", &[200, 304, 404]),
    row(Operation::Announce, "PUT", "/v1/announcements/{peer_id}", &[200, 201, 403, 409, 415, 429, 503]),
    row(Operation::Withdraw, "DELETE", "/v1/announcements/{peer_id}", &[200, 403, 404, 409, 415, 429, 503]),
    row(Operation::None, "any", "none", &[]),
];

/// What any request may be answered with: it is wrong, too slow or too long, or meant for somebody else.
pub(in crate::server) const ANY_STATUSES: [u16; 9] = [400, 408, 413, 414, 417, 421, 431, 501, 505];

const fn row(operation: Operation, method: &'static str, path: &'static str, statuses: &'static [u16]) -> Row {
    Row { operation, method, path, statuses }
}

const _: () = {
    let mut index = 0;
    while index < OPERATIONS.len() {
        assert!(OPERATIONS[index].operation as usize == index, "each operation stands at its index");
        index += 1;
    }
};

impl Operation {
    pub(in crate::server) fn row(self) -> &'static Row {
        &OPERATIONS[self as usize]
    }

    /// Whether it may be answered with `status`. Where nothing was reached, 403, 404 and 405 say why.
    pub(in crate::server) fn answers(self, status: u16) -> bool {
        let is_unreached = self == Operation::None && matches!(status, 403..=405);
        is_unreached || ANY_STATUSES.contains(&status) || self.row().statuses.contains(&status)
    }
}

/// A path that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// One that can only be read.
    Fixed(Operation),
    Asset(&'static Asset),
    Peer(&'a str),
    Announcement(&'a str),
}

impl<'a> Route<'a> {
    pub(super) fn find(path: &'a str) -> Option<Route<'a>> {
        let segment = |prefix| path.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty() && !rest.contains('/'));
        if let Some(name) = segment("/v1/peers/") {
            return Some(Route::Peer(name));
        }
        if let Some(id) = segment("/v1/announcements/") {
            return Some(Route::Announcement(id));
        }
        if let Some(asset) = Asset::find(path) {
            return Some(Route::Asset(asset));
        }
        Some(Route::Fixed(match path {
            "/" => Operation::Page,
            "/healthz" => Operation::Health,
            "/readyz" => Operation::Ready,
            "/metrics" => Operation::Metrics,
            "/openapi.json" => Operation::OpenApi,
            "/v1/whoami" => Operation::WhoAmI,
            "/v1/peers" => Operation::List,
            "/v1/watch" => Operation::Watch,
            _ => return None,
        }))
    }

    /// What `method` does here; the answer where it does nothing.
    pub(super) fn operation(self, method: Method) -> Result<Operation, Response> {
        match (self, method) {
            (Route::Fixed(operation), Method::Get | Method::Head) => Ok(operation),
            (Route::Asset(_), Method::Get | Method::Head) => Ok(Operation::Asset),
            (Route::Peer(_), Method::Get | Method::Head) => Ok(Operation::LookUpName),
            (Route::Announcement(_), Method::Get | Method::Head) => Ok(Operation::LookUpId),
            (Route::Announcement(_), Method::Put) => Ok(Operation::Announce),
            (Route::Announcement(_), Method::Delete) => Ok(Operation::Withdraw),
            (Route::Announcement(_), Method::Other) => Err(not_allowed("GET, HEAD, PUT, DELETE")),
            (_, Method::Put | Method::Delete | Method::Other) => Err(not_allowed("GET, HEAD")),
        }
    }
}

fn not_allowed(allow: &'static str) -> Response {
    let detail = format!("this resource takes {allow}");
    Problem::MethodNotAllowed.response(&detail).with_field("Allow", allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_found_by_its_path_and_method() {
        for row in &OPERATIONS {
            let path = row.path.replace("{name}", "alice").replace("{peer_id}", "x").replace("{file}", "page.js");
            let method = match row.method {
                "GET" => Method::Get,
                "PUT" => Method::Put,
                "DELETE" => Method::Delete,
                _ => {
                    assert_eq!((row.operation, Route::find(&path)), (Operation::None, None));
                    continue;
                }
            };
            let found = Route::find(&path).map(|route| route.operation(method));
            assert_eq!(found, Some(Ok(row.operation)), "{path}");
        }
    }
}
