//! What goes into the planner and what comes out of it.

use std::fmt;

use crate::sync::entry::{Entry, Metadata, Stamp, TreePath};

/// An entry as the source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its number in the listing, from 0.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// A file whose other names may follow as hard links.
    pub has_names: bool,
    /// A file whose content has to be compared even where length and time are those of the target's: the source's journal
    /// says that somebody touched it.
    pub is_doubtful: bool,
    /// Left out by the source's filter: not copied, and what the target has there is not touched.
    pub is_excluded: bool,
    /// Why it is unreadable; of what can be read, why the target does not take it. For people.
    pub reason: Option<String>,
}

/// What is to be done at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new directory; its attributes follow by [`Action::FinishDirectory`].
    MakeDirectory {
        /// Where.
        path: TreePath,
        /// As it shall be in the end.
        metadata: Metadata,
    },
    /// A directory that is there has to be made accessible for its owner while things are put into it.
    OpenUp {
        /// Where.
        path: TreePath,
        /// Its permissions now.
        mode: u16,
    },
    /// The content of a file is needed from the source, and replaces whatever file or symlink is there.
    WriteFile {
        /// Its number in the listing.
        index: u64,
        /// Where.
        path: TreePath,
        /// Bytes, when it was listed.
        len: u64,
        /// Its attributes.
        metadata: Metadata,
    },
    /// A file of the right length is there, and its content has to be compared.
    CheckFile {
        /// Its number in the listing.
        index: u64,
        /// Where.
        path: TreePath,
        /// Bytes, on both sides.
        len: u64,
        /// Its attributes.
        metadata: Metadata,
        /// The attributes differ, whatever the content turns out to be.
        differs: bool,
    },
    /// A symbolic link, which replaces whatever file or symlink is there.
    MakeSymlink {
        /// Where.
        path: TreePath,
        /// What it says.
        target: Box<[u8]>,
        /// Its attributes.
        metadata: Metadata,
    },
    /// Another name of a file; to be made once that is in place.
    HardLink {
        /// The new name.
        path: TreePath,
        /// The name that is there.
        to: TreePath,
        /// The content of that is compared first: it may turn out to be the same file already.
        is_compared: bool,
    },
    /// A file is equal, and the target's journal does not know it so.
    Remember {
        /// Where.
        path: TreePath,
        /// As it is.
        stamp: Stamp,
    },
    /// Attributes only.
    SetMetadata {
        /// Where.
        path: TreePath,
        /// As they shall be.
        metadata: Metadata,
        /// Of a symbolic link.
        is_symlink: bool,
    },
    /// Attributes of a directory, to be set when nothing in it changes any more.
    FinishDirectory {
        /// Where.
        path: TreePath,
        /// As they shall be.
        metadata: Metadata,
        /// They differ from those that were there; false if only its time is to be put back, or if it is new.
        is_changed: bool,
    },
    /// What is there has to go before: a directory with all in it, a special file, or what is in the way of a directory.
    Replace {
        /// How many entries go.
        count: u64,
        /// What goes is a directory.
        is_directory: bool,
        /// What comes instead.
        with: Box<Action>,
    },
    /// Nothing is done, and why.
    Skip {
        /// Where.
        path: TreePath,
        /// Why.
        reason: SkipReason,
    },
}

/// Something that only the target has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Where.
    pub path: TreePath,
    /// How many entries go with it, itself included.
    pub count: u64,
    /// It is a directory.
    pub is_directory: bool,
}

/// Why an entry was not brought into step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// A device, socket or pipe.
    Special,
    /// The source could not read it; what the system said.
    SourceUnreadable(String),
    /// The target could not look at what is there; what the system said.
    TargetUnreadable(String),
    /// The target's filter leaves it out.
    ExcludedHere,
    /// A directory is in the way, and either nothing may be deleted or it holds something that stays.
    DirectoryInTheWay,
    /// The file that it is another name of was not copied.
    FirstNameSkipped,
    /// The file did not keep still while it was read, several times.
    Changing,
    /// It is there, but not every attribute could be set; what the system said.
    Attributes(String),
    /// The target's disk did not take it; what the system said.
    Refused(String),
}

/// How a listing breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFault {
    /// Not in the order of a walk, or twice.
    Order,
    /// In a directory that was not listed before.
    Orphan,
    /// Another name of a file that was not listed before as one with several names.
    NoSuchName,
    /// More files with several names than a source may list.
    TooManyNames,
}

impl Action {
    /// Where it happens.
    pub fn path(&self) -> &TreePath {
        match self {
            Self::Replace { with, .. } => with.path(),
            Self::MakeDirectory { path, .. }
            | Self::OpenUp { path, .. }
            | Self::WriteFile { path, .. }
            | Self::CheckFile { path, .. }
            | Self::MakeSymlink { path, .. }
            | Self::HardLink { path, .. }
            | Self::Remember { path, .. }
            | Self::SetMetadata { path, .. }
            | Self::FinishDirectory { path, .. }
            | Self::Skip { path, .. } => path,
        }
    }
}

impl SkipReason {
    /// Its number on the wire, and the text that goes with it.
    pub(crate) fn to_wire(&self) -> (u8, &str) {
        match self {
            Self::Special => (1, ""),
            Self::SourceUnreadable(text) => (2, text),
            Self::TargetUnreadable(text) => (3, text),
            Self::ExcludedHere => (4, ""),
            Self::DirectoryInTheWay => (5, ""),
            Self::FirstNameSkipped => (6, ""),
            Self::Changing => (7, ""),
            Self::Attributes(text) => (9, text),
            Self::Refused(text) => (10, text),
        }
    }

    /// The reason with this number; one of a later version counts as a refusal.
    pub(crate) fn from_wire(number: u8, text: &str) -> Self {
        match number {
            1 => Self::Special,
            2 => Self::SourceUnreadable(text.to_owned()),
            3 => Self::TargetUnreadable(text.to_owned()),
            4 => Self::ExcludedHere,
            5 => Self::DirectoryInTheWay,
            6 => Self::FirstNameSkipped,
            7 => Self::Changing,
            9 => Self::Attributes(text.to_owned()),
            _ => Self::Refused(text.to_owned()),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Special => "a device, socket or pipe; only files, directories and links are copied",
            Self::SourceUnreadable(text) => {
                return write!(f, "the source could not read it: {}", crate::printable(text));
            }
            Self::TargetUnreadable(text) => {
                return write!(f, "the target could not look at what it has there: {}", crate::printable(text));
            }
            Self::ExcludedHere => "the target's filter leaves it out",
            Self::DirectoryInTheWay => {
                "the target has a directory there: it goes only with --delete, and only if it holds nothing excluded"
            }
            Self::FirstNameSkipped => "it is another name of a file that was not copied",
            Self::Changing => "it changed each time that it was read; run again when nobody writes to it",
            Self::Attributes(text) => return write!(f, "copied, but {}", crate::printable(text)),
            Self::Refused(text) => return write!(f, "the target did not take it: {}", crate::printable(text)),
        })
    }
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "the listing is not in the order of a walk",
            Self::Orphan => "the listing names an entry of a directory that it has not named",
            Self::NoSuchName => "the listing names a hard link to a file that it has not named",
            Self::TooManyNames => "the listing names too many files with hard links",
        })
    }
}

impl std::error::Error for PlanFault {}
