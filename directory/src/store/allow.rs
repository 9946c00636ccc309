//! Who may announce, by the operator's file: one PeerId a line; `#` starts a comment, empty lines are skipped.
//!
//! A file that cannot be read whole is not read at all: nobody is let in or thrown out by half a list.

use crate::limits::ALLOW_FILE_LEN_MAX;
use landline::PeerId;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The peers that may announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllowList {
    peers: HashSet<PeerId>,
}

impl AllowList {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<AllowList, AllowError> {
        let failed = |what: String| AllowError { path: path.to_owned(), line: None, what };
        let mut text = String::new();
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(ALLOW_FILE_LEN_MAX + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > ALLOW_FILE_LEN_MAX {
            return Err(failed(format!("it is longer than {ALLOW_FILE_LEN_MAX} bytes")));
        }
        AllowList::parse(&text).map_err(|(line, what)| AllowError { line: Some(line), ..failed(what) })
    }

    /// Whether the peer is on it.
    pub(crate) fn contains(&self, peer_id: PeerId) -> bool {
        self.peers.contains(&peer_id)
    }

    /// How many are on it.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The error is the line's number, from 1, and what is wrong there.
    fn parse(text: &str) -> Result<AllowList, (usize, String)> {
        let mut list = AllowList::default();
        for (index, line) in text.lines().enumerate() {
            let id = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if !id.is_empty() {
                list.peers.insert(id.parse().map_err(|error| (index + 1, format!("not a PeerId: {error}")))?);
            }
        }
        Ok(list)
    }
}

/// The list of those who may announce cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowError {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for AllowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the list of allowed peers, {}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for AllowError {}

impl From<AllowError> for io::Error {
    fn from(error: AllowError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use landline::Identity;

    #[test]
    fn a_list_has_comments_and_names_the_line_that_is_wrong() {
        let [a, b] = [1, 2].map(|seed| Identity::from_seed([seed; 32]).peer_id());
        let list = AllowList::parse(&format!("# ours\n\n {a} # alice\r\n{b}\n")).unwrap();
        assert!(list.contains(a) && list.contains(b) && list.len() == 2);
        assert!(!list.contains(PeerId::from_bytes([0; 32])));
        assert_eq!(AllowList::parse("").unwrap().len(), 0);
        assert_eq!(AllowList::parse(&format!("{a}\n\nalice\n")).unwrap_err().0, 3);
        assert_eq!(AllowList::parse(&format!("{a} {b}\n")).unwrap_err().0, 1, "one a line");
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_that_names_it() {
        let error = AllowList::load(Path::new("/nowhere/allowed")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/allowed"), "{error}");
    }
}
