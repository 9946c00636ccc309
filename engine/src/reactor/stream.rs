//! The socket as the reactor sees it: real, or a test's that misbehaves on purpose.

use mio::event::Source;
use mio::net::TcpStream;
use socket2::SockRef;
use std::io::{self, Read, Write};

/// A TCP stream, or something around one.
pub trait Stream: Read + Write + Source + Sized {
    /// Takes over a stream that was accepted or is being connected.
    fn from_tcp(tcp: TcpStream) -> Self;
    /// The stream below.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn from_tcp(tcp: TcpStream) -> TcpStream {
        tcp
    }

    fn tcp(&self) -> &TcpStream {
        self
    }
}

/// Socket options of a reactor's connections.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// TCP congestion control (`cubic`, `bbr`, ...); the system's own when `None`.
    pub congestion: Option<String>,
    /// Send and receive buffers in bytes; tuned by the system when `None`.
    pub buffer_len: Option<usize>,
    /// Unsent bytes in the kernel below which the socket counts as writable; the system's own when `None`.
    pub notsent_lowat_len: Option<u32>,
}

impl SocketOptions {
    /// Applies the options. All are tuning: one that the system refuses is logged and left.
    pub(super) fn apply(&self, tcp: &TcpStream) {
        let socket = SockRef::from(tcp);
        note("TCP_NODELAY", socket.set_tcp_nodelay(true));
        if let Some(len) = self.buffer_len {
            note("SO_SNDBUF", socket.set_send_buffer_size(len));
            note("SO_RCVBUF", socket.set_recv_buffer_size(len));
        }
        self.apply_linux(&socket);
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn apply_linux(&self, socket: &SockRef<'_>) {
        if let Some(len) = self.notsent_lowat_len {
            note("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(len));
        }
        if let Some(name) = &self.congestion {
            note("TCP_CONGESTION", socket.set_tcp_congestion(name.as_bytes()));
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn apply_linux(&self, _socket: &SockRef<'_>) {}
}

fn note(option: &str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(option, %error, "socket option not set");
    }
}
