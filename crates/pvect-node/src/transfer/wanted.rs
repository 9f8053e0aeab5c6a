//! Owner, group and permissions of the new file: as they were asked for, and as numbers.

use std::fs::File;
use std::io::Read;

use rustix::fs::{Mode, OFlags};

use super::place::Place;
use crate::{Failure, NodeResult};

/// How much of a file of users or groups is read, in bytes.
const NAMES_LIMIT: u64 = 4 << 20;

/// Owner, group and permissions that were asked for, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// A name or number.
    pub(crate) user: Option<String>,
    /// A name or number.
    pub(crate) group: Option<String>,
    /// Octal; hexadecimal after `0x`.
    pub(crate) perms: Option<String>,
}

/// The same as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    pub(super) user: Option<u32>,
    pub(super) group: Option<u32>,
    pub(super) mode: Option<u32>,
}

impl Wanted {
    /// Resolves names by the `/etc/passwd` and `/etc/group` of a place.
    ///
    /// # Errors
    /// `failed to get uid for: <name>`, `failed to get gid for: <name>`, `invalid mode: '<text>'`.
    pub(crate) fn resolve(&self, place: Place<'_>) -> NodeResult<Attributes> {
        let id = |name: &Option<String>, file: &str, kind: &str| -> NodeResult<Option<u32>> {
            let Some(name) = name else { return Ok(None) };
            let found = find_id(name, || read_names(place, file));
            found.map(Some).ok_or_else(|| Failure::new(format!("failed to get {kind} for: {name}")))
        };
        Ok(Attributes {
            user: id(&self.user, "/etc/passwd", "uid")?,
            group: id(&self.group, "/etc/group", "gid")?,
            mode: self.perms.as_deref().map(parse_mode).transpose()?,
        })
    }
}

fn read_names(place: Place<'_>, path: &str) -> String {
    let mut text = Vec::new();
    // A fifo with that name must not hold us up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    if let Ok(fd) = place.open(path, flags, Mode::empty()) {
        let _ = File::from(fd).take(NAMES_LIMIT).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Finds a number, or the number of a name in the text of passwd(5) or group(5).
fn find_id(name: &str, text: impl FnOnce() -> String) -> Option<u32> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.parse().ok();
    }
    let text = text();
    let mut entries = text.lines().map(|line| line.split(':'));
    entries.find_map(|mut fields| {
        (fields.next()? == name).then(|| fields.nth(1))?.and_then(|number| number.parse().ok())
    })
}

/// Parses permissions as pct does: octal, a missing first 0 is added; hexadecimal after `0x`.
fn parse_mode(text: &str) -> NodeResult<u32> {
    let text = if text.starts_with('0') { text.to_owned() } else { format!("0{text}") };
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text.as_str(), 8),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mode = plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten();
    mode.filter(|mode| *mode <= 0o7777).ok_or_else(|| Failure::new(format!("invalid mode: '{text}'")))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use super::*;

    #[test]
    fn permissions_are_octal_or_hexadecimal() {
        for (text, mode) in [("755", 0o755), ("0644", 0o644), ("0x1ff", 0o777), ("7", 7), ("4755", 0o4755)] {
            assert_eq!(parse_mode(text).unwrap(), mode, "{text}");
        }
        for (text, shown) in
            [("9z", "09z"), ("", "0"), ("-1", "0-1"), ("0x", "0x"), ("08", "08"), ("77777", "077777")]
        {
            // An empty text becomes `0`.
            if text.is_empty() {
                assert_eq!(parse_mode(text).unwrap(), 0);
                continue;
            }
            assert_eq!(parse_mode(text).unwrap_err().text, format!("invalid mode: '{shown}'"));
        }
    }

    #[test]
    fn names_are_looked_up_below_a_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(
            dir.path().join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\n\nbad\nweb:x:1000:100::/:/x\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/group"), "users:x:100:web\n").unwrap();
        let wanted = |user: &str, group: &str| Wanted {
            user: Some(user.to_owned()),
            group: Some(group.to_owned()),
            perms: Some("640".to_owned()),
        };
        let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
        let (root, empty) = (open(dir.path()), open(&dir.path().join("etc")));
        let found = Attributes { user: Some(1000), group: Some(100), mode: Some(0o640) };
        assert_eq!(wanted("web", "users").resolve(Place::Inside(&root)).unwrap(), found);
        assert_eq!(wanted("1000", "100").resolve(Place::Inside(&empty)).unwrap(), found);
        for (user, group, text) in [
            ("nosuch", "0", "failed to get uid for: nosuch"),
            ("bad", "0", "failed to get uid for: bad"),
            ("0", "nosuch", "failed to get gid for: nosuch"),
            ("99999999999", "0", "failed to get uid for: 99999999999"),
        ] {
            assert_eq!(wanted(user, group).resolve(Place::Inside(&root)).unwrap_err().text, text);
        }
    }
}
