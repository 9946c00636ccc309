//! Which entries are left out: rules of the command line and of `.landlineignore` files, in the syntax of `.gitignore`.
//!
//! The walk asks for every entry, and says where it is. Of the rules that match an entry the last one counts; those of a
//! directory stand above those of the directories around it, and those of the command line above all. What is in a
//! directory that is left out is left out. Patterns may come from the other side: their number and length are bounded, and
//! matching takes time in proportion to the path. No file system here.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::entry::TreePath;
use crate::limits::{FILTER_RULE_COUNT_MAX, FILTER_RULE_LEN_MAX, IGNORE_FILE_LEN_MAX};
use crate::printable;

/// The file in a directory whose lines are rules for what is in it.
pub const IGNORE_FILE: &[u8] = b".landlineignore";

/// One rule of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether what matches is taken in again, rather than left out.
    pub include: bool,
    /// In the syntax of one line of a `.gitignore`; a leading `!` or `#` means itself.
    pub pattern: String,
}

/// What is left out at one point of a walk.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    rules: Option<Gitignore>,
    /// One for each directory on the way to the current one that has rules, outermost first.
    levels: Vec<Level>,
    /// Files of rules are files like others.
    is_whole: bool,
}

#[derive(Clone, Debug)]
struct Level {
    directory: TreePath,
    rules: Gitignore,
}

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterFault {
    /// More than [`FILTER_RULE_COUNT_MAX`] rules, or more than [`IGNORE_FILE_LEN_MAX`] bytes of them.
    TooMany,
    /// A rule of more than [`FILTER_RULE_LEN_MAX`] bytes.
    TooLong,
    /// A file of rules that is not UTF-8.
    NotText,
    /// A pattern that is none.
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        text: String,
    },
}

impl Filter {
    /// A filter with the rules of a command line; without any it leaves out nothing.
    ///
    /// # Errors
    /// What is wrong with the rules.
    pub fn new(rules: &[Rule]) -> Result<Self, FilterFault> {
        if rules.is_empty() {
            return Ok(Self::default());
        }
        // As it travels: what is put before it does not count.
        if rules.iter().any(|rule| rule.pattern.len() > FILTER_RULE_LEN_MAX) {
            return Err(FilterFault::TooLong);
        }
        let lines = rules.iter().map(|rule| {
            let literal = if rule.pattern.starts_with(['!', '#']) { "\\" } else { "" };
            format!("{}{literal}{}", if rule.include { "!" } else { "" }, rule.pattern)
        });
        Ok(Self { rules: compile(lines)?, ..Self::default() })
    }

    /// A filter that leaves out nothing, whatever files of rules there are.
    pub fn whole() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// A filter without rules of a command line, which reads files of rules if this one does.
    pub fn without_rules(&self) -> Self {
        Self { is_whole: self.is_whole, ..Self::default() }
    }

    /// Whether the rules in files count.
    pub fn reads_files(&self) -> bool {
        !self.is_whole
    }

    /// Adds the rules in the file of `directory`, until [`Filter::leave`]. Directories are entered from the outside in.
    ///
    /// # Errors
    /// What is wrong with the rules; none of them is added then.
    pub fn enter(&mut self, directory: &TreePath, ignore_file: &[u8]) -> Result<(), FilterFault> {
        if ignore_file.len() > IGNORE_FILE_LEN_MAX {
            return Err(FilterFault::TooMany);
        }
        let text = std::str::from_utf8(ignore_file).map_err(|_| FilterFault::NotText)?;
        let lines = text
            .trim_start_matches('\u{feff}')
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        if lines.clone().any(|line| line.len() > FILTER_RULE_LEN_MAX) {
            return Err(FilterFault::TooLong);
        }
        if let Some(rules) = compile(lines.map(str::to_owned))? {
            self.levels.push(Level { directory: directory.clone(), rules });
        }
        Ok(())
    }

    /// Drops the rules of `directory`, if it has any.
    pub fn leave(&mut self, directory: &TreePath) {
        self.levels.pop_if(|level| level.directory == *directory);
    }

    /// Whether the entry at `path` is left out. That the directories above are not is for the caller to know.
    pub fn is_excluded(&self, path: &TreePath, is_directory: bool) -> bool {
        if path.is_root() || (self.rules.is_none() && self.levels.is_empty()) {
            return false;
        }
        let of_files = self.levels.iter().rev().filter_map(|level| {
            let below = below(path, &level.directory)?;
            Some((&level.rules, below))
        });
        self.rules
            .iter()
            .map(|rules| (rules, path.as_bytes()))
            .chain(of_files)
            .find_map(|(rules, path)| match rules.matched(Path::new(OsStr::from_bytes(path)), is_directory) {
                Match::None => None,
                Match::Ignore(_) => Some(true),
                Match::Whitelist(_) => Some(false),
            })
            .unwrap_or(false)
    }
}

/// The bytes of `path` from `directory` on, if it is below it.
fn below<'a>(path: &'a TreePath, directory: &TreePath) -> Option<&'a [u8]> {
    if directory.is_root() {
        return Some(path.as_bytes());
    }
    path.as_bytes().strip_prefix(directory.as_bytes())?.strip_prefix(b"/")
}

fn compile(lines: impl Iterator<Item = String>) -> Result<Option<Gitignore>, FilterFault> {
    let mut builder = GitignoreBuilder::new("");
    // A bracket that is never closed is a slip: told, rather than taken for a name.
    builder.allow_unclosed_class(false);
    let mut rule_count = 0;
    for line in lines {
        rule_count += 1;
        if rule_count > FILTER_RULE_COUNT_MAX {
            return Err(FilterFault::TooMany);
        }
        let fault = |error: ignore::Error| FilterFault::Pattern { pattern: line.clone(), text: error.to_string() };
        builder.add_line(None, &without_braces(&line)).map_err(fault)?;
    }
    let fault = |error: ignore::Error| FilterFault::Pattern { pattern: "all together".into(), text: error.to_string() };
    Ok(Some(builder.build().map_err(fault)?).filter(|rules| !rules.is_empty()))
}

/// The crate takes `{a,b}` as a choice; in the syntax of git a brace is a brace.
fn without_braces(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    let (mut is_escaped, mut is_in_class) = (false, false);
    for c in line.chars() {
        if matches!(c, '{' | '}') && !is_escaped && !is_in_class {
            escaped.push('\\');
        }
        escaped.push(c);
        is_in_class = !is_escaped && if is_in_class { c != ']' } else { c == '[' };
        is_escaped = c == '\\' && !is_escaped;
    }
    escaped
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => {
                write!(f, "more than {FILTER_RULE_COUNT_MAX} rules or {IGNORE_FILE_LEN_MAX} bytes of them")
            }
            Self::TooLong => write!(f, "a rule is longer than {FILTER_RULE_LEN_MAX} bytes"),
            Self::NotText => f.write_str("the rules are not UTF-8"),
            Self::Pattern { pattern, text } => {
                write!(f, "the pattern {} cannot be used: {}", printable(pattern), printable(text))
            }
        }
    }
}

impl std::error::Error for FilterFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        match text.strip_prefix('+') {
            Some(pattern) => Rule { include: true, pattern: pattern.into() },
            None => Rule { include: false, pattern: text.into() },
        }
    }

    fn is_excluded(rules: &[&str], path: &str) -> bool {
        let rules: Vec<Rule> = rules.iter().map(|text| rule(text)).collect();
        let (path, is_directory) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        Filter::new(&rules).unwrap().is_excluded(&TreePath::new(path.as_bytes()).unwrap(), is_directory)
    }

    #[test]
    fn rules_match_as_those_of_git_do() {
        let cases: [(&[&str], &[&str], &[&str]); 13] = [
            (&["*.o"], &["a.o", "x/y/a.o", ".o"], &["a.oo", "o", "a.o.c"]),
            (&["/a"], &["a", "a/"], &["b/a", "aa"]),
            (&["a/b"], &["a/b", "a/b/"], &["c/a/b"]),
            (&["**/a/b"], &["a/b", "c/a/b", "c/d/a/b"], &["a/c/b"]),
            (&["out/"], &["out/", "x/out/"], &["out", "x/out"]),
            (&["a/**"], &["a/b", "a/b/c"], &["a/", "b/a/c"]),
            (&["a/*"], &["a/b"], &["a/b/c"]),
            (&["*.log", "+keep.log"], &["a.log", "x/b.log"], &["keep.log", "x/keep.log"]),
            (&["+keep.log", "*.log"], &["keep.log"], &["keep"]),
            (&["{a,b}"], &["{a,b}"], &["a", "b"]),
            (&["[{]x", "[!a]y"], &["{x", "by"], &["\\x", "ay"]),
            (&["#*#", "!a"], &["#x#", "!a"], &["a", "x"]),
            (&["a b ", "t\\*"], &["a b", "t*"], &["a b ", "tt"]),
        ];
        for (rules, excluded, others) in cases {
            for path in excluded {
                assert!(is_excluded(rules, path), "{rules:?} {path}");
            }
            for path in others {
                assert!(!is_excluded(rules, path), "{rules:?} {path}");
            }
        }
    }

    #[test]
    fn names_that_are_no_text_can_be_left_out() {
        let filter = Filter::new(&[rule("*.o")]).unwrap();
        assert!(filter.is_excluded(&TreePath::new(b"d/\xff\xfe\n.o").unwrap(), false));
        assert!(!filter.is_excluded(&TreePath::new(b"d/\xff\xfe\n").unwrap(), false));
        assert!(!filter.is_excluded(&TreePath::root(), true));
    }

    #[test]
    fn deeper_rules_and_then_those_of_the_command_line_stand_above() {
        let at = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let mut filter = Filter::new(&[rule("+always")]).unwrap();
        filter.enter(&TreePath::root(), b"\xef\xbb\xbf*.tmp\nalways\n").unwrap();
        filter.enter(&at("d"), b"!*.tmp\n/here\n").unwrap();
        assert!(filter.is_excluded(&at("a.tmp"), false) && !filter.is_excluded(&at("d/a.tmp"), false));
        assert!(filter.is_excluded(&at("d/here"), false) && !filter.is_excluded(&at("d/e/here"), false));
        assert!(!filter.is_excluded(&at("d/always"), false) && !filter.is_excluded(&at("here"), false));
        filter.leave(&at("other"));
        filter.leave(&at("d"));
        assert!(filter.is_excluded(&at("d/a.tmp"), false) && !filter.is_excluded(&at("d/here"), false));
    }

    #[test]
    fn what_is_too_much_or_no_pattern_is_refused() {
        let many = vec![rule("a"); FILTER_RULE_COUNT_MAX + 1];
        assert_eq!(Filter::new(&many).unwrap_err(), FilterFault::TooMany);
        assert!(Filter::new(&many[1..]).is_ok());
        assert_eq!(Filter::new(&[rule(&"a".repeat(FILTER_RULE_LEN_MAX + 1))]).unwrap_err(), FilterFault::TooLong);
        let longest = "a".repeat(FILTER_RULE_LEN_MAX);
        assert!(Filter::new(&[rule(&format!("+{longest}")), rule(&longest)]).is_ok());
        let marked = format!("+!{}", &longest[1..]);
        assert!(Filter::new(&[rule(&marked)]).is_ok());
        assert_eq!(Filter::default().enter(&TreePath::root(), (longest + "a").as_bytes()), Err(FilterFault::TooLong));
        assert!(matches!(Filter::new(&[rule("[a")]).unwrap_err(), FilterFault::Pattern { .. }));
        let mut filter = Filter::default();
        assert_eq!(filter.enter(&TreePath::root(), b"\xff").unwrap_err(), FilterFault::NotText);
        assert_eq!(filter.enter(&TreePath::root(), &[b'#'; IGNORE_FILE_LEN_MAX + 1]), Err(FilterFault::TooMany));
        assert!(filter.enter(&TreePath::root(), "#\n".repeat(9_999).as_bytes()).is_ok());
        assert!(!filter.is_excluded(&TreePath::new(b"a").unwrap(), false));
    }

    #[test]
    fn hostile_patterns_neither_crash_nor_take_long() {
        let nested = "[".repeat(FILTER_RULE_LEN_MAX);
        let stars = "a*".repeat(FILTER_RULE_LEN_MAX / 2);
        let braces = "{".repeat(FILTER_RULE_LEN_MAX);
        let deep = "**/".repeat(FILTER_RULE_LEN_MAX / 3);
        for pattern in [nested, stars, braces, deep, "\\".into(), "/".into(), "!".into(), String::new()] {
            if let Ok(filter) = Filter::new(&[rule(&pattern)]) {
                let path = "a".repeat(255) + "/" + &"a".repeat(254) + "b";
                filter.is_excluded(&TreePath::new(path.as_bytes()).unwrap(), false);
            }
        }
    }
}
