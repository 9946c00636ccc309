//! A connection over which one request after the other goes out and its answer comes back.

use crate::Failure;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What is read at once: more than the longest answer here.
const READ_LEN: usize = 8 * 1024;

/// One connection with at most one request on its way.
pub(super) struct Exchange {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Exchange {
    pub(super) fn connect(address: SocketAddr) -> Result<Exchange, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Exchange { stream, received: Vec::with_capacity(READ_LEN) })
    }

    pub(super) fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(request)?)
    }

    /// The answer, which must be a good one and have its length said: its head in small letters, and its body.
    pub(super) fn receive(&mut self) -> Result<(String, Vec<u8>), Failure> {
        let mut buffer = [0; READ_LEN];
        loop {
            if let Some(answer) = take_answer(&mut self.received)? {
                return Ok(answer);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err("the server has closed a connection".into()),
                len => self.received.extend_from_slice(&buffer[..len]),
            }
        }
    }
}

/// Takes an answer from the front of what has come; nothing while it is not whole.
fn take_answer(received: &mut Vec<u8>) -> Result<Option<(String, Vec<u8>)>, Failure> {
    const LENGTH: &str = "\r\ncontent-length: ";
    let Some(head_len) = received.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&received[..head_len]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 20") {
        return Err(format!("the server answers: {}", String::from_utf8_lossy(received)).into());
    }
    let (_, rest) = head.split_once(LENGTH).ok_or("an answer does not say how long it is")?;
    let body_len: usize = rest.split("\r\n").next().unwrap_or_default().parse()?;
    if received.len() < head_len + body_len {
        return Ok(None);
    }
    let body = received[head_len..head_len + body_len].to_vec();
    received.drain(..head_len + body_len);
    Ok(Some((head, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let mut received = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab".to_vec();
        assert_eq!(take_answer(&mut received).expect("so far so good"), None);
        received.extend_from_slice(b"cHTTP");
        let (head, body) = take_answer(&mut received).expect("good").expect("whole");
        assert_eq!((head.lines().count(), &body[..]), (3, &b"abc"[..]));
        assert_eq!(received, b"HTTP");
    }

    #[test]
    fn a_refusal_is_told_in_full() {
        let refused = take_answer(&mut b"HTTP/1.1 409 Conflict\r\nContent-Length: 1\r\n\r\nx".to_vec());
        assert!(refused.expect_err("refused").to_string().contains("409 Conflict"));
    }
}
