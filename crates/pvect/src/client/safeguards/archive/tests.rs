use std::cell::Cell;

use super::*;

const HASHED: Unpacking = Unpacking { itself: false, owners: false, fill: false, hash: true };

fn tree(root: &Path) {
    fs::create_dir_all(root.join("sub/empty")).unwrap();
    fs::write(root.join("a"), "one").unwrap();
    fs::write(root.join("sub/b"), "two").unwrap();
    fs::hard_link(root.join("a"), root.join("same")).unwrap();
    std::os::unix::fs::symlink("../a", root.join("sub/link")).unwrap();
    fs::set_permissions(root.join("sub/b"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(root.join("sub/empty"), fs::Permissions::from_mode(0o500)).unwrap();
}

#[test]
fn a_tree_survives_the_way_there_and_back() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(from.path());
    let mut stream = Vec::new();
    let written = write(from.path(), true, &mut stream).unwrap();
    let how = Unpacking { itself: true, hash: true, ..Unpacking::default() };
    let read = unpack(stream.as_slice(), to.path(), how, &|| false).unwrap();
    let names = |copied: &Copied| {
        let mut names: Vec<_> = copied.files.iter().map(|(path, _)| path.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&written), ["a", "same", "sub/b"].map(PathBuf::from));
    assert_eq!(names(&read), names(&written));
    let mode = |path: &str| fs::symlink_metadata(to.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("sub/b"), mode("sub/empty")), (0o640, 0o500));
    assert_eq!(fs::read_link(to.path().join("sub/link")).unwrap(), Path::new("../a"));
    assert_eq!(fs::metadata(to.path().join("a")).unwrap().nlink(), 2);
    let (_, odd) = checklist(&read, Path::new("/x")).unwrap();
    assert_eq!(odd, Vec::<usize>::new());
}

fn entry(name: &str, kind: EntryType, mode: u32, link: Option<&str>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    // The builder itself would refuse some of these.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    if let Some(link) = link {
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    }
    header.set_cksum();
    builder.append(&header, io::empty()).unwrap();
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(512);
    bytes
}

#[test]
fn a_hostile_stream_stays_in_its_directory() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(outer.path().join("secret"), "kept").unwrap();
    for (name, stream) in [
        ("parent", entry("../x", EntryType::Regular, 0o644, None)),
        ("absolute", entry("/tmp/pvect-x", EntryType::Regular, 0o644, None)),
        (
            "through a link",
            [
                entry("out", EntryType::Symlink, 0o777, Some("..")),
                entry("out/secret", EntryType::Regular, 0o644, None),
            ]
            .concat(),
        ),
        (
            "a file that becomes a link",
            [
                entry("zero", EntryType::Regular, 0o644, None),
                entry("zero", EntryType::Symlink, 0o777, Some("/dev/zero")),
            ]
            .concat(),
        ),
        (
            "a directory that becomes a link",
            [
                entry("dir", EntryType::Directory, 0o777, None),
                entry("dir", EntryType::Symlink, 0o777, Some("..")),
            ]
            .concat(),
        ),
        ("hard link", entry("copy", EntryType::Link, 0o644, Some("../secret"))),
    ] {
        assert!(unpack(stream.as_slice(), &root, HASHED, &|| false).is_err(), "{name}");
        assert_eq!(fs::read_to_string(outer.path().join("secret")).unwrap(), "kept", "{name}");
        assert!(!outer.path().join("x").exists(), "{name}");
    }
    let stream =
        [entry("su", EntryType::Regular, 0o4755, None), entry("disk", EntryType::Block, 0o600, None)]
            .concat();
    let copied = unpack(stream.as_slice(), &root, HASHED, &|| false).unwrap();
    assert_eq!(fs::metadata(root.join("su")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(!root.join("disk").exists());
    assert_eq!(copied.warnings.len(), 2);
}

#[test]
fn names_that_a_list_cannot_hold_are_told() {
    let content = Fingerprint { size: Some(0), sha256: "0".repeat(64) };
    let names = ["plain", "new\nline", "back\\slash", "bl ank"];
    let files = names.iter().map(|name| (PathBuf::from(name), content.clone())).collect();
    let (mut file, odd) = checklist(&Copied { files, warnings: Vec::new() }, Path::new("/d")).unwrap();
    assert_eq!(odd, [1, 2]);
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let zeros = "0".repeat(64);
    assert_eq!(text, format!("{zeros}  /d/plain\n{zeros}  /d/bl ank\n"));
}

/// A header of a member with this size, whose data need not follow.
fn header(kind: EntryType, name: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_path(name).unwrap();
    header.set_cksum();
    header
}

#[test]
fn a_name_without_end_is_refused_before_it_is_read() {
    let root = tempfile::tempdir().unwrap();
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let long = header(kind, "x", 1 << 40);
        let taken = Cell::new(0_u64);
        // It would fill the memory.
        let endless = io::repeat(b'a').take(1 << 26);
        let stream = Counted { from: long.as_bytes().chain(endless), taken: &taken };
        let error = unpack(stream, root.path(), HASHED, &|| false).unwrap_err();
        assert!(error.to_string().contains("bytes, more than"), "{error}");
        assert!(taken.get() < 1 << 20, "{} bytes were read", taken.get());
    }
}

struct Counted<'a, R> {
    from: R,
    taken: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}

/// A tar stream of one file of a MiB with so many further names.
fn links(count: usize) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let data = vec![7; 1 << 20];
    builder.append(&header(EntryType::Regular, "file", data.len() as u64), data.as_slice()).unwrap();
    for number in 0..count {
        let mut link = header(EntryType::Link, &format!("link{number}"), 0);
        link.set_link_name("file").unwrap();
        link.set_cksum();
        builder.append(&link, io::empty()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_file_of_many_names_is_read_once_and_without_need_not_at_all() {
    let asked = |how: Unpacking, count: usize| {
        let root = tempfile::tempdir().unwrap();
        let (asked, ended) = (Cell::new(0), Cell::new(false));
        let stream = links(count);
        let copied = unpack(Ending { rest: &stream, ended: &ended }, root.path(), how, &|| {
            asked.set(asked.get() + usize::from(ended.get()));
            false
        });
        (copied.unwrap().files, asked.get())
    };
    let (none, asked_one) = asked(HASHED, 0);
    assert_eq!(none.len(), 1);
    let (files, asked_all) = asked(HASHED, 50);
    assert_eq!(files.len(), 51);
    assert!(files.iter().all(|(_, content)| *content == files[0].1));
    assert_eq!(asked_all, asked_one, "the same blocks, however many names they have");
    let (files, asked_none) = asked(Unpacking { hash: false, ..HASHED }, 50);
    assert_eq!(files, []);
    assert!(asked_none < asked_one, "{asked_none} {asked_one}");
}

/// Notes when the whole stream was read: what is read after that comes from the disk.
struct Ending<'a> {
    rest: &'a [u8],
    ended: &'a Cell<bool>,
}

impl Read for Ending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buffer)?;
        self.ended.set(self.rest.is_empty());
        Ok(count)
    }
}

#[test]
fn a_file_of_terabytes_that_is_read_can_be_stopped() {
    let root = tempfile::tempdir().unwrap();
    // A hole of 4 TiB, which a container can make in no time.
    let mut sparse = header(EntryType::GNUSparse, "hole", 0);
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.realsize.copy_from_slice(b"\x80\0\0\0\0\0\x04\0\0\0\0\0");
    gnu.sparse[0].offset.copy_from_slice(b"\x80\0\0\0\0\0\x04\0\0\0\0\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    sparse.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&sparse, io::empty()).unwrap();
    let stream = builder.into_inner().unwrap();
    let whole =
        unpack(stream.as_slice(), root.path(), Unpacking { hash: false, ..HASHED }, &|| false).unwrap();
    assert_eq!((whole.files, fs::metadata(root.path().join("hole")).unwrap().len()), (Vec::new(), 1 << 42));
    let asked = Cell::new(0);
    let error = unpack(stream.as_slice(), root.path(), HASHED, &|| {
        asked.set(asked.get() + 1);
        asked.get() > 8
    });
    assert_eq!(error.unwrap_err().to_string(), "'hole': interrupted");
}

#[test]
fn a_stream_without_end_is_remembered_in_part_only() {
    let root = tempfile::tempdir().unwrap();
    let stream = entry("pipe", EntryType::Fifo, 0o644, None).repeat(MOST_WARNINGS + 5);
    let warnings = unpack(stream.as_slice(), root.path(), HASHED, &|| false).unwrap().warnings;
    assert_eq!(warnings.len(), MOST_WARNINGS + 1);
    assert_eq!(warnings[MOST_WARNINGS], "5 more of these warnings are not shown");
    // As many directories as fit, and one more.
    let mut names = Names { kept: Vec::new(), bytes: MOST_KEPT - 100 };
    names.keep(PathBuf::from("a"), 0o755_u32).unwrap();
    let error = names.keep(PathBuf::from("b".repeat(90)), 0o755).unwrap_err().to_string();
    assert_eq!(error, "there are too many names: more than 1 were unpacked, and nothing after them");
    let long = below(Path::new(&"a/".repeat(LONGEST_NAME))).unwrap_err().to_string();
    assert!(long.contains("longer than 4096 bytes"), "{long}");
}
