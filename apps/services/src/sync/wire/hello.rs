//! The first message of a run: who is to be which side, of what, and how.

use bytes::{BufMut, Bytes};

use super::{Fields, KIND_HELLO, Malformed, VERSION, begin, put_counted};
use crate::limits::{FILTER_RULE_COUNT_MAX, FILTER_RULE_LEN_MAX, SHARE_NAME_MAX, SYNC_MESSAGE_MAX, TREE_PATH_MAX};
use crate::sync::entry::TreePath;
use crate::sync::filter::Rule;

/// Which side the one that opens the channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is the source: its tree goes to the share.
    Push,
    /// It is the target: the share comes to its tree.
    Pull,
}

/// What is asked for, yes or no. On the wire one u16 of bits, in this order from the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncFlags {
    /// What only the target has is deleted.
    pub delete: bool,
    /// Nothing is changed; what would be is told.
    pub dry_run: bool,
    /// Content is compared, not size and time.
    pub checksum: bool,
    /// Files are on the disk before they count as there.
    pub durable: bool,
    /// Deletions are for good.
    pub no_trash: bool,
    /// Each change is told.
    pub itemize: bool,
}

/// The flags of a gift: what an earlier, cut run of it left and this one does not list goes. Others have no meaning for it,
/// but for *durable*.
pub(crate) const GIFT_FLAGS: SyncFlags =
    SyncFlags { delete: true, dry_run: false, checksum: false, durable: true, no_trash: true, itemize: false };

/// | bytes | field |
/// |---|---|
/// | 2 | version |
/// | 1 | role: 1 push, 2 pull |
/// | 2 | flags |
/// | 1 | most of the target that may be deleted, in percent: 0 to 100 |
/// | 8 | most bytes a second, 0: no limit |
/// | 2 + n | name of the share: 1 to 64 bytes of UTF-8; empty: a gift |
/// | 2 + n | path within it |
/// | 2 | count of rules of the filter; for each: |
/// | 1 + 2 + n | 1 include, 0 exclude; pattern |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who is which side.
    pub role: Role,
    /// What is asked for.
    pub flags: SyncFlags,
    /// Most of the target that may be deleted, in percent.
    pub max_delete_percent: u8,
    /// Most bytes a second.
    pub rate_max: Option<u64>,
    /// The share; none of a gift.
    pub share: String,
    /// The directory in it; of a gift what the source calls it, the same when it is sent again.
    pub path: TreePath,
    /// What is left out, on both sides.
    pub rules: Vec<Rule>,
}

impl SyncFlags {
    /// On the wire.
    pub(crate) fn to_bits(self) -> u16 {
        let flags = [self.delete, self.dry_run, self.checksum, self.durable, self.no_trash, self.itemize];
        flags.iter().rev().fold(0, |bits, flag| bits << 1 | u16::from(*flag))
    }

    /// `None` if there are flags of a later version among them: what they ask for would not be done.
    pub(crate) fn from_bits(bits: u16) -> Option<Self> {
        let flag = |index: u32| bits >> index & 1 == 1;
        let flags = Self {
            delete: flag(0),
            dry_run: flag(1),
            checksum: flag(2),
            durable: flag(3),
            no_trash: flag(4),
            itemize: flag(5),
        };
        (bits >> 6 == 0).then_some(flags)
    }
}

impl Hello {
    /// Whether it offers a gift: what is listed goes to the other's save directory, beside what is there.
    pub(crate) fn is_gift(&self) -> bool {
        self.share.is_empty()
    }

    /// Whether it is one that may be: a gift is pushed, has a label, and no say in anything else.
    fn is_in_order(&self) -> bool {
        let flags = SyncFlags { durable: self.flags.durable, ..GIFT_FLAGS };
        let is_label = self.path.components().count() == 1;
        let is_plain = self.flags == flags && self.rules.is_empty() && self.max_delete_percent == 100;
        !self.is_gift() || (self.role == Role::Push && is_label && is_plain)
    }

    /// Encodes it; `None` if its rules do not fit one message, or no share can have this name.
    pub(crate) fn encode(&self) -> Option<Bytes> {
        if !self.is_in_order() || self.share.len() > SHARE_NAME_MAX {
            return None;
        }
        let mut message = begin(KIND_HELLO, 1024);
        message.put_u16(VERSION);
        message.put_u8(if self.role == Role::Push { 1 } else { 2 });
        message.put_u16(self.flags.to_bits());
        message.put_u8(self.max_delete_percent);
        message.put_u64(self.rate_max.unwrap_or(0));
        put_counted(&mut message, self.share.as_bytes(), SHARE_NAME_MAX);
        put_counted(&mut message, self.path.as_bytes(), TREE_PATH_MAX);
        message.put_u16(u16::try_from(self.rules.len()).ok()?);
        for rule in &self.rules {
            if rule.pattern.len() > FILTER_RULE_LEN_MAX {
                return None;
            }
            message.put_u8(u8::from(rule.include));
            put_counted(&mut message, rule.pattern.as_bytes(), FILTER_RULE_LEN_MAX);
        }
        (message.len() <= SYNC_MESSAGE_MAX).then(|| message.freeze())
    }
}

/// `None` for one of another version, or with flags of a later one: what it asks for would not be done.
pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Option<Hello>, Malformed> {
    if fields.u16()? != VERSION {
        return Ok(None);
    }
    let role = match fields.u8()? {
        1 => Role::Push,
        2 => Role::Pull,
        _ => return Err(Malformed),
    };
    let flags = SyncFlags::from_bits(fields.u16()?);
    let max_delete_percent = fields.u8()?;
    let rate = fields.u64()?;
    let share = fields.text(SHARE_NAME_MAX)?.to_owned();
    let path = TreePath::new(fields.counted(TREE_PATH_MAX)?).map_err(|_| Malformed)?;
    let rule_count = usize::from(fields.u16()?);
    if max_delete_percent > 100 || rule_count > FILTER_RULE_COUNT_MAX {
        return Err(Malformed);
    }
    let mut rules = Vec::new();
    for _ in 0..rule_count {
        let include = match fields.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed),
        };
        rules.push(Rule { include, pattern: fields.text(FILTER_RULE_LEN_MAX)?.to_owned() });
    }
    let rate_max = (rate > 0).then_some(rate);
    let Some(flags) = flags else { return Ok(None) };
    let hello = Hello { role, flags, max_delete_percent, rate_max, share, path, rules };
    if hello.is_in_order() { Ok(Some(hello)) } else { Err(Malformed) }
}
