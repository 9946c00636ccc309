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
