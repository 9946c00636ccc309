//! Looking up: one peer by name or id, or a list of them.
//!
//! An answer has an entity tag that is made of the signatures in it. It is a weak one: the statements are the same to the
//! byte, while the time that is left of their leases goes on. A 304 says that nothing but time has passed.

use super::problem::{Problem, bad_parameter};
use super::{Service, tag};
use crate::announcement::Name;
use crate::http::{Request, Response};
use crate::limits::{PAGE_COUNT_DEFAULT, PAGE_COUNT_MAX};
use crate::server::listing::{entry_text, push_entry};
use crate::store::{Entry, Query};
use landline::PeerId;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Instant;

impl Service {
    pub(super) fn by_name(&self, name: &str, request: &Request, now: Instant) -> Result<Response, Response> {
        let name: Name = name.parse().map_err(bad_parameter)?;
        let absent = || Problem::NotFound.response("no live peer has this name");
        self.store.by_name(&name, now).map(|entry| entry_response(entry, request, now)).ok_or_else(absent)
    }

    pub(super) fn by_id(&self, id: &str, request: &Request, now: Instant) -> Result<Response, Response> {
        let absent = || Problem::NotFound.response("this peer has no live announcement");
        self.store.by_id(parse_id(id)?, now).map(|entry| entry_response(entry, request, now)).ok_or_else(absent)
    }

    pub(super) fn list(&self, request: &Request, now: Instant) -> Result<Response, Response> {
        let page = self.store.list(&list_query(request)?, now);
        let tag = self.tags.of_page(&page);
        Ok(tag::answer(request, tag, || {
            let mut text = String::from("{\"peers\":[");
            for (index, (_, entry)) in page.entries.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                push_entry(&mut text, entry, now);
            }
            // Names are written in JSON as they are.
            let next = page.next.map_or("null".to_owned(), |name| format!("\"{name}\""));
            Response::json_text(200, text + "],\"next\":" + &next + "}")
        }))
    }
}

pub(super) fn who_am_i(remote: SocketAddr) -> Response {
    let ip = remote.ip().to_canonical();
    let address = SocketAddr::new(ip, remote.port());
    Response::json(200, &json!({ "address": address.to_string(), "ip": ip.to_string() }))
}

pub(super) fn parse_id(text: &str) -> Result<PeerId, Response> {
    text.parse().map_err(bad_parameter)
}

/// Reads `cursor`, `limit`, `name` and `service`. Other parameters are skipped.
pub(super) fn list_query(request: &Request) -> Result<Query, Response> {
    Ok(Query {
        after: parameter(request, "cursor")?.map(str::parse).transpose().map_err(bad_parameter)?,
        name_prefix: parameter(request, "name")?.unwrap_or_default().to_owned(),
        service: parameter(request, "service")?.map(str::to_owned),
        count_max: parameter(request, "limit")?.map_or(Ok(PAGE_COUNT_DEFAULT), parse_limit)?,
    })
}

/// The value of a parameter of the query, which may stand there once.
pub(in crate::server) fn parameter<'a>(request: &'a Request, name: &str) -> Result<Option<&'a str>, Response> {
    let mut values = request.target.query().iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let value = values.next();
    match values.next() {
        Some(_) => Err(bad_parameter(format_args!("the parameter {name} stands twice"))),
        None => Ok(value),
    }
}

fn entry_response(entry: &Entry, request: &Request, now: Instant) -> Response {
    tag::answer(request, tag::of_entry(entry), || Response::json_text(200, entry_text(entry, now)))
}

fn parse_limit(text: &str) -> Result<usize, Response> {
    match text.parse() {
        Ok(limit @ 1..=PAGE_COUNT_MAX) if crate::http::is_digits(text) => Ok(limit),
        _ => Err(bad_parameter(format_args!(
            "limit must be 1 to {PAGE_COUNT_MAX}; it is {PAGE_COUNT_DEFAULT} unless given"
        ))),
    }
}
