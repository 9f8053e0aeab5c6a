//! Hostile and ordinary archives, unpacked as root into temporary directories.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tar::{Builder, EntryType, Header};

use super::*;

/// One member of a test archive.
pub(super) struct Member<'a> {
    kind: EntryType,
    name: &'a str,
    data: &'a [u8],
    target: &'a str,
    mode: u32,
    uid: u64,
    pax: &'a [(&'a str, &'a [u8])],
}

const PLAIN: Member<'_> =
    Member { kind: EntryType::Regular, name: "", data: b"", target: "", mode: 0o644, uid: 0, pax: &[] };

pub(super) fn file<'a>(name: &'a str, data: &'a [u8]) -> Member<'a> {
    Member { name, data, ..PLAIN }
}

pub(super) fn directory(name: &str) -> Member<'_> {
    Member { kind: EntryType::Directory, name, mode: 0o755, ..PLAIN }
}

pub(super) fn symlink<'a>(name: &'a str, target: &'a str) -> Member<'a> {
    Member { kind: EntryType::Symlink, name, target, ..PLAIN }
}

pub(super) fn hardlink<'a>(name: &'a str, target: &'a str) -> Member<'a> {
    Member { kind: EntryType::Link, name, target, ..PLAIN }
}

/// Makes an archive byte by byte: the builder of the crate refuses the names that are to be tested.
pub(super) fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for member in members {
        if !member.pax.is_empty() {
            tar.append_pax_extensions(member.pax.iter().copied()).unwrap();
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(member.kind);
        let old = header.as_old_mut();
        old.name[..member.name.len()].copy_from_slice(member.name.as_bytes());
        old.linkname[..member.target.len()].copy_from_slice(member.target.as_bytes());
        header.set_mode(member.mode);
        header.set_uid(member.uid);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(member.data.len() as u64);
        header.set_cksum();
        tar.append(&header, member.data).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A directory with `root` to unpack into and `outside` that must stay as it is.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            pvect_testkit::skipped(module_path!(), "unpacking with owners needs root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/victim"), "untouched").unwrap();
        Some(Self { dir })
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn unpack(&self, bytes: &[u8], idmap: &IdMap) -> Result<Summary, UnpackError> {
        self.unpack_at_most(bytes, idmap, None)
    }

    fn unpack_at_most(&self, bytes: &[u8], idmap: &IdMap, most: Option<u64>) -> Result<Summary, UnpackError> {
        let path = self.dir.path().join("template.tar");
        fs::write(&path, bytes).unwrap();
        let options = Options {
            idmap,
            ignore_errors: false,
            report: &|_| (),
            most,
            room: &|| Ok(()),
            interrupted: &|| false,
        };
        extract(&path, &self.root(), &options)
    }

    pub(super) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn meta(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.root().join(path)).unwrap()
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.dir.path().join("outside"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["victim"]);
        let victim = self.dir.path().join("outside/victim");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        let meta = fs::metadata(&victim).unwrap();
        assert_eq!((meta.nlink(), meta.uid()), (1, 0));
    }
}

#[test]
fn metadata_is_kept_and_owners_are_shifted() {
    let Some(place) = Place::new() else { return };
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let bytes = archive(&[
        directory("./"),
        Member { mode: 0o1777, ..directory("./tmp/") },
        Member { mode: 0o4755, uid: 7, ..file("./usr/bin/su", b"program") },
        hardlink("./usr/bin/su2", "./usr/bin/su"),
        symlink("./bin", "usr/bin"),
        Member { kind: EntryType::Fifo, mode: 0o600, name: "./run/fifo", ..PLAIN },
        Member {
            pax: &[("SCHILY.xattr.user.note", b"hello"), ("SCHILY.xattr.security.capability", &capability)],
            ..file("./usr/bin/ping", b"ping")
        },
        file("./bin/through", b"followed inside"),
    ]);
    let summary = place.unpack(&bytes, &IdMap::unprivileged()).unwrap();
    assert_eq!((summary.bytes, summary.failed), (10_240, 0));
    let su = place.meta("usr/bin/su");
    assert_eq!((su.uid(), su.gid(), su.mode() & 0o7777, su.nlink()), (100_007, 100_000, 0o4755, 2));
    assert_eq!(su.mtime(), 1_000_000_000);
    let tmp = place.meta("tmp");
    assert_eq!((tmp.mode() & 0o7777, tmp.uid(), tmp.mtime()), (0o1777, 100_000, 1_000_000_000));
    assert_eq!(place.meta("usr").permissions().mode() & 0o7777, 0o755, "a parent that no member names");
    assert_eq!(place.meta("usr").uid(), 100_000);
    assert!(place.meta("run/fifo").file_type().is_fifo());
    assert_eq!(place.meta("bin").uid(), 100_000);
    assert_eq!(place.text("usr/bin/through"), "followed inside");
    let ping = place.root().join("usr/bin/ping");
    let mut value = [0_u8; 64];
    let length = rustix::fs::getxattr(&ping, "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"hello");
    // The kernel shows a capability with a foreign root as version 3.
    let length = rustix::fs::getxattr(&ping, "security.capability", &mut value).unwrap();
    assert_eq!((length, &value[20..24]), (24, &100_000_u32.to_le_bytes()[..]));
}

#[test]
fn dot_dot_is_refused() {
    let Some(place) = Place::new() else { return };
    for name in ["../outside/new", "./a/../../outside/new", "/../outside/new", ".."] {
        let failure = place.unpack(&archive(&[file(name, b"x")]), &IdMap::identity()).unwrap_err();
        assert_eq!(failure.to_string(), format!("can't unpack '{name}' - its path contains '..'"));
    }
    let bytes = archive(&[hardlink("./link", "../outside/victim")]);
    let failure = place.unpack(&bytes, &IdMap::identity()).unwrap_err();
    assert_eq!(failure.to_string(), "can't unpack './link' - its path contains '..'");
    place.assert_outside_untouched();
}

#[test]
fn absolute_names_stay_inside() {
    let Some(place) = Place::new() else { return };
    let victim = place.dir.path().join("outside/victim");
    let name = victim.to_str().unwrap();
    place.unpack(&archive(&[file("/etc/pvect-test", b"x"), file(name, b"y")]), &IdMap::identity()).unwrap();
    assert_eq!(place.text("etc/pvect-test"), "x");
    assert!(!Path::new("/etc/pvect-test").exists());
    place.assert_outside_untouched();
    let failure = place.unpack(&archive(&[hardlink("./link", name)]), &IdMap::identity());
    assert!(failure.is_ok(), "its target is the file inside: {failure:?}");
    assert_eq!(place.text("link"), "y");
    place.assert_outside_untouched();
}

#[test]
fn symlinks_lead_nobody_out() {
    let Some(place) = Place::new() else { return };
    let outside = place.dir.path().join("outside");
    let bytes = archive(&[
        symlink("./absolute", outside.to_str().unwrap()),
        symlink("./relative", "../../outside"),
        symlink("./file", outside.join("victim").to_str().unwrap()),
        symlink("./proc", "/proc/self/root"),
        file("./absolute/new", b"x"),
        file("./relative/new", b"x"),
        file("./file", b"overwritten"),
        Member { uid: 5, ..directory("./absolute/") },
    ]);
    // The targets do not exist inside: refused or made inside, never followed out.
    let _ = place.unpack(&bytes, &IdMap::identity());
    place.assert_outside_untouched();
    for members in [
        vec![symlink("./d", outside.to_str().unwrap()), file("./d/new", b"x")],
        vec![symlink("./v", outside.join("victim").to_str().unwrap()), file("./v", b"x")],
        vec![symlink("./up", "../outside"), hardlink("./h", "./up/victim")],
        vec![symlink("./p", "/proc/self/cwd"), file("./p/new", b"x")],
        vec![symlink("./w", outside.to_str().unwrap()), Member { mode: 0o777, ..directory("./w") }],
    ] {
        let _ = place.unpack(&archive(&members), &IdMap::identity());
        place.assert_outside_untouched();
    }
    assert!(place.meta("file").file_type().is_symlink(), "what was there first is kept");
}

#[test]
fn what_exists_is_kept() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.root().join("etc")).unwrap();
    fs::write(place.root().join("etc/hosts"), "mine").unwrap();
    place
        .unpack(
            &archive(&[file("./etc/hosts", b"theirs"), file("./etc/new", b"1"), file("./etc/new", b"2")]),
            &IdMap::identity(),
        )
        .unwrap();
    assert_eq!((place.text("etc/hosts"), place.text("etc/new")), ("mine".to_owned(), "1".to_owned()));
}

#[test]
fn devices_are_left_out_below_dev_and_refused_for_unprivileged_ones() {
    let Some(place) = Place::new() else { return };
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Char);
    header.set_device_major(1).unwrap();
    header.set_device_minor(3).unwrap();
    header.set_mode(0o666);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let build = |name: &[u8]| {
        let mut header = header.clone();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        let mut tar = Builder::new(Vec::new());
        tar.append(&header, &[][..]).unwrap();
        tar.into_inner().unwrap()
    };
    place.unpack(&build(b"./dev/null"), &IdMap::unprivileged()).unwrap();
    assert!(!place.root().join("dev/null").exists());
    let failure = place.unpack(&build(b"./chroot/null"), &IdMap::unprivileged()).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "can't unpack './chroot/null' - an unprivileged container cannot have device nodes"
    );
    place.unpack(&build(b"./chroot/null"), &IdMap::identity()).unwrap();
    let null = place.meta("chroot/null");
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777), (rustix::fs::makedev(1, 3), 0o666));
}

#[test]
fn holes_take_no_room() {
    let Some(place) = Place::new() else { return };
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.as_old_mut().name[..6].copy_from_slice(b"./hole");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(4);
    let real = 1_u64 << 27;
    let gnu = header.as_gnu_mut().unwrap();
    let octal =
        |field: &mut [u8; 12], value: u64| field[..11].copy_from_slice(format!("{value:011o}").as_bytes());
    octal(&mut gnu.sparse[0].offset, real - 4);
    octal(&mut gnu.sparse[0].numbytes, 4);
    octal(&mut gnu.realsize, real);
    header.set_cksum();
    let mut tar = Builder::new(Vec::new());
    tar.append(&header, &b"tail"[..]).unwrap();
    place.unpack(&tar.into_inner().unwrap(), &IdMap::identity()).unwrap();
    let meta = place.meta("hole");
    assert_eq!(meta.len(), real);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
}

#[test]
fn ids_beyond_the_map_are_refused() {
    let Some(place) = Place::new() else { return };
    let bytes = archive(&[Member { uid: 70_000, ..file("./x", b"") }]);
    let failure = place.unpack(&bytes, &IdMap::unprivileged()).unwrap_err();
    assert_eq!(failure.to_string(), "can't unpack './x' - the container's id map has no user 70000");
    assert!(!place.root().join("x").exists());
}

#[test]
fn packed_archives_are_told_by_their_bytes() {
    let Some(place) = Place::new() else { return };
    let plain = archive(&[file("./etc/x", b"text")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 3).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&plain).unwrap();
    // Two concatenated streams are one archive, too.
    let xz: Vec<u8> = plain.chunks(512).flat_map(|part| liblzma::encode_all(part, 1).unwrap()).collect();
    for bytes in [plain, gzip.finish().unwrap(), bzip2.finish().unwrap(), xz, zstd] {
        let _ = fs::remove_file(place.root().join("etc/x"));
        place.unpack(&bytes, &IdMap::identity()).unwrap();
        assert_eq!(place.text("etc/x"), "text");
    }
}

#[test]
fn what_is_no_archive_is_said_so() {
    let Some(place) = Place::new() else { return };
    let path = place.dir.path().join("template.tar");
    let mut cut = archive(&[file("./x", &[7; 4000])]);
    cut.truncate(2000);
    let mut bad_gzip = vec![0x1f, 0x8b, 8, 0];
    bad_gzip.extend([0; 64]);
    for (bytes, what) in [
        (b"hello\n".to_vec(), "is not a template archive: "),
        (Vec::new(), "is not a template archive: it has no members"),
        (vec![0; 10_240], "is not a template archive: it has no members"),
        (vec![b'x'; 2048], "is not a template archive: "),
        (
            b"\x89LZOrest".to_vec(),
            "is not a template archive: it is compressed with lzop; supported are tar, tar.gz, tar.bz2, tar.xz and tar.zst",
        ),
        (b"\xfd7zXZ\0rest".to_vec(), "is not a template archive: "),
        (b"BZh9rest".to_vec(), "is not a template archive: "),
        (bad_gzip, "is not a template archive: "),
    ] {
        let failure = place.unpack(&bytes, &IdMap::identity()).unwrap_err().to_string();
        assert!(failure.starts_with(&format!("'{}' {what}", path.display())), "{failure}");
    }
    assert!(place.unpack(&cut, &IdMap::identity()).is_err(), "a cut archive was taken");
}

#[test]
fn a_signal_ends_the_work() {
    let Some(place) = Place::new() else { return };
    let path = place.dir.path().join("template.tar");
    fs::write(&path, archive(&[file("./x", b"x")])).unwrap();
    let idmap = IdMap::identity();
    let options = Options {
        idmap: &idmap,
        ignore_errors: true,
        report: &|_| (),
        most: None,
        room: &|| Ok(()),
        interrupted: &|| true,
    };
    assert!(matches!(extract(&path, &place.root(), &options), Err(UnpackError::Interrupted)));
}

#[test]
fn the_search_for_a_member_has_an_end() {
    let Some(place) = Place::new() else { return };
    let path = place.dir.path().join("backup.tar");
    let name = Path::new("etc/vzdump/pct.conf");
    let before = vec![0; 1 << 20];
    fs::write(&path, archive(&[file("./zeros", &before), file("./etc/vzdump/pct.conf", b"arch: x\n")]))
        .unwrap();
    let search = |largest, most| Search { largest, most, interrupted: &|| false };
    let read = |search: &Search<'_>| read_member(&path, name, search).map_err(|error| error.to_string());
    assert_eq!(read(&search(8, Some(2 << 20))), Ok(Some(b"arch: x\n".to_vec())));
    let why = |found: Result<_, String>| found.unwrap_err().split(": ").last().unwrap().to_owned();
    assert_eq!(
        why(read(&search(8, Some(1 << 19)))),
        "it unpacks to more than 524288 bytes, which is out of all proportion"
    );
    assert_eq!(
        read(&search(7, None)).unwrap_err(),
        "can't unpack 'etc/vzdump/pct.conf' - it has 8 bytes, more than 7"
    );
    let first = find_member(&path, name, &search(8, None), 1).map_err(|error| error.to_string());
    assert_eq!(why(first), "it has more than 1 members");
    // A signal that comes while a member is passed over.
    let asked = std::cell::Cell::new(0);
    let interrupted = || asked.replace(asked.get() + 1) > 20;
    let search = Search { largest: 8, most: None, interrupted: &interrupted };
    assert!(matches!(read_member(&path, name, &search), Err(UnpackError::Interrupted)));
}

#[test]
fn nothing_more_is_unpacked_when_the_room_is_used_up() {
    let Some(place) = Place::new() else { return };
    let path = place.dir.path().join("backup.tar");
    let large = vec![1; 9 << 20];
    fs::write(&path, archive(&[file("./one", &large), file("./two", b"x")])).unwrap();
    let idmap = IdMap::identity();
    let asked = std::cell::Cell::new(0);
    let room = || match asked.replace(asked.get() + 1) {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::StorageFull, "too little")),
    };
    let options = Options {
        idmap: &idmap,
        ignore_errors: true,
        report: &|_| (),
        most: None,
        room: &room,
        interrupted: &|| false,
    };
    let failure = extract(&path, &place.root(), &options).unwrap_err();
    assert_eq!(failure.to_string(), "can't unpack './one' - too little");
    assert!(!place.root().join("two").exists());
}

#[test]
fn a_name_does_not_begin_a_line_of_a_log() {
    let Some(place) = Place::new() else { return };
    let bytes = archive(&[Member { kind: EntryType::Block, ..file("./a\nTASK OK", b"") }]);
    let failure = place.unpack(&bytes, &IdMap::unprivileged()).unwrap_err().to_string();
    let why = "an unprivileged container cannot have device nodes";
    assert_eq!(failure, format!("can't unpack './a\\nTASK OK' - {why}"));
    // What the tar crate says has names in it.
    let mut bytes = archive(&[file("./b\nTASK OK", b"")]);
    bytes[148..156].copy_from_slice(b"zzzzzzzz");
    let failure = place.unpack(&bytes, &IdMap::identity()).unwrap_err().to_string();
    assert!(!failure.contains('\n'), "{failure:?}");
}

#[test]
fn line_breaks_in_names_and_attributes_are_kept() {
    let Some(place) = Place::new() else { return };
    let value = b"one\n20 path=../outside/x\n";
    let bytes = archive(&[
        Member { pax: &[("SCHILY.xattr.user.note", value), ("path", b"a\nb")], ..file("other", b"text") },
        Member { pax: &[("path", b"link"), ("linkpath", b"a\nb")], ..symlink("x", "y") },
        file("plain", b""),
        Member { pax: &[("path", b"../outside/y\n")], ..file("z", b"") },
    ]);
    let failure = place.unpack(&bytes, &IdMap::identity()).unwrap_err().to_string();
    assert_eq!(failure, "can't unpack '../outside/y?' - its path contains '..'");
    assert_eq!(place.text("a\nb"), "text");
    assert_eq!(fs::read_link(place.root().join("link")).unwrap(), Path::new("a\nb"));
    assert_eq!(place.text("plain"), "");
    let mut note = vec![0; 100];
    match rustix::fs::getxattr(place.root().join("a\nb"), "user.note", &mut note) {
        Ok(length) => assert_eq!(note[..length], value[..]),
        Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(errno) => panic!("{errno}"),
    }
    place.assert_outside_untouched();
}

#[test]
fn sizes_are_worded_as_tar_does() {
    for (bytes, text) in [
        (2_150_400.0, "2.1MiB"),
        (153_825_280.0, "147MiB"),
        (512.0, "512B"),
        (10_240.0, "10KiB"),
        (0.0, "0B"),
    ] {
        assert_eq!(human(bytes), text);
    }
    let summary = Summary { bytes: 2_150_400, time: Duration::from_secs(1), failed: 0 };
    assert_eq!(summary.line(), "Total bytes read: 2150400 (2.1MiB, 2.1MiB/s)");
}

#[test]
fn what_unpacks_out_of_all_proportion_is_refused() {
    let Some(place) = Place::new() else { return };
    let tar = archive(&[file("zeros", &vec![0; 1 << 20])]);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    Write::write_all(&mut packer, &tar).unwrap();
    let packed = packer.finish().unwrap();
    let at_most = |most: u64| match place.unpack_at_most(&packed, &IdMap::identity(), Some(most)) {
        Ok(_) => String::new(),
        Err(error) => error.to_string().split(": ").last().unwrap_or_default().to_owned(),
    };
    assert_eq!(at_most(2 << 20), "");
    assert_eq!(at_most(1 << 19), "it unpacks to more than 524288 bytes, which is out of all proportion");
    // Zeros compress to almost nothing, but nothing is refused below 4 GiB, and a plain tar never is.
    let path = place.dir.path().join("template.tar");
    assert_eq!(in_proportion(&path).unwrap(), Some(4 << 30));
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    assert_eq!(in_proportion(&path).unwrap(), Some(200 << 30));
    assert_eq!(in_proportion(Path::new("/dev/null")).unwrap(), None);
}

#[test]
fn what_cannot_be_kept_is_named_and_no_file_is_lost() {
    let Some(place) = Place::new() else { return };
    let bytes = archive(&[
        directory("./var"),
        Member { uid: 100_999, mode: 0o4755, ..file("./var/doc", b"precious\n") },
        Member { kind: EntryType::Block, ..file("./var/null\u{1b}[2J", b"") },
        file("./var/other", b"x"),
    ]);
    let path = place.dir.path().join("template.tar");
    fs::write(&path, bytes).unwrap();
    let said = std::cell::RefCell::new(Vec::new());
    let options = Options {
        idmap: &IdMap::unprivileged(),
        ignore_errors: true,
        report: &|line| said.borrow_mut().push(line.to_owned()),
        most: None,
        room: &|| Ok(()),
        interrupted: &|| false,
    };
    let summary = extract(&path, &place.root(), &options).unwrap();
    assert_eq!(summary.failed, 2);
    assert_eq!(
        *said.borrow(),
        [
            "tar: ./var/doc: Cannot change ownership to uid 100999, gid 0: Invalid argument",
            "tar: ./var/null\\u{1b}[2J: an unprivileged container cannot have device nodes",
        ]
    );
    let lines = summary.lines();
    assert_eq!(lines.last().unwrap(), "tar: Exiting with failure status due to previous errors");
    assert_eq!(place.text("var/doc"), "precious\n");
    let doc = place.meta("var/doc");
    assert_eq!((doc.uid(), doc.gid(), doc.mode() & 0o7777), (100_000, 100_000, 0o755));
    assert_eq!(place.text("var/other"), "x");
}

#[test]
fn the_root_has_the_mode_of_the_archive() {
    for (name, mode) in [("./", 0o751), ("etc", 0o755)] {
        let Some(place) = Place::new() else { return };
        fs::set_permissions(place.root(), fs::Permissions::from_mode(0o755)).unwrap();
        let bytes = archive(&[Member { mode: 0o751, ..directory(name) }]);
        place.unpack(&bytes, &IdMap::identity()).unwrap();
        assert_eq!(fs::metadata(place.root()).unwrap().mode() & 0o7777, mode, "{name}");
    }
}

#[test]
fn what_is_no_archive_is_told_by_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("template.tar.gz");
    let said = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        check(&path).map_err(|error| {
            let text = error.to_string();
            text.split_once("is not a template archive: ").map_or(text.clone(), |(_, what)| what.to_owned())
        })
    };
    let refused = |what: &str| Err(what.to_owned());
    assert_eq!(said(b""), refused("it is empty"));
    assert_eq!(
        said(b"\n<!DOCTYPE html><html>404</html>"),
        refused("it is a web page: the download of the template failed")
    );
    assert_eq!(said(b"QFI\xfb\0\0\0\x03"), refused("it is a disk image (qcow2)"));
    assert_eq!(said(b"some text"), refused("it ends too early"));
    assert_eq!(said(&[b'x'; 2000]), refused("what is in it is not a tar"));
    assert!(said(b"\x89LZO\0").unwrap_err().starts_with("it is compressed with lzop"));
    let whole = archive(&[file("a", b"x")]);
    assert_eq!(said(&whole), Ok(()));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&whole).unwrap();
    assert_eq!(said(&packed.finish().unwrap()), Ok(()));
}
