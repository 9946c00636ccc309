//! The target of a request: a path and a query, percent-decoded once and never again.
//!
//! Only the forms of RFC 9112 section 3.2 that an origin server meets are taken: origin form, absolute form (its
//! authority replaces Host), and `*`. Nothing is normalised: `/a/../b` is not `/b`, it is a path that does not exist.

use super::{Host, HttpError};
use std::fmt::Write;

/// A request target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Of an absolute target.
    host: Option<Host>,
    path: String,
    query: Vec<(String, String)>,
}

impl Target {
    /// Reads a target of visible ASCII characters.
    ///
    /// # Errors
    /// 400 where the form, a percent escape or the authority is wrong.
    pub fn parse(text: &str) -> Result<Target, HttpError> {
        if text == "*" {
            return Ok(Target { host: None, path: "*".to_owned(), query: Vec::new() });
        }
        let (host, rest) = if text.starts_with('/') { (None, text) } else { split_authority(text)? };
        if rest.contains('#') {
            return Err(HttpError::bad("the request target has a fragment"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name, true)?, decode(value, true)?));
        }
        Ok(Target { host, path: decode(path, false)?, query: pairs })
    }

    /// The host of an absolute target: the request is meant for it, whatever its field Host says (RFC 9112 section 3.2.2).
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The path, decoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The parameters of the query, decoded, in order.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }
}

/// The authority of an absolute target, and what follows it.
fn split_authority(text: &str) -> Result<(Option<Host>, &str), HttpError> {
    let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = match scheme {
        Some(_) => &text[7..],
        None => return Err(HttpError::bad("the request target is neither a path nor an http:// URL")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match Host::parse(&rest[..end]) {
        Some(host) => Ok((Some(host), &rest[end..])),
        None => Err(HttpError::bad("the request target names no valid host")),
    }
}

/// Whether `text` is one digit or more and nothing else (`parse` alone takes a sign).
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `text` as a part of a query: unreserved characters (RFC 3986 section 2.3) as they are, all others as percent escapes.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Decodes percent escapes; in a query `+` is a blank.
fn decode(text: &str, is_query: bool) -> Result<String, HttpError> {
    const FAULT: HttpError = HttpError::bad("the request target has a wrong percent escape");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else { return Err(FAULT) };
                out.push((high * 16 + low) as u8);
            }
            b'+' if is_query => out.push(b' '),
            byte => out.push(byte),
        }
    }
    if out.contains(&0) {
        return Err(FAULT);
    }
    String::from_utf8(out).map_err(|_| FAULT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_decoded_once() {
        let target = Target::parse("/v1/peers/%61%2525?name=a%20b+c&x").unwrap();
        assert_eq!(target.path(), "/v1/peers/a%25");
        let expected = [("name".to_owned(), "a b c".to_owned()), ("x".to_owned(), String::new())];
        assert_eq!(target.query(), expected);
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        assert_eq!(percent_encode("a b&c=\"é"), "a%20b%26c%3D%22%C3%A9");
        let all: String = ('\u{1}'..='\u{100}').collect();
        assert_eq!(decode(&percent_encode(&all), true).unwrap(), all);
    }

    #[test]
    fn an_absolute_target_gives_its_path() {
        assert_eq!(Target::parse("http://a.example:80/x").unwrap().path(), "/x");
        let target = Target::parse("HTTP://[::1]?a=b").unwrap();
        assert_eq!((target.path(), target.host()), ("/", Some(&Host::Literal)));
        assert_eq!(Target::parse("http://Evil.example/").unwrap().host(), Some(&Host::Name("evil.example".into())));
    }

    #[test]
    fn wrong_targets_are_refused() {
        for text in ["", "x", "https://a/", "http:///x", "http://u@h/", "/%", "/%1", "/%zz", "/%00", "/%ff", "/a#b"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
