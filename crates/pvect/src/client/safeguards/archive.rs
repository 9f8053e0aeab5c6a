//! Directories as tar streams, written and read on this machine. It blocks: run it beside other work.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use pvect_rootfs::room::Room;
use pvect_rootfs::unpack::bounded;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use tar::{Archive, Builder, EntryType, Header, HeaderMode};

use super::fingerprint::{Fingerprint, Hashing, of_open, stopped};

/// Set-user-ID and set-group-ID.
const SETID: u32 = 0o6000;

/// How many bytes of names are remembered while a stream is unpacked.
const MOST_KEPT: usize = 256 << 20;
/// The longest name that Linux accepts, in bytes.
const LONGEST_NAME: usize = 4096;
/// How many warnings are kept; the others are counted.
const MOST_WARNINGS: usize = 100;

/// The contents of a copied directory.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// Regular files: the path below the directory, and the content.
    pub files: Vec<(PathBuf, Fingerprint)>,
    /// What was left out or changed on the way.
    pub warnings: Vec<String>,
}

/// One thing below a directory.
#[derive(Debug)]
pub(super) struct Item {
    /// The path below the directory; empty for the directory itself.
    pub path: PathBuf,
    /// What it is.
    pub meta: fs::Metadata,
}

/// Lists a directory, parents first, links not followed, sorted by name.
pub(super) fn walk(root: &Path) -> io::Result<Vec<Item>> {
    let mut items = vec![Item { path: PathBuf::new(), meta: fs::metadata(root)? }];
    let mut next = 0;
    while next < items.len() {
        if items[next].meta.is_dir() {
            let path = items[next].path.clone();
            let mut names: Vec<_> = fs::read_dir(root.join(&path))?
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<_>>()?;
            names.sort();
            for name in names {
                let path = path.join(name);
                let meta = fs::symlink_metadata(root.join(&path)).map_err(|error| about(&path, &error))?;
                items.push(Item { path, meta });
            }
        }
        next += 1;
    }
    Ok(items)
}

/// Writes a directory as a tar stream: owners as numbers, modes, times, links. Sockets are left out.
///
/// `itself` says whether the directory's own owner and mode are written, too.
pub(super) fn write(root: &Path, itself: bool, to: impl Write) -> io::Result<Copied> {
    let mut builder = Builder::new(BufWriter::with_capacity(1 << 18, to));
    let mut copied = Copied::default();
    let mut linked: HashMap<(u64, u64), (PathBuf, Fingerprint)> = HashMap::new();
    for Item { path, meta } in walk(root)? {
        if path.as_os_str().is_empty() && !itself {
            continue;
        }
        let name = Path::new(".").join(&path);
        let mut header = Header::new_gnu();
        header.set_metadata_in_mode(&meta, HeaderMode::Complete);
        let kind = meta.file_type();
        let many = kind.is_file() && meta.nlink() > 1;
        let known = many.then(|| linked.get(&(meta.dev(), meta.ino()))).flatten();
        if let Some((first, content)) = known {
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            builder.append_link(&mut header, &name, first)?;
            copied.files.push((path, content.clone()));
        } else if kind.is_symlink() {
            let target = fs::read_link(root.join(&path))?;
            builder.append_link(&mut header, &name, target)?;
        } else if kind.is_file() {
            let content = file(&mut builder, &mut header, &root.join(&path), &name, meta.len())?;
            if many {
                linked.insert((meta.dev(), meta.ino()), (name, content.clone()));
            }
            copied.files.push((path, content));
        } else if kind.is_socket() {
            copied.warnings.push(format!("'{}' is a socket and was left out", path.display()));
        } else {
            header.set_size(0);
            builder.append_data(&mut header, &name, io::empty())?;
        }
    }
    builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.flush()?;
    Ok(copied)
}

fn file<W: Write>(
    builder: &mut Builder<W>,
    header: &mut Header,
    path: &Path,
    name: &Path,
    size: u64,
) -> io::Result<Fingerprint> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(|error| about(path, &error))?;
    let mut reader = Hashing::new(opened.take(size));
    builder.append_data(header, name, &mut reader)?;
    let content = reader.finish();
    if content.size != Some(size) {
        return Err(about(path, &io::Error::other("it became shorter while it was read")));
    }
    Ok(content)
}

/// How a tar stream is unpacked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unpacking {
    /// The directory's own mode is set too.
    pub itself: bool,
    /// Owners are kept, which takes root.
    pub owners: bool,
    /// The disk may be filled.
    pub fill: bool,
    /// What was unpacked is read again, for [`Copied::files`].
    pub hash: bool,
}

/// A stream that is written to a disk, on which some space must stay free.
struct Watched<'a, R> {
    from: R,
    place: File,
    room: Option<Room>,
    stop: &'a dyn Fn() -> bool,
    /// How many bytes were read since the disk was last checked.
    read: usize,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// How many bytes are read between two checks of the disk.
        const STEP: usize = 1 << 20;
        if (self.stop)() {
            return Err(stopped());
        }
        let count = self.from.read(buffer)?;
        self.read += count;
        if let Some(room) = self.room.filter(|_| self.read >= STEP) {
            self.read = 0;
            room.check(&self.place)?;
        }
        Ok(count)
    }
}

/// Unpacks a tar stream that a container made into a directory, and never beyond it.
///
/// Set-user-ID bits are removed and device nodes left out: they are harmless in a container, but not on its host.
/// `stop` is asked before each block that is read; once it says so, the work ends with an error.
pub(super) fn unpack(
    from: impl Read,
    root: &Path,
    how: Unpacking,
    stop: &dyn Fn() -> bool,
) -> io::Result<Copied> {
    let place = File::open(root)?;
    let room = if how.fill { None } else { Some(Room::of(&place)?) };
    let from = Watched { from, place, room, stop, read: 0 };
    let mut archive = Archive::new(bounded(BufReader::with_capacity(1 << 18, from)));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(how.owners);
    archive.set_preserve_mtime(true);
    archive.set_unpack_xattrs(false);
    archive.set_mask(SETID);
    let mut warnings = Warnings::default();
    let mut files = Names::default();
    let mut modes = Names::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = below(&entry.path()?)?;
        let kind = entry.header().entry_type();
        let mode = entry.header().mode()?;
        if path.as_os_str().is_empty() {
            if how.itself {
                modes.keep(PathBuf::from("."), mode)?;
            }
            continue;
        }
        match kind {
            EntryType::Block | EntryType::Char | EntryType::Fifo => {
                warnings.add(|| format!("'{}' is a device or pipe and was left out", path.display()));
                continue;
            }
            EntryType::Directory => modes.keep(path.clone(), mode)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Link
                if how.hash =>
            {
                files.keep(path.clone(), ())?;
            }
            _ => {}
        }
        if mode & SETID != 0 && kind != EntryType::Directory {
            warnings.add(|| format!("'{}' lost its set-user-ID or set-group-ID bit", path.display()));
        }
        if !entry.unpack_in(root)? {
            return Err(outside(&path));
        }
    }
    // Directories last, because nothing can be unpacked into one that is not writable.
    for (path, mode) in modes.kept.into_iter().rev() {
        let held = open_below(root, &path, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|error| about(&path, &error))?;
        // Change the open directory itself, wherever its name leads by now.
        let held = format!("/proc/self/fd/{}", held.as_raw_fd());
        fs::set_permissions(held, fs::Permissions::from_mode(mode & 0o1777))?;
    }
    let files = read_again(root, files.kept.into_iter().map(|(path, ())| path).collect(), stop)?;
    Ok(Copied { files, warnings: warnings.finish() })
}

/// The names in a stream, with a value for each. Bounded, because the stream may never end.
struct Names<T> {
    kept: Vec<(PathBuf, T)>,
    bytes: usize,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), bytes: 0 }
    }
}

impl<T> Names<T> {
    fn keep(&mut self, path: PathBuf, what: T) -> io::Result<()> {
        self.bytes += path.as_os_str().len() + size_of::<(PathBuf, T)>();
        if self.bytes > MOST_KEPT {
            return Err(io::Error::other(format!(
                "there are too many names: more than {} were unpacked, and nothing after them",
                self.kept.len()
            )));
        }
        self.kept.push((path, what));
        Ok(())
    }
}

/// The first warnings, and how many more there were.
#[derive(Default)]
struct Warnings {
    first: Vec<String>,
    more: usize,
}

impl Warnings {
    fn add(&mut self, text: impl FnOnce() -> String) {
        match self.first.len() < MOST_WARNINGS {
            true => self.first.push(text()),
            false => self.more += 1,
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.first.push(format!("{} more of these warnings are not shown", self.more));
        }
        self.first
    }
}

/// Reads files below a directory, each only once, because one file may have any number of names.
fn read_again(
    root: &Path,
    files: Vec<PathBuf>,
    stop: &dyn Fn() -> bool,
) -> io::Result<Vec<(PathBuf, Fingerprint)>> {
    let mut known: HashMap<(u64, u64), Fingerprint> = HashMap::new();
    let mut content_of = |path: &Path| {
        let file = open_below(root, path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let meta = file.metadata()?;
        let place = (meta.dev(), meta.ino());
        if let Some(content) = known.get(&place) {
            return Ok(content.clone());
        }
        let content = of_open(file, stop)?;
        known.insert(place, content.clone());
        Ok(content)
    };
    let read = files.into_iter().map(|path| {
        let content = content_of(&path).map_err(|error| about(&path, &error))?;
        Ok((path, content))
    });
    read.collect()
}

/// Opens a path below a directory. No link is followed, because the stream may have made one there.
fn open_below(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let dir = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve)?.into())
}

/// Returns the path without `./`.
fn below(path: &Path) -> io::Result<PathBuf> {
    if path.as_os_str().len() > LONGEST_NAME {
        return Err(io::Error::other("a name is longer than 4096 bytes; nothing more was unpacked"));
    }
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside(path)),
        }
    }
    Ok(clean)
}

fn outside(path: &Path) -> io::Error {
    io::Error::other(format!("'{}' leads out of the directory; nothing more was unpacked", path.display()))
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("'{}': {error}", path.display()))
}

/// Writes the list that `sha256sum -c` reads, for paths below a directory of the container. Returns it with the
/// paths that such a list cannot hold.
pub(super) fn checklist(copied: &Copied, guest: &Path) -> io::Result<(File, Vec<usize>)> {
    let mut file = tempfile::tempfile()?;
    let mut odd = Vec::new();
    {
        let mut list = BufWriter::new(&mut file);
        for (index, (path, content)) in copied.files.iter().enumerate() {
            let path = guest.join(path);
            let name = path.as_os_str().as_bytes();
            if name.contains(&b'\n') || name.contains(&b'\\') {
                odd.push(index);
                continue;
            }
            list.write_all(content.sha256.as_bytes())?;
            list.write_all(b"  ")?;
            list.write_all(name)?;
            list.write_all(b"\n")?;
        }
        list.flush()?;
    }
    io::Seek::rewind(&mut file)?;
    Ok((file, odd))
}

#[cfg(test)]
mod tests;
