//! nginx with one worker that answers everything with the same text: the quickest that HTTP gets in a server that people
//! use. The text is one of the directory's own answers, and the header fields are those of the directory.

use super::super::foreign::{Foreign, await_listener, free_address};
use super::super::session;
use super::exchange::Exchange;
use super::{peers, serve};
use crate::Failure;
use crate::meter::Meter;
use crate::work::Report;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The program.
pub(super) const PROGRAM: &str = "nginx";

/// Runs it until the session ends.
pub(super) fn serve() -> Result<Report, Failure> {
    let (head, body) = directory_answer()?;
    let place = tempfile::tempdir()?;
    let address = free_address()?;
    let file = place.path().join("nginx.conf");
    fs::write(&file, configuration(place.path(), address, &head, &body))?;
    let directory = place.path().as_os_str();
    let nginx = Foreign::start(
        PROGRAM,
        ["-e".as_ref(), "stderr".as_ref(), "-p".as_ref(), directory, "-c".as_ref(), file.as_os_str()],
    )?;
    await_listener(PROGRAM, address)?;
    let pid = nginx.0.id();
    session::attend(address, || Meter::start_of(pid), |meter| meter.stop())
}

/// What the directory answers when a peer is looked up.
fn directory_answer() -> Result<(String, String), Failure> {
    let running = serve::start(serve::config(), 1)?;
    let mut exchange = Exchange::connect(running.directory().address())?;
    exchange.send(format!("GET /v1/peers/{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", peers::name(0)).as_bytes())?;
    let (head, body) = exchange.receive()?;
    running.stop()?;
    Ok((head, String::from_utf8(body)?))
}

/// One process without privileges that writes to nowhere but `place`.
fn configuration(place: &Path, address: SocketAddr, head: &str, body: &str) -> String {
    let (fields, body) = (fields(head), quote(body));
    let place = place.display();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {place}/pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off;\ndefault_type application/json;\nserver_tokens off;\n\
         keepalive_requests 1000000000;\nkeepalive_timeout 3600;\n\
         client_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\nfastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi;\nscgi_temp_path {place}/scgi;\n\
         server {{\nlisten {address};\nlocation / {{\n\
         {fields}return 200 {body};\n}}\n}}\n}}\n"
    )
}

/// The fields of a head that nginx does not write by itself.
fn fields(head: &str) -> String {
    const ITS_OWN: [&str; 4] = ["date", "content-type", "content-length", "connection"];
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let ours = fields.filter(|(name, _)| !ITS_OWN.contains(name));
    ours.map(|(name, value)| format!("add_header {name} {};\n", quote(value))).collect()
}

/// A string as its configuration has them.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_its_quotes() {
        let head = "http/1.1 200 ok\r\ndate: now\r\netag: w/\"1\"\r\n\r\n";
        let text = configuration(Path::new("/p"), ([127, 0, 0, 1], 80).into(), head, r#"{"a":"\"b\""}"#);
        assert!(text.contains("add_header etag 'w/\"1\"';\n") && !text.contains("now"), "{text}");
        assert!(text.contains(r#"return 200 '{"a":"\\"b\\""}';"#), "{text}");
    }
}
