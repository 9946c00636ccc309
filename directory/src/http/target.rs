//! The target of a request: a path and a query, percent-decoded once and never again.
//!
//! Only the forms of RFC 9112 section 3.2 that an origin server meets are taken: origin form, absolute form (its
//! authority replaces Host), and `*`. Nothing is normalised: `/a/../b` is not `/b`, it is a path that does not exist.

use super::HttpError;

/// A request target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
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
            return Ok(Target { path: "*".to_owned(), query: Vec::new() });
        }
        let rest = if text.starts_with('/') { text } else { strip_authority(text)? };
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
        Ok(Target { path: decode(path, false)?, query: pairs })
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

/// What follows the authority of an absolute target.
fn strip_authority(text: &str) -> Result<&str, HttpError> {
    let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = match scheme {
        Some(_) => &text[7..],
        None => return Err(HttpError::bad("the request target is neither a path nor an http:// URL")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if !is_host(&rest[..end]) {
        return Err(HttpError::bad("the request target names no valid host"));
    }
    Ok(&rest[end..])
}

/// Whether `text` is a host with an optional port, as RFC 9110 section 7.2 wants it of Host. User information is none.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((literal, port)) if literal.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        },
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => digits.is_empty() || (is_digits(digits) && digits.parse::<u16>().is_ok()),
        None => port.is_empty(),
    };
    !host.is_empty() && host.bytes().all(is_name) && port_fits
}

/// Whether `text` is one digit or more and nothing else (`parse` alone takes a sign).
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
    fn an_absolute_target_gives_its_path() {
        assert_eq!(Target::parse("http://a.example:80/x").unwrap().path(), "/x");
        assert_eq!(Target::parse("HTTP://[::1]?a=b").unwrap().path(), "/");
    }

    #[test]
    fn wrong_targets_are_refused() {
        for text in ["", "x", "https://a/", "http:///x", "http://u@h/", "/%", "/%1", "/%zz", "/%00", "/%ff", "/a#b"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        for text in ["a", "a:80", "a.b-c:", "127.0.0.1:65535", "[::1]", "[::1]:80"] {
            assert!(is_host(text), "{text}");
        }
        for text in ["", ":80", "a:b", "a:65536", "a:+1", "[::1", "[a]", "[::1]x", "a b", "a/b", "a@b", "a,b:1,2", "é"]
        {
            assert!(!is_host(text), "{text}");
        }
    }
}
