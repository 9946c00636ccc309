//! The end of a run as a table, and a receipt for people to read.

use std::io::{self, Write};
use std::time::Duration;

use landline_services::printable;
use landline_services::sync::{Progress, Receipt, Summary};
use serde_json::{Value, json};

use crate::failure::Result;
use crate::known::KnownPeers;
use crate::terminal::Style;
use crate::units;

/// The table at the end: what was done, and where the time went.
pub(super) fn print_summary(summary: &Summary, peer: &str, is_dry_run: bool) -> Result<()> {
    let (style, totals) = (Style::stdout(), &summary.totals);
    let mut out = io::stdout().lock();
    let verdict = match (is_dry_run, totals.skipped_count) {
        (true, _) => style.bold("dry run: nothing was changed"),
        (false, 0) => format!("{} the trees agree", style.good("in step:")),
        (false, _) => format!("{} not everything could be brought into step", style.bad("skipped:")),
    };
    writeln!(out, "{verdict}  ({peer}, {})", units::time(summary.elapsed))?;
    let rows = [
        ("entries", totals.entry_count, format!("{} unchanged", totals.unchanged_count)),
        ("files", totals.file_count, format!("{} sent", units::size(totals.sent_len))),
        ("directories", totals.directory_count, String::new()),
        ("links", totals.link_count, String::new()),
        ("attributes", totals.metadata_count, String::new()),
        ("deleted", totals.deleted_count, String::new()),
        ("skipped", totals.skipped_count, String::new()),
    ];
    for (name, count, more) in rows.iter().filter(|(name, count, _)| *count > 0 || *name == "entries") {
        writeln!(out, "  {name:<12}{count:>10}  {more}")?;
    }
    if !is_dry_run && totals.sent_len > 0 {
        writeln!(out, "  {:<12}{:>10}", "rate", units::rate(totals.sent_len, summary.elapsed))?;
    }
    let spent: Vec<String> = shares(&Progress::default(), &summary.progress)
        .into_iter()
        .filter(|(_, time)| *time >= Duration::from_millis(50))
        .map(|(name, time)| format!("{name} {}", units::time(time)))
        .collect();
    if !spent.is_empty() {
        writeln!(out, "{}", style.dim(&format!("  time in      {}", spent.join(", "))))?;
    }
    let receipt = blake3::Hash::from_bytes(summary.receipt.blake3).to_hex();
    Ok(writeln!(out, "{}", style.dim(&format!("  receipt      blake3 {receipt}, signed by the receiver")))?)
}

/// The same for programs.
pub(super) fn summary_json(summary: &Summary) -> Value {
    let totals = &summary.totals;
    json!({
        "event": "done", "in_step": summary.is_exact(), "seconds": summary.elapsed.as_secs_f64(),
        "entries": totals.entry_count, "unchanged": totals.unchanged_count, "files": totals.file_count,
        "bytes_sent": totals.sent_len, "directories": totals.directory_count, "links": totals.link_count,
        "attributes": totals.metadata_count, "deleted": totals.deleted_count, "skipped": totals.skipped_count,
        "blake3": blake3::Hash::from_bytes(summary.receipt.blake3).to_hex().as_str(),
        "receipt": serde_json::from_str::<Value>(&summary.receipt.to_text()).unwrap_or_default(),
    })
}

/// A receipt whose signature holds.
pub(super) fn print_receipt(receipt: &Receipt, known: &KnownPeers) -> Result<()> {
    let (style, totals) = (Style::stdout(), &receipt.totals);
    let mut out = io::stdout().lock();
    writeln!(out, "{} the receiver signed this", style.good("valid:"))?;
    writeln!(out, "  receiver     {}  {}", known.shown(receipt.target, None), receipt.target)?;
    writeln!(out, "  source       {}  {}", known.shown(receipt.source, None), receipt.source)?;
    writeln!(out, "  share        {}, {}", printable(&receipt.share), receipt.path)?;
    writeln!(out, "  time         {} seconds since 1970, by the receiver's clock", receipt.time_secs)?;
    let kind = if receipt.flags.dry_run { "  (a dry run: nothing was changed)" } else { "" };
    writeln!(
        out,
        "  entries      {}, {} unchanged, {} files received ({}), {} deleted, {} skipped{kind}",
        totals.entry_count,
        totals.unchanged_count,
        totals.file_count,
        units::size(totals.sent_len),
        totals.deleted_count,
        totals.skipped_count,
    )?;
    Ok(writeln!(out, "  blake3       {}", blake3::Hash::from_bytes(receipt.blake3).to_hex())?)
}

/// What took most of the time between two looks, if anything did.
pub(super) fn limit(before: &Progress, now: &Progress) -> Option<&'static str> {
    let most = shares(before, now).into_iter().max_by_key(|(_, time)| *time)?;
    (most.1 >= Duration::from_millis(10)).then_some(most.0)
}

/// Who waits for the network waits for the cipher too: as much of it as that takes is the cipher's.
fn shares(before: &Progress, now: &Progress) -> [(&'static str, Duration); 6] {
    let since = |of: fn(&Progress) -> Duration| of(now).saturating_sub(of(before));
    let waited = since(|progress| progress.network);
    let crypto = since(|progress| progress.crypto).min(waited);
    [
        ("source disk", since(|progress| progress.source_disk)),
        ("hash", since(|progress| progress.source_hash).max(since(|progress| progress.target_hash))),
        ("crypto", crypto),
        ("network", waited - crypto),
        ("target disk", since(|progress| progress.target_disk)),
        ("nothing", Duration::ZERO),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_the_cipher_as_far_as_that_takes_and_else_the_network() {
        let of = |network, crypto| {
            let [network, crypto] = [network, crypto].map(Duration::from_millis);
            Progress { network, crypto, ..Progress::default() }
        };
        let before = of(1_000, 5_000);
        assert_eq!(limit(&before, &of(1_500, 5_100)), Some("network"));
        assert_eq!(limit(&before, &of(1_500, 5_400)), Some("crypto"));
        assert_eq!(limit(&before, &of(1_000, 9_000)), None, "nobody waited");
    }
}
