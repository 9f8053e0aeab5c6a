//! One file being copied into a container or out of it.
//!
//! Both ways, the path is resolved below the container's root directory (openat2(2) with `RESOLVE_IN_ROOT`), which is
//! opened once. Going in, a process of its own joins the container's user namespace and writes there, with no more
//! rights than the container's root has: owners are the container's.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use pvect_rootfs::room::Room;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, SeekFrom, Uid};
use rustix::io::Errno;

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::rooted::{is_of_kernel, is_plain};
use crate::{Failure, NodeResult};

/// How much is copied between two looks at signals, bytes.
const CHUNK: usize = 8 << 20;
/// The buffer where the kernel cannot copy by itself, bytes.
const BUFFER: usize = 1 << 20;
/// More is not read of a file of users or groups, bytes.
const NAMES_LIMIT: u64 = 4 << 20;

/// Where a path is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// On the host, from its root and the working directory.
    Host,
    /// Below a root directory; nothing in the path leads out of it.
    Inside(&'a OwnedFd),
}

impl Place<'_> {
    fn open(self, path: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        /// How often it is tried again when something was renamed or mounted meanwhile. Source: openat2(2).
        const TRIES: usize = 32;
        let flags = flags | OFlags::CLOEXEC;
        let Self::Inside(root) = self else { return rustix::fs::openat(CWD, path, flags, mode) };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match rustix::fs::openat2(root, path, flags, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens what is there to be overwritten. A container's devices, fifos and files of the kernel are refused: what is
    /// written there is not kept, and acts on the host.
    fn overwrite(self, path: &str) -> Result<OwnedFd, String> {
        let text = |errno: Errno| os_text(&errno.into());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let place = match self {
            Self::Host => return self.open(path, flags, Mode::from_raw_mode(0o666)).map_err(text),
            Self::Inside(_) => match self.open(path, OFlags::PATH, Mode::empty()) {
                // A symlink to what is not there yet. The guest may have made it meanwhile, so it is looked at again.
                Err(Errno::NOENT) => {
                    let made = flags.difference(OFlags::TRUNC);
                    let made = self.open(path, made, Mode::from_raw_mode(0o666)).map_err(text)?;
                    check_kind(&made)?;
                    rustix::fs::ftruncate(&made, 0).map_err(text)?;
                    return Ok(made);
                }
                place => place.map_err(text)?,
            },
        };
        check_kind(&place)?;
        // The very file that was looked at.
        let same = format!("/proc/self/fd/{}", place.as_raw_fd());
        Self::Host.open(&same, flags.difference(OFlags::CREATE), Mode::empty()).map_err(text)
    }

    fn unlink(self, path: &str) -> rustix::io::Result<()> {
        let Self::Inside(_) = self else { return rustix::fs::unlinkat(CWD, path, AtFlags::empty()) };
        let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or((".", path));
        let parent = if parent.is_empty() { "/" } else { parent };
        let directory = self.open(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        rustix::fs::unlinkat(directory, name, AtFlags::empty())
    }
}

/// Refuses what is not a file with a content of its own.
fn check_kind(file: &OwnedFd) -> Result<(), String> {
    if !is_plain(file) {
        return Err("it is not a regular file".to_owned());
    }
    if is_of_kernel(file) {
        return Err("it is on proc or sysfs".to_owned());
    }
    Ok(())
}

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

/// The same, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    user: Option<u32>,
    group: Option<u32>,
    mode: Option<u32>,
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
    // A fifo of that name must not hold us up.
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

/// A file that is being written; what is not finished is removed again.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    place: Place<'a>,
    path: &'a str,
    file: File,
    is_new: bool,
    /// The permissions that were asked for.
    mode: Option<u32>,
}

impl<'a> Target<'a> {
    /// Makes the file, or empties the one that is there; symlinks are followed, as pct does.
    ///
    /// A new file has the permissions that were asked for or those that the umask leaves of 0666; one that was
    /// there keeps its own unless others were asked for.
    ///
    /// # Errors
    /// `failed to create file: <path>: <reason>`, `failed to change file owner: <reason>`.
    pub(crate) fn create(place: Place<'a>, path: &'a str, attributes: Attributes) -> NodeResult<Self> {
        let Attributes { user, group, mode } = attributes;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NONBLOCK | OFlags::NOCTTY;
        // Until the owner is right, nobody else reads it.
        let first = Mode::from_raw_mode(if mode.is_some() || user.is_some() { 0 } else { 0o666 });
        let (fd, is_new) = match place.open(path, flags, first) {
            Ok(fd) => (fd, true),
            Err(_) => {
                let fd = place.overwrite(path);
                let fd = fd.map_err(|why| Failure::new(format!("failed to create file: {path}: {why}")))?;
                (fd, false)
            }
        };
        let target = Self { place, path, file: File::from(fd), is_new, mode };
        let set = target.set(user, group, mode.or_else(|| is_new.then(|| 0o666 & !umask())));
        if let Err(errno) = set {
            target.undo();
            return Err(Failure::new(format!("failed to change file owner: {}", os_text(&errno.into()))));
        }
        Ok(target)
    }

    /// The owner first: changing it takes set-user-id bits away.
    fn set(&self, user: Option<u32>, group: Option<u32>, mode: Option<u32>) -> rustix::io::Result<()> {
        if user.is_some() || group.is_some() {
            rustix::fs::fchown(&self.file, user.map(Uid::from_raw), group.map(Gid::from_raw))?;
        }
        mode.map_or(Ok(()), |mode| rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode)))
    }

    /// Copies everything of a file into this one. A directory has nothing to copy: as with the real pct, an empty
    /// file is made of it.
    ///
    /// # Errors
    /// `failed to copy to <path>: <reason>`; a file that was made is removed again, one that was there is left
    /// empty.
    pub(crate) fn fill(self, source: &File, interrupt: &Interrupt) -> NodeResult<()> {
        self.fill_while(source, &|| heed(interrupt))
    }

    /// As [`Target::fill`], and leaves some room on the file system: the source is a guest's, which can grow for ever.
    ///
    /// # Errors
    /// As [`Target::fill`].
    pub(crate) fn fill_with_room(self, source: &File, interrupt: &Interrupt) -> NodeResult<()> {
        let failed =
            |error: io::Error| Failure::new(format!("failed to copy to {}: {}", self.path, os_text(&error)));
        let file = self.file.try_clone().map_err(failed)?;
        let room = Room::of(&file).map_err(failed)?;
        let check = || heed(interrupt).and_then(|()| room.check(&file));
        self.fill_while(source, &check)
    }

    fn fill_while(self, source: &File, check: &dyn Fn() -> io::Result<()>) -> NodeResult<()> {
        let copied = match copy(source, &self.file, check) {
            Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(()),
            copied => copied,
        };
        // Writing takes set-user-id and set-group-id bits away where the writer may not have them.
        match copied.and_then(|()| Ok(self.set(None, None, self.mode)?)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let text = format!("failed to copy to {}: {}", self.path, os_text(&error));
                self.undo();
                Err(Failure::new(text))
            }
        }
    }

    fn undo(self) {
        // What fails here is reported by what failed before.
        if self.is_new {
            let _ = self.place.unlink(self.path);
        } else {
            let _ = self.file.set_len(0);
        }
    }
}

/// The umask, which can only be read by setting it. Only for a process without other threads that make files.
fn umask() -> u32 {
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

fn heed(interrupt: &Interrupt) -> io::Result<()> {
    if interrupt.came() { Err(io::Error::other("interrupted by signal")) } else { Ok(()) }
}

/// Copies to the end; within the kernel where it can.
fn copy(source: &File, target: &File, check: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    if copy_pieces(source, target, check)? {
        return Ok(());
    }
    loop {
        check()?;
        match rustix::fs::copy_file_range(source, None, target, None, CHUNK) {
            // Also what it says of files that have a content and no size, as those of /proc: these are read below.
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF | Errno::PERM) => {
                break;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut buffer = vec![0; BUFFER];
    let (mut source, mut target) = (source, target);
    loop {
        check()?;
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => target.write_all(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Copies a regular file and keeps its holes; `false` when the two files are not of that kind, and nothing is copied.
fn copy_pieces(source: &File, target: &File, check: &dyn Fn() -> io::Result<()>) -> io::Result<bool> {
    let (meta, kind) = (source.metadata()?, target.metadata()?.file_type());
    let length = meta.len();
    // Those of /proc have a content and no size.
    if !meta.is_file() || !kind.is_file() || length == 0 {
        return Ok(false);
    }
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < length {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole follows.
            Err(Errno::NXIO) => break,
            // The file system knows no holes: all of it is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start)).unwrap_or(length).min(length);
        at = start;
        while at < end {
            check()?;
            let wanted = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            match source.read_at(&mut buffer[..wanted], at) {
                // It became shorter meanwhile.
                Ok(0) => return target.set_len(at).map(|()| true),
                Ok(count) => {
                    target.write_all_at(&buffer[..count], at)?;
                    at += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    target.set_len(length)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
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
            // An empty text with its 0 is the number 0.
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

    fn put(path: &Path, source: &File, mode: Option<u32>) -> NodeResult<()> {
        let attributes = Attributes { mode, ..Attributes::default() };
        Target::create(Place::Host, path.to_str().unwrap(), attributes)?.fill(source, &Interrupt::watch())
    }

    #[test]
    fn files_are_copied_whole_with_their_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        std::fs::write(dir.path().join("source"), &bytes).unwrap();
        let open = || File::open(dir.path().join("source")).unwrap();
        let target = dir.path().join("target");
        put(&target, &open(), Some(0o600)).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), bytes);
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
        // One that is there is emptied and keeps its permissions; links are followed.
        std::fs::write(&target, vec![1; 4_000_000]).unwrap();
        symlink(&target, dir.path().join("link")).unwrap();
        put(&dir.path().join("link"), &open(), None).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), bytes);
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
        // No size, and a content.
        put(&target, &File::open("/proc/self/status").unwrap(), None).unwrap();
        assert!(std::fs::read_to_string(&target).unwrap().starts_with("Name:"));
    }

    #[test]
    fn what_cannot_be_written_is_told_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let source = File::open("/dev/zero").unwrap();
        let missing = dir.path().join("no/x");
        assert_eq!(
            put(&missing, &source, None).unwrap_err().text,
            format!("failed to create file: {}: No such file or directory", missing.display())
        );
        assert_eq!(
            put(dir.path(), &source, None).unwrap_err().text,
            format!("failed to create file: {}: Is a directory", dir.path().display())
        );
        assert_eq!(
            put(Path::new("/dev/full"), &source, None).unwrap_err().text,
            "failed to copy to /dev/full: No space left on device"
        );
        // A file that cannot be read to its end.
        let target = dir.path().join("target");
        let write_only = File::options().write(true).open("/dev/null").unwrap();
        assert!(put(&target, &write_only, None).is_err());
        assert!(!target.exists());
        // As the real pct has it: an empty file of a directory.
        put(&target, &File::open(dir.path()).unwrap(), None).unwrap();
        assert_eq!(std::fs::metadata(&target).unwrap().len(), 0);
    }

    #[test]
    fn nothing_leads_out_of_a_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        let at = |name: &str| dir.path().join("root").join(name);
        std::fs::write(dir.path().join("outside"), "outside").unwrap();
        std::fs::write(at("source"), "content").unwrap();
        symlink("../outside", at("up")).unwrap();
        symlink("/made", at("absolute")).unwrap();
        symlink("/proc/self/cwd/x", at("magic")).unwrap();
        rustix::fs::mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        let root = OwnedFd::from(File::open(dir.path().join("root")).unwrap());
        let put = |path: &str| {
            let inside = Place::Inside(&root);
            let source = File::open(at("source")).unwrap();
            Target::create(inside, path, Attributes::default())?.fill(&source, &Interrupt::watch())
        };
        put("/absolute").unwrap();
        assert_eq!(std::fs::read(at("made")).unwrap(), b"content");
        put("/up").unwrap();
        assert_eq!(std::fs::read(at("outside")).unwrap(), b"content");
        assert_eq!(std::fs::read(dir.path().join("outside")).unwrap(), b"outside");
        put("../../x").unwrap();
        assert!(at("x").exists());
        for (path, why) in [
            ("/fifo", "it is not a regular file"),
            ("/magic", "No such file or directory"),
            ("/no/x", "No such file or directory"),
            ("/", "Is a directory"),
        ] {
            assert_eq!(put(path).unwrap_err().text, format!("failed to create file: {path}: {why}"));
        }
    }

    #[test]
    fn a_copy_that_fails_is_removed_below_its_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        let root = OwnedFd::from(File::open(dir.path()).unwrap());
        let write_only = File::options().write(true).open("/dev/null").unwrap();
        for path in ["/x", "x", "/a/x", "a/../a/x"] {
            let target = Target::create(Place::Inside(&root), path, Attributes::default()).unwrap();
            assert!(target.fill(&write_only, &Interrupt::watch()).is_err());
            assert!(!dir.path().join("x").exists() && !dir.path().join("a/x").exists(), "{path}");
        }
    }

    #[test]
    fn holes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let source = File::create_new(dir.path().join("source")).unwrap();
        source.write_all_at(b"begin", 0).unwrap();
        source.write_all_at(b"middle", 5 << 30).unwrap();
        source.set_len(8 << 40).unwrap();
        let target = dir.path().join("target");
        put(&target, &File::open(dir.path().join("source")).unwrap(), None).unwrap();
        let made = File::open(&target).unwrap();
        let meta = made.metadata().unwrap();
        assert_eq!(meta.len(), 8 << 40);
        assert!(meta.blocks() < 64, "{} blocks", meta.blocks());
        let mut found = [0; 6];
        made.read_exact_at(&mut found, 5 << 30).unwrap();
        assert_eq!(&found, b"middle");
    }

    #[test]
    fn set_user_id_bits_stay_without_the_right_to_keep_them() {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("source"), "program").unwrap();
        let target = dir.path().join("target");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // As in the user namespace of a container, where the host's inode is another's.
                let mut sets = capabilities(None).unwrap();
                sets.effective.remove(CapabilitySet::FSETID);
                set_capabilities(None, sets).unwrap();
                put(&target, &File::open(dir.path().join("source")).unwrap(), Some(0o4755)).unwrap();
            });
        });
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o4755);
    }
}
