//! A root file system with one of everything, and what is in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

/// Every file below a directory: kind, mode, owner, links, size or device, time, attributes, content.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let meta = fs::symlink_metadata(&full).unwrap();
        let kind = meta.file_type();
        let content = if kind.is_symlink() {
            fs::read_link(&full).unwrap().display().to_string()
        } else if kind.is_file() {
            format!("{:?}", fs::read(&full).unwrap().iter().map(|byte| u64::from(*byte)).sum::<u64>())
        } else {
            String::new()
        };
        let mut names = vec![0_u8; 4096];
        let length = rustix::fs::llistxattr(&full, &mut names).unwrap_or(0);
        let attributes: Vec<String> = names[..length]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let name = String::from_utf8(name.to_vec()).unwrap();
                let mut value = vec![0_u8; 4096];
                let length = rustix::fs::lgetxattr(&full, name.as_str(), &mut value).unwrap();
                format!("{name}={:?}", &value[..length])
            })
            .collect();
        let size = if kind.is_dir() { 0 } else { meta.len() };
        let links = if kind.is_dir() { 0 } else { meta.nlink() };
        found.insert(
            path.clone(),
            format!(
                "{:o} {}:{} links={links} size={size} rdev={} time={} {attributes:?} {content}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                if kind.is_char_device() || kind.is_block_device() { meta.rdev() } else { 0 },
                // Touched: where vzdump's files were taken out of, and what lies below mount points.
                if ["etc", "data", "scratch"].iter().any(|name| path == Path::new(name)) {
                    0
                } else {
                    meta.mtime()
                },
            ),
        );
        if kind.is_dir() {
            waiting.extend(fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        }
    }
    found
}

/// Puts one of everything into a root, for a container whose ids begin at `base`.
pub(crate) fn furnish(root: &Path, base: u32) {
    let own = |path: &Path, uid: u32, gid: u32| {
        std::os::unix::fs::lchown(path, Some(base + uid), Some(base + gid)).unwrap();
    };
    let home = root.join("home/user name");
    fs::create_dir_all(&home).unwrap();
    own(&root.join("home"), 0, 0);
    own(&home, 1000, 1000);
    fs::set_permissions(&home, PermissionsExt::from_mode(0o2750)).unwrap();
    for (name, mode, data) in [
        ("a", 0o644, &b"text"[..]),
        ("suid", 0o4755, b"x"),
        ("empty", 0o600, b""),
        ("\u{e9} line", 0o640, b"odd"),
    ] {
        let path = home.join(name);
        fs::write(&path, data).unwrap();
        own(&path, 1000, 100);
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    fs::hard_link(home.join("a"), root.join("linked")).unwrap();
    symlink("/etc/passwd", home.join("absolute")).unwrap();
    symlink("../../..", home.join("up")).unwrap();
    own(&home.join("absolute"), 1000, 1000);
    own(&home.join("up"), 0, 0);
    rustix::fs::mknodat(CWD, home.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    own(&home.join("fifo"), 7, 8);
    let note = home.join("a");
    // Not every file system has them (tmpfs): then there is nothing to be kept.
    let _ = rustix::fs::setxattr(&note, "user.note", b"kept\0too", XattrFlags::empty());
    let holes = fs::File::create(home.join("holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"middle", 3 << 20).unwrap();
    holes.set_len(8 << 20).unwrap();
    own(&home.join("holes"), 0, 0);
    fs::write(root.join("tmp-file"), "kept").unwrap();
    own(&root.join("tmp-file"), 0, 0);
    let long = root.join("d".repeat(120)).join("e".repeat(150));
    fs::create_dir_all(&long).unwrap();
    own(long.parent().unwrap(), 0, 0);
    own(&long, 0, 0);
    if base == 0 {
        let device = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(
            CWD,
            root.join("null"),
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            device,
        )
        .unwrap();
    }
}
