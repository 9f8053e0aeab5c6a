//! Who has which ids on this machine: `/etc/subuid`, `/etc/subgid`, `/etc/passwd`, `/etc/group`.
//!
//! A node below a root of its own may have files `etc/subuid` and `etc/subgid` there besides.
//! Source: subuid(5), subgid(5), login.defs(5), useradd(8), lckpwdf(3).

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::config::IdMap;
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::{Failure, Layout, NodeResult, files};

/// The files that grant ranges: of users, of groups.
const GRANTS: [&str; 2] = ["subuid", "subgid"];
/// The files that give single ids.
const ACCOUNTS: [&str; 2] = ["passwd", "group"];
/// The last id that is given to users. Source: SUB_UID_MAX of login.defs(5).
const LAST: u64 = 600_100_000;
/// How long shadow's tools may hold their lock. Source: lckpwdf(3).
const WAIT: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(50);

/// A range of ids: the first one, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) end: u64,
}

impl Range {
    /// The range of unprivileged containers that begins at an id.
    pub(crate) fn at(base: u32) -> Self {
        Self::of(base.into(), IdMap::COUNT.into())
    }

    fn of(first: u64, count: u64) -> Self {
        Self { first, end: first.saturating_add(count) }
    }

    /// Whether it includes all ids of another range.
    fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.end <= self.end
    }

    /// Whether two ranges have an id in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.first < other.end && other.first < self.end
    }
}

/// Ids that somebody other than root has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The ids.
    pub(crate) range: Range,
    owner: String,
    line: String,
    file: PathBuf,
}

impl Taken {
    /// Says who else has ids of the range that begins at `base`.
    pub(crate) fn words(&self, base: u32) -> String {
        let Self { owner, line, file, .. } = self;
        let Range { first, end } = Range::at(base);
        format!("'{owner}' has ids of the range {first}-{} ('{line}' in {})", end - 1, file.display())
    }
}

/// The host's files.
#[derive(Debug, Clone)]
pub(crate) struct HostFiles {
    etc: PathBuf,
    /// The `etc` below a root that is not the usual one.
    own: Option<PathBuf>,
}

impl HostFiles {
    /// Those of this machine, and of the node.
    pub(crate) fn of(layout: &Layout) -> Self {
        Self::below(Path::new("/etc"), layout)
    }

    /// As [`HostFiles::of`]; `etc` is the machine's `/etc`.
    pub(crate) fn below(etc: &Path, layout: &Layout) -> Self {
        let is_usual = layout.root() == Path::new(Layout::DEFAULT_ROOT);
        Self { etc: etc.to_owned(), own: (!is_usual).then(|| layout.root().join("etc")) }
    }

    /// Whether a new node reserves its range without being asked.
    pub(crate) fn reserves(&self) -> bool {
        self.own.as_ref().is_none_or(|own| GRANTS.iter().any(|name| own.join(name).exists()))
    }

    /// Returns all ids that somebody other than root has.
    ///
    /// # Errors
    /// When a file exists but cannot be read.
    pub(crate) fn taken(&self) -> NodeResult<Vec<Taken>> {
        let mut found = Vec::new();
        for directory in [Some(&self.etc), self.own.as_ref()].into_iter().flatten() {
            for name in GRANTS.iter().chain(&ACCOUNTS) {
                let file = directory.join(name);
                for line in read(&file)?.unwrap_or_default().lines().map(str::trim) {
                    let parsed = if GRANTS.contains(name) { granted(line) } else { account(line) };
                    if let Some((owner, range)) = parsed.filter(|(owner, _)| !is_root(owner)) {
                        let (owner, line) = (owner.to_owned(), shown(line, name));
                        found.push(Taken { range, owner, line, file: file.clone() });
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether root has a range, of users and of groups.
    ///
    /// # Errors
    /// As [`Self::taken`].
    pub(crate) fn is_reserved(&self, base: u32) -> NodeResult<bool> {
        for name in GRANTS {
            if !self.granted_to_root(name)?.iter().any(|range| range.contains(Range::at(base))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the ranges that root is granted by the files `subuid` or `subgid`. Lines that cannot be understood grant
    /// nothing.
    ///
    /// # Errors
    /// As [`Self::taken`].
    pub(crate) fn granted_to_root(&self, name: &str) -> NodeResult<Vec<Range>> {
        let mut found = Vec::new();
        for directory in [Some(&self.etc), self.own.as_ref()].into_iter().flatten() {
            found.extend(of_root(&read(&directory.join(name))?.unwrap_or_default()));
        }
        Ok(found)
    }

    /// Returns the first id of a range that nobody else has: one that root has already, or else the first free one. It
    /// does not overlap with the ranges that begin at the ids in `but`.
    ///
    /// # Errors
    /// As [`Self::taken`], and when nothing is free.
    pub(crate) fn choose(&self, but: &[u32]) -> NodeResult<u32> {
        let taken = self.taken()?;
        let is_free = |base: u32| {
            let range = Range::at(base);
            !taken.iter().any(|other| other.range.overlaps(range))
                && !but.iter().any(|other| Range::at(*other).overlaps(range))
        };
        let mut free = (IdMap::BASE..).step_by(IdMap::COUNT as usize);
        let free =
            free.by_ref().take_while(|base| Range::at(*base).end <= LAST).filter(|base| is_free(*base));
        let mut first = None;
        for base in free {
            if self.is_reserved(base)? {
                return Ok(base);
            }
            first = first.or(Some(base));
            // Root rarely has ranges further up, so it is enough to look just past the first free one.
            if first.is_some_and(|first| base > first.saturating_add(8 * IdMap::COUNT)) {
                break;
            }
        }
        first.ok_or_else(|| Failure::new("no range of 65536 ids is free in /etc/subuid and /etc/subgid"))
    }

    /// Gives a range to root, so that useradd(8) does not give it to anybody else. A range that root has already is
    /// left as it is.
    ///
    /// # Errors
    /// When the files cannot be locked, read or written, or somebody else has taken the range meanwhile.
    pub(crate) fn reserve(&self, base: u32) -> NodeResult<()> {
        let _lock = self.lock()?;
        if let Some(other) = self.taken()?.iter().find(|other| other.range.overlaps(Range::at(base))) {
            return Err(Failure::new(other.words(base)));
        }
        for name in GRANTS {
            let own = self.own.as_ref().map(|own| own.join(name)).filter(|path| path.exists());
            let file = own.unwrap_or_else(|| self.etc.join(name));
            let mut text = read(&file)?.unwrap_or_default();
            if of_root(&text).any(|range| range.contains(Range::at(base))) {
                continue;
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("root:{base}:{}\n", IdMap::COUNT));
            let failed = |error: std::io::Error| Failure::io("can't write", &file, &error);
            let mode = std::fs::metadata(&file).map_or(0o644, |meta| meta.permissions().mode() & 0o7777);
            // On some systems the file is a symlink to one elsewhere.
            let real = file.canonicalize().unwrap_or_else(|_| file.clone());
            files::replace(&real, text.as_bytes(), mode).map_err(failed)?;
        }
        Ok(())
    }

    /// The lock of shadow's tools.
    fn lock(&self) -> NodeResult<File> {
        let path = self.etc.join(".pwd.lock");
        let failed = |error: std::io::Error| Failure::io("can't lock file", &path, &error);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let deadline = Instant::now() + WAIT;
        loop {
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) if Instant::now() < deadline => {
                    std::thread::sleep(STEP);
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }
}

/// Reads a file that may be missing.
fn read(file: &Path) -> NodeResult<Option<String>> {
    match std::fs::read(file) {
        // A name that is not UTF-8 must not hide the other lines.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("can't read", file, &error)),
    }
}

fn is_root(owner: &str) -> bool {
    matches!(owner, "root" | "0")
}

/// The range of a line `OWNER:FIRST:COUNT`.
fn granted(line: &str) -> Option<(&str, Range)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [owner, first, count] = fields[..] else { return None };
    let (first, count): (u64, u64) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
    (count > 0).then_some((owner, Range::of(first, count)))
}

/// The id of a line `NAME:PASSWORD:ID:...`.
fn account(line: &str) -> Option<(&str, Range)> {
    let mut fields = line.split(':');
    let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
    Some((name, Range::of(id.parse().ok()?, 1)))
}

/// The part of a line that is shown: of an account, only the name, the password field and the id.
fn shown(line: &str, file: &str) -> String {
    if GRANTS.contains(&file) {
        return line.to_owned();
    }
    let fields: Vec<&str> = line.split(':').collect();
    format!("{}:x:{}", fields.first().unwrap_or(&""), fields.get(2).unwrap_or(&""))
}

/// The ranges that the lines of a text grant root.
fn of_root(text: &str) -> impl Iterator<Item = Range> {
    let granted = text.lines().filter_map(|line| granted(line.trim()));
    granted.filter(|(owner, _)| is_root(owner)).map(|(_, range)| range)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host {
        dir: tempfile::TempDir,
        files: HostFiles,
    }

    impl Host {
        fn new(root: Option<&str>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let etc = dir.path().join("etc");
            std::fs::create_dir(&etc).unwrap();
            let root = root.map_or_else(|| Layout::DEFAULT_ROOT.into(), |root| dir.path().join(root));
            let files = HostFiles::below(&etc, &Layout::new(root, "vm".parse().unwrap()));
            Self { dir, files }
        }

        fn with(self, name: &str, text: &str) -> Self {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            self
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.dir.path().join(name)).unwrap()
        }
    }

    #[test]
    fn a_range_is_chosen_that_nobody_has() {
        let chosen = |host: Host| host.files.choose(&[]).unwrap();
        let new = || Host::new(None);
        assert_eq!(chosen(new()), 100_000);
        assert_eq!(chosen(new().with("etc/subuid", "joe:100000:65536\n")), 165_536);
        assert_eq!(chosen(new().with("etc/subgid", "joe:100000:65536")), 165_536);
        // By a number, by one id, by an overlap at either end.
        assert_eq!(chosen(new().with("etc/subuid", "1000:165535:1\n")), 165_536);
        assert_eq!(chosen(new().with("etc/subuid", "joe:1:100000\n# x\njoe:165536:9\n")), 231_072);
        assert_eq!(chosen(new().with("etc/passwd", "root:x:0:0::/root:\nldap:x:100005:5::/:\n")), 165_536);
        assert_eq!(chosen(new().with("etc/group", "big:x:120000:\n")), 165_536);
        // Proxmox VE's, and one that an older root of ours reserved.
        let reserved = "root:100000:65536\n";
        assert_eq!(chosen(new().with("etc/subuid", reserved).with("etc/subgid", reserved)), 100_000);
        let reserved = "joe:1:9\nroot:231072:65536\n";
        assert_eq!(chosen(new().with("etc/subuid", reserved).with("etc/subgid", reserved)), 231_072);
        assert_eq!(new().files.choose(&[100_000, 165_540]).unwrap(), 231_072 + 65_536);
        assert!(new().with("etc/subuid", "joe:0:4294967295\n").files.choose(&[]).is_err());
    }

    #[test]
    fn a_range_is_reserved_once() {
        let host = Host::new(None)
            .with("etc/subuid", "joe:100000:65536")
            .with("etc/passwd", "joe:x:1000:1000::/:\n");
        assert!(host.files.reserves() && !host.files.is_reserved(165_536).unwrap());
        for _ in 0..2 {
            host.files.reserve(165_536).unwrap();
            assert!(host.files.is_reserved(165_536).unwrap());
        }
        assert_eq!(host.text("etc/subuid"), "joe:100000:65536\nroot:165536:65536\n");
        assert_eq!(host.text("etc/subgid"), "root:165536:65536\n");
        let failure = host.files.reserve(100_000).unwrap_err();
        assert!(
            failure.text.contains("'joe' has ids of the range 100000-165535 ('joe:100000:65536' in "),
            "{failure}"
        );
        assert_eq!(host.text("etc/subgid"), "root:165536:65536\n");
    }

    #[test]
    fn a_root_of_its_own_reserves_in_its_own_files() {
        let host = Host::new(Some("node"));
        assert!(!host.files.reserves());
        let host = host.with("node/etc/subuid", "").with("node/etc/subgid", "kate:100000:1\n");
        assert!(host.files.reserves());
        assert_eq!(host.files.choose(&[]).unwrap(), 165_536);
        host.files.reserve(165_536).unwrap();
        assert_eq!(host.text("node/etc/subuid"), "root:165536:65536\n");
        assert_eq!(host.text("node/etc/subgid"), "kate:100000:1\nroot:165536:65536\n");
        assert!(!host.dir.path().join("etc/subuid").exists());
    }

    #[test]
    fn passwords_of_groups_are_not_shown() {
        let host = Host::new(None).with("etc/group", "big:$6$secret:120000:joe\n");
        assert!(!host.files.taken().unwrap()[0].words(100_000).contains("secret"));
    }
}
