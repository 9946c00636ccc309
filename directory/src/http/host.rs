//! Whom a request is meant for, and which site a browser sent it from.
//!
//! A browser on this network can be brought to send requests here for a page of a stranger's: under a name that the
//! stranger lets point to this host (DNS rebinding), or across sites. What Host and Origin say is read here; what is
//! made of it is decided where requests are answered.

use super::target::is_digits;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whom a request is meant for: its field Host, or the authority of an absolute target in its place. Ports do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// Nothing is said, as HTTP/1.0 allows.
    #[default]
    Absent,
    /// An IP address, or `localhost`: no DNS answer of a stranger's leads here under it.
    Literal,
    /// A name, in lower case and without a dot at its end.
    Name(Box<str>),
}

/// Which site a browser says that a request comes from (RFC 6454 section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nothing is said: no browser, or one that reads.
    #[default]
    Absent,
    /// The very host that the request is meant for.
    Same,
    /// Another, or one that is kept secret.
    Other,
}

impl Host {
    /// Reads a host with an optional port, as RFC 9110 section 7.2 wants it of Host. User information is none.
    pub fn parse(text: &str) -> Option<Host> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port_fits = match port.strip_prefix(':') {
            Some(digits) => digits.is_empty() || (is_digits(digits) && digits.parse::<u16>().is_ok()),
            None => port.is_empty(),
        };
        if !port_fits {
            return None;
        }
        if text.starts_with('[') {
            return host.parse::<Ipv6Addr>().ok().map(|_| Host::Literal);
        }
        let name = canonical_name(host);
        if host.parse::<Ipv4Addr>().is_ok() || name == "localhost" {
            return Some(Host::Literal);
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
        let fits = !host.is_empty() && host.bytes().all(is_name);
        fits.then(|| Host::Name(name.into()))
    }
}

impl Origin {
    /// Reads the field Origin of a request whose field Host is `host`.
    pub(super) fn of(origin: &str, host: Option<&str>) -> Origin {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        match (authority, host) {
            (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => Origin::Same,
            _ => Origin::Other,
        }
    }
}

/// A name as [`Host::Name`] has it.
pub(crate) fn canonical_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_what_is_neither() {
        let name = |text: &str| Some(Host::Name(text.into()));
        assert_eq!(Host::parse("A.Example.:80"), name("a.example"));
        assert_eq!(Host::parse("a.b-c:"), name("a.b-c"));
        for text in ["127.0.0.1:65535", "192.0.2.1", "[::1]", "[::1]:80", "localhost", "LocalHost:8600", "localhost."] {
            assert_eq!(Host::parse(text), Some(Host::Literal), "{text}");
        }
        // Spellings that some programs take for addresses are names here, and names have to be known.
        for text in ["0x7f.1", "2130706433", "127.1", "127.0.0.1.", "localhost.evil.example"] {
            assert!(matches!(Host::parse(text), Some(Host::Name(_))), "{text}");
        }
        for text in ["", ":80", "a:b", "a:65536", "a:+1", "[::1", "[a]", "[::1]x", "[::1%lo]", "a b", "a/b", "a@b", "é"]
        {
            assert_eq!(Host::parse(text), None, "{text}");
        }
        assert_eq!(Host::parse("a,b:1,2"), None);
    }

    #[test]
    fn an_origin_is_the_same_only_where_host_and_port_are() {
        assert_eq!(Origin::of("http://192.0.2.1:8600", Some("192.0.2.1:8600")), Origin::Same);
        assert_eq!(Origin::of("https://Dir.lan", Some("dir.lan")), Origin::Same, "behind a proxy that speaks TLS");
        for origin in
            ["null", "", "http://evil.example", "http://192.0.2.1", "192.0.2.1:8600", "http://192.0.2.1:8600/"]
        {
            assert_eq!(Origin::of(origin, Some("192.0.2.1:8600")), Origin::Other, "{origin}");
        }
        assert_eq!(Origin::of("http://a", None), Origin::Other);
    }
}
