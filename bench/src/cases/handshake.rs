//! What it costs to become a link.

use super::pair;
use crate::contest::{Metric, Pair};
use crate::work::{Stack, Work};

/// Connections one after the other, processor time of both ends. Ours proves both sides every time; `full` sets it beside
/// TLS that proves the server only, `mutual` beside TLS that proves both. Plain TCP shows what the kernel takes of it.
pub(super) fn handshake() -> Vec<Pair> {
    let beside = |detail: &str, mutual, rival| {
        pair(detail, Metric::HandshakeCpu, Work::Handshake { mutual, count: 100 }, Stack::Inline, rival)
    };
    vec![
        beside("full", false, Stack::Rustls),
        beside("mutual", true, Stack::Rustls),
        beside("none in theirs", false, Stack::Raw),
    ]
}
