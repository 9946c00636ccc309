//! Where a directory is: `http://HOST[:PORT]`, and nothing more.

use crate::http::is_digits;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The URL of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryUrl {
    /// As in the URL, without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl DirectoryUrl {
    /// The addresses that the host stands for.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        (self.host.as_str(), self.port).to_socket_addrs().map(Iterator::collect)
    }

    /// Whether the directory runs on this host and is reached through its loopback.
    pub fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.');
        let is_local_name = name.eq_ignore_ascii_case("localhost");
        is_local_name || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Host and port as the Host field has them.
    pub(crate) fn authority(&self) -> String {
        let DirectoryUrl { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for DirectoryUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<DirectoryUrl, UrlError> {
        let fault = |rule| UrlError { url: text.to_owned(), rule };
        let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
        if scheme.is_none() {
            return Err(fault("it must begin with http:// (announcements are signed; TLS is not spoken)"));
        }
        let authority = text[7..].strip_suffix('/').unwrap_or(&text[7..]);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(fault("it must be http://HOST:PORT, without user, path or query"));
        }
        let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, port))) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            Some(_) => return Err(fault("what stands in brackets must be an IPv6 address")),
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => Some(80),
            Some(digits) if is_digits(digits) => digits.parse().ok().filter(|port| *port != 0),
            _ => None,
        };
        let port = port.ok_or(fault("the port must be 1 to 65535"))?;
        let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host_byte) {
            return Err(fault("the host must be a name or an address"));
        }
        Ok(DirectoryUrl { host: host.to_owned(), port })
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

/// The text is no URL of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    url: String,
    rule: &'static str,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not the URL of a directory: {}", self.url, self.rule)
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_directories() {
        for (text, shown) in [
            ("http://a.example", "http://a.example:80"),
            ("HTTP://127.0.0.1:8600/", "http://127.0.0.1:8600"),
            ("http://[::1]:8600", "http://[::1]:8600"),
        ] {
            assert_eq!(text.parse::<DirectoryUrl>().unwrap().to_string(), shown);
        }
        assert!("http://localhost:1".parse::<DirectoryUrl>().unwrap().is_loopback());
        assert!("http://[::1]".parse::<DirectoryUrl>().unwrap().is_loopback());
        assert!(!"http://192.0.2.1".parse::<DirectoryUrl>().unwrap().is_loopback());
    }

    #[test]
    fn other_urls_are_refused_with_the_rule() {
        for text in [
            "",
            "a",
            "https://a",
            "http://",
            "http://a:0",
            "http://a:b",
            "http://a:65536",
            "http://a:+1",
            "http://a/x",
            "http://u@a",
            "http://[a]",
            "http://[::1",
            "http://a b",
            "http://a\r\nb",
            "http://é",
            "http://a?x",
        ] {
            assert!(text.parse::<DirectoryUrl>().is_err(), "{text}");
        }
        assert!("https://a".parse::<DirectoryUrl>().unwrap_err().to_string().contains("http://"));
    }
}
