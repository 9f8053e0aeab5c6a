//! UPID: the name of a task.

use std::fmt;
use std::str::FromStr;

use crate::NodeName;

/// `UPID:<node>:<pid>:<pstart>:<starttime>:<type>:<id>:<user>:`, numbers in upper-case hex of 8 digits (pstart may
/// have 9). Source: `PVE::UPID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upid {
    /// The node.
    pub node: NodeName,
    /// The worker's process id.
    pub pid: u32,
    /// The worker's start, clock ticks after boot.
    pub pstart: u64,
    /// When the task began, seconds since 1970.
    pub starttime: u32,
    /// The worker's type, such as `vzstart`.
    pub worker: String,
    /// What it is about, mostly a vmid; may be empty.
    pub id: String,
    /// Who asked, such as `root@pam`.
    pub user: String,
}

/// The text is not a UPID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a UPID")]
pub struct InvalidUpid(pub String);

impl FromStr for Upid {
    type Err = InvalidUpid;

    fn from_str(text: &str) -> Result<Self, InvalidUpid> {
        parse(text).ok_or_else(|| InvalidUpid(text.to_owned()))
    }
}

/// The longest UPID, in bytes. It is the name of a file on its node, and names cannot be longer.
const LONGEST: usize = 255;

fn parse(text: &str) -> Option<Upid> {
    if text.len() > LONGEST {
        return None;
    }
    let fields: Vec<&str> = text.strip_prefix("UPID:")?.strip_suffix(':')?.split(':').collect();
    let [node, pid, pstart, starttime, worker, id, user] = fields[..] else { return None };
    let word = |word: &str| !word.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control());
    if worker.is_empty() || user.is_empty() || ![worker, id, user].into_iter().all(word) {
        return None;
    }
    Some(Upid {
        node: node.parse().ok()?,
        pid: hex(pid, 8..=8)?.try_into().ok()?,
        pstart: hex(pstart, 8..=9)?,
        starttime: hex(starttime, 8..=8)?.try_into().ok()?,
        worker: worker.to_owned(),
        id: id.to_owned(),
        user: user.to_owned(),
    })
}

fn hex(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let digits = length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digits { u64::from_str_radix(text, 16).ok() } else { None }
}

impl Upid {
    /// Returns the directory, below the task logs, of this task's log: the last hex digit of the start time.
    pub fn log_directory(&self) -> String {
        format!("{:X}", self.starttime & 0xf)
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, pid, pstart, starttime, worker, id, user } = self;
        write!(f, "UPID:{node}:{pid:08X}:{pstart:08X}:{starttime:08X}:{worker}:{id}:{user}:")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_upid_is_parsed_and_printed() {
        let text = "UPID:vm:0000137C:0001E240:65540AF0:vzstart:202:root@pam:";
        let upid: Upid = text.parse().unwrap();
        assert_eq!((upid.pid, upid.pstart, upid.starttime), (0x137c, 123_456, 0x6554_0af0));
        assert_eq!(
            (upid.worker.as_str(), upid.id.as_str(), upid.user.as_str()),
            ("vzstart", "202", "root@pam")
        );
        assert_eq!(upid.to_string(), text);
        assert_eq!(upid.log_directory(), "0");
        let long = "UPID:vm:0000137C:1C9C38000:65540AFE:vzstart::root@pam:";
        let upid: Upid = long.parse().unwrap();
        assert_eq!(upid.to_string(), long);
        assert_eq!(upid.log_directory(), "E");
    }

    #[test]
    fn what_is_no_upid_is_refused() {
        for bad in [
            "",
            "UPID:",
            "UPID:vm:0000137C:0001E240:65540AF0:vzstart:202:root@pam",
            "UPID:-vm:0000137C:0001E240:65540AF0:vzstart:202:root@pam:",
            "UPID:vm:137C:0001E240:65540AF0:vzstart:202:root@pam:",
            "UPID:vm:+000137C:0001E240:65540AF0:vzstart:202:root@pam:",
            "UPID:vm:0000137C:0001E240:65540AF0::202:root@pam:",
            "UPID:vm:0000137C:0001E240:65540AF0:vz/start:202:root@pam:",
            "UPID:vm:0000137C:0001E240:65540AF0:vzstart:20 2:root@pam:",
            "UPID:vm:0000137C:0001E240:65540AF0:vzstart:202::",
            "UPID:vm:0000137C:0001E240:65540AF0:vzstart:202:root@pam:\n",
            "UPID:vm:0000137C:0001E240:65540AF0:vzstart:202:\u{1b}[2J@pam:",
            &format!("UPID:vm:0000137C:0001E240:65540AF0:vzstart:{}:root@pam:", "2".repeat(255)),
        ] {
            assert_eq!(bad.parse::<Upid>(), Err(InvalidUpid(bad.to_owned())));
        }
    }
}
