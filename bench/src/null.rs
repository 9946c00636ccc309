//! The build whose cipher does nothing: what the engine costs without crypto.
//!
//! It is made on demand into a target directory of its own, so that nothing else can pick it up by mistake; the engine
//! refuses the setting unless this file's variable stands beside it.

use crate::Failure;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds this program with the null cipher, beside `program`'s own target directory, and says where it is.
///
/// # Errors
/// A build that fails, with what cargo said on standard error.
pub fn build(program: &Path) -> Result<PathBuf, Failure> {
    let target = program.ancestors().nth(2).ok_or("this program is not in a target directory")?.join("null-cipher");
    eprintln!("building with a cipher that does nothing, into {}", target.display());
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package", "landline-bench", "--bin", "compare"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", flags(std::env::var("RUSTFLAGS").ok()))
        .env("LANDLINE_NULL_CIPHER", "bench")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err("the build with the null cipher failed".into());
    }
    Ok(target.join("release/compare"))
}

/// The caller's flags, and ours.
fn flags(theirs: Option<String>) -> String {
    format!("{} --cfg landline_null_cipher", theirs.unwrap_or_default()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_callers_flags_stay() {
        assert_eq!(super::flags(None), "--cfg landline_null_cipher");
        assert_eq!(super::flags(Some("-C a=b".into())), "-C a=b --cfg landline_null_cipher");
    }
}
