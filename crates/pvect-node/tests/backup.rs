//! Backups and what is restored of them, with real tar, images and mounts, without starting anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pvect_core::{Call, Verb, Vmid};
use pvect_node::Output;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

mod common;

use common::{NodeInProcess, Ran, archive};

fn on(verb: Verb, vmid: &str) -> Call {
    Call::on(verb, vmid.parse::<Vmid>().unwrap())
}

/// One test at a time: a process that one thread starts holds the directories that another has open, for a moment, and
/// they cannot be unmounted then. The programs themselves have one thread.
static TURN: Mutex<()> = Mutex::new(());

struct Place {
    node: NodeInProcess,
    _turn: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Place {
    type Target = NodeInProcess;

    fn deref(&self) -> &NodeInProcess {
        &self.node
    }
}

fn node(test: &str) -> Option<Place> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let node = NodeInProcess::new(test)?;
    if !["/usr/bin/lxc-usernsexec", "/usr/bin/tar", "/bin/tar"].iter().any(|path| Path::new(path).exists()) {
        pvect_testkit::skipped(test, "lxc or tar is not installed");
        return None;
    }
    node.template("alpine.tar", &archive(1000));
    Some(Place { node, _turn })
}

fn config(node: &NodeInProcess, vmid: &str) -> String {
    fs::read_to_string(node.root().join(format!("etc/pve/nodes/vm/lxc/{vmid}.conf"))).unwrap()
}

fn vzdump(node: &NodeInProcess, words: &[&str]) -> Ran {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = pvect_node::backup::run(&node.node, &words, &mut Output::new(&mut out, &mut err));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { exit, text: String::new(), out: text(out), err: text(err) }
}

fn dump(node: &NodeInProcess) -> PathBuf {
    node.root().join("vz/dump")
}

/// The only archive of a container.
fn archive_of(node: &NodeInProcess, vmid: &str) -> PathBuf {
    let prefix = format!("vzdump-lxc-{vmid}-");
    let names = fs::read_dir(dump(node)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = names
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&prefix) && name.contains(".tar") && !name.ends_with(".notes")
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Every file below a directory: kind, mode, owner, links, size or device, time, attributes, content.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
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
fn furnish(root: &Path, base: u32) {
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

fn told_of_backup(out: &str, vmid: &str, compress: &str) {
    let told = format!(
        "INFO: starting new backup job: vzdump {vmid} --compress {compress} --notes-template '{{{{guestname}}}} of \
         {{{{node}}}}' --exclude-path '*.skip'\nINFO: Starting Backup of VM {vmid} (lxc)\n"
    );
    assert!(out.starts_with(&told), "{out}");
    for line in [
        "INFO: status = stopped\nINFO: backup mode: stop\nINFO: ionice priority: 7\n",
        "INFO: including mount point rootfs ('/') in backup\nINFO: including mount point mp0 ('/data') in backup\n\
         INFO: excluding volume mount point mp1 ('/scratch') from backup (disabled)\n\
         INFO: excluding bind mount point mp2 ('/bound') from backup (not a volume)\n",
        "\nINFO: Backup job finished successfully\n",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
}

fn told_of_restore(out: &str, volume_id: &str, path: &Path) {
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], format!("recovering backed-up configuration from '{volume_id}'"));
    assert_eq!(lines[1], "WARN: the backup brings a directory or device of the host: mp2: /srv,mp=/bound");
    assert_eq!(lines[2], format!("restoring '{volume_id}' now.."));
    assert_eq!(lines[3], format!("extracting archive '{}'", path.display()));
    assert!(lines[4].starts_with("Total bytes read: "), "{}", lines[4]);
    assert_eq!(lines[5], "merging backed-up and given configuration..");
}

#[test]
fn a_container_comes_back_as_it_was() {
    let Some(node) = node("backup") else { return };
    for (vmid, unprivileged, base, compress) in [("301", "1", 100_000, "zstd"), ("302", "0", 0, "gzip")] {
        let made = node.run(
            on(Verb::Create, vmid)
                .arg("local:vztmpl/alpine.tar")
                .option("rootfs", "local:0")
                .option("mp0", "local:0,mp=/data,backup=1")
                .option("mp1", "local:0,mp=/scratch")
                .option("mp2", "/srv,mp=/bound")
                .option("unprivileged", unprivileged)
                .option("description", "two\nlines")
                .option("net0", format!("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:{}", &vmid[1..])),
        );
        assert_eq!(made.exit, 0, "{} {}", made.text, made.out);
        let volume =
            |number: u32| node.root().join(format!("vz/images/{vmid}/subvol-{vmid}-disk-{number}.subvol"));
        furnish(&volume(0), base);
        let inside = volume(1).join("inside");
        fs::write(&inside, "data").unwrap();
        std::os::unix::fs::chown(&inside, Some(base + 33), Some(base + 33)).unwrap();
        fs::write(volume(2).join("scratch"), "not in the backup").unwrap();
        fs::create_dir_all(node.root().join("etc/pve/firewall")).unwrap();
        let rules = node.root().join(format!("etc/pve/firewall/{vmid}.fw"));
        fs::write(&rules, "[OPTIONS]\nenable: 1\n").unwrap();
        let before = (config(&node, vmid), tree(&volume(0)), tree(&volume(1)));
        let ran = vzdump(
            &node,
            &[
                vmid,
                "--compress",
                compress,
                "--notes-template",
                "{{guestname}} of {{node}}",
                "--exclude-path",
                "*.skip",
            ],
        );
        assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{}", ran.out);
        told_of_backup(&ran.out, vmid, compress);
        let path = archive_of(&node, vmid);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        let notes = fs::read_to_string(format!("{}.notes", path.display())).unwrap();
        assert_eq!(notes, format!("CT{vmid} of vm"));
        // Its first member is what the real pct looks for.
        let listed = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
        assert!(
            String::from_utf8_lossy(&listed.stdout)
                .starts_with("./etc/vzdump/pct.conf\n./etc/vzdump/pct.fw\n./\n")
        );
        assert_eq!(config(&node, vmid), before.0, "the lock is gone");

        assert_eq!(node.run(on(Verb::Destroy, vmid)).exit, 0);
        assert!(!rules.exists(), "who takes the number next does not get the rules");
        let volume_id = format!("local:backup/{}", path.file_name().unwrap().to_string_lossy());
        let back = node.run(on(Verb::Restore, vmid).arg(volume_id.as_str()));
        // A directory of the host that the archive's configuration brings is named.
        assert_eq!(
            (back.exit, back.err.as_str()),
            (0, "Task finished with 1 warning(s)!\n"),
            "{} {}",
            back.text,
            back.out
        );
        told_of_restore(&back.out, &volume_id, &path);
        assert_eq!(config(&node, vmid), before.0);
        let (now_root, now_data) = (tree(&volume(0)), tree(&volume(1)));
        for (path, line) in &before.1 {
            assert_eq!(now_root.get(path), Some(line), "{}", path.display());
        }
        assert_eq!(now_root.keys().collect::<Vec<_>>(), before.1.keys().collect::<Vec<_>>());
        assert_eq!(now_data, before.2);
        assert!(!volume(2).join("scratch").exists());
        let holes = fs::metadata(volume(0).join("home/user name/holes")).unwrap();
        assert!(holes.blocks() * 512 < 1 << 20, "{} blocks", holes.blocks());
        assert_eq!(fs::read_to_string(&rules).unwrap(), "[OPTIONS]\nenable: 1\n");
    }
}

/// A backup that plain GNU tar made of a directory with a container's files in vzdump's layout.
fn by_hand(node: &NodeInProcess, name: &str, text: &str, options: &[&str]) -> PathBuf {
    let stage = node.root().join("stage");
    let _ = fs::remove_dir_all(&stage);
    fs::create_dir_all(stage.join("etc/vzdump")).unwrap();
    fs::create_dir_all(stage.join("sbin")).unwrap();
    fs::write(stage.join("etc/vzdump/pct.conf"), text).unwrap();
    fs::write(stage.join("etc/vzdump/pct.fw"), "").unwrap();
    fs::write(stage.join("etc/alpine-release"), "3.20.3\n").unwrap();
    fs::write(stage.join("user"), "7").unwrap();
    std::os::unix::fs::chown(stage.join("user"), Some(1000), Some(1000)).unwrap();
    let holes = fs::File::create(stage.join("holes")).unwrap();
    for at in [0, 1 << 20, 5 << 20] {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"piece", at).unwrap();
    }
    let path = dump(node).join(name);
    let status = Command::new("tar")
        .args(options)
        .arg("-cpf")
        .arg(&path)
        .args(["--numeric-owner", "--sparse", "-C"])
        .arg(&stage)
        .args(["./etc/vzdump/pct.conf", "./etc/vzdump/pct.fw", "."])
        .status()
        .unwrap();
    assert!(status.success());
    path
}

const BY_HAND: &str = "#hello\narch: amd64\ncores: 2\nhostname: old\nmemory: 256\n\
    mp0: fast:900/vm-900-disk-1.raw,mp=/data,backup=1,size=0T\nmp5: /srv,mp=/bound\n\
    net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth\nostype: alpine\n\
    rootfs: fast:900/vm-900-disk-0.raw,size=0T\nswap: 0\nunprivileged: 1\nlxc.cap.drop: sys_time\n\n[snap]\nmemory: 1\n";

#[test]
fn archives_of_plain_tar_are_restored() {
    let Some(node) = node("backup") else { return };
    for (number, options) in
        [&["--format=gnu"][..], &["--format=posix"], &["--format=posix", "--sparse-version=0.1"], &["--gzip"]]
            .iter()
            .enumerate()
    {
        let vmid = format!("40{number}");
        let path = by_hand(&node, "vzdump-lxc-900-2026_01_01-00_00_00.tar", BY_HAND, options);
        let ran = node.run(on(Verb::Restore, &vmid).arg(path.to_str().unwrap()).option("memory", "64"));
        assert_eq!(ran.exit, 0, "{options:?} {} {}", ran.text, ran.out);
        assert_eq!(
            config(&node, &vmid),
            format!(
                "#hello\narch: amd64\ncores: 2\nhostname: old\nmemory: 64\n\
                 mp0: local:{vmid}/subvol-{vmid}-disk-1.subvol,mp=/data,backup=1,size=0T\nmp5: /srv,mp=/bound\n\
                 net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth\nostype: alpine\n\
                 rootfs: local:{vmid}/subvol-{vmid}-disk-0.subvol,size=0T\nswap: 0\nunprivileged: 1\nlxc.cap.drop: sys_time\n"
            )
        );
        let root = node.root().join(format!("vz/images/{vmid}/subvol-{vmid}-disk-0.subvol"));
        assert_eq!(fs::metadata(root.join("user")).unwrap().uid(), 101_000);
        assert!(!root.join("etc/vzdump").exists());
        let mut holes = vec![0_u8; (5 << 20) + 5];
        for at in [0, 1 << 20, 5 << 20] {
            holes[at..at + 5].copy_from_slice(b"piece");
        }
        assert!(fs::read(root.join("holes")).unwrap() == holes, "{options:?}");
    }
    // Another map, another layout, other MAC addresses.
    let path = by_hand(&node, "vzdump-lxc-900-2026_01_01-00_00_00.tar", BY_HAND, &[]);
    let ran = node.run(
        on(Verb::Create, "410")
            .arg(path.to_str().unwrap())
            .option("restore", "1")
            .option("unique", "1")
            .option("unprivileged", "0")
            .option("rootfs", "0.0625"),
    );
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    let text = config(&node, "410");
    assert!(text.contains("rootfs: local:410/vm-410-disk-0.raw,size=64M\n"), "{text}");
    assert!(!text.contains("mp0") && !text.contains("mp5") && !text.contains("unprivileged"), "{text}");
    assert!(text.contains("hwaddr=BC:24:11:") && !text.contains("BC:24:11:00:00:01"), "{text}");
}

#[test]
fn a_configuration_that_is_not_trusted_does_nothing_on_the_host() {
    let Some(node) = node("backup") else { return };
    let told = "hostname: old\nhookscript: local:snippets/evil\ndev0: /dev/kmsg\nmp0: /etc,mp=/host-etc\n\
                mp1: local:900/subvol-900-disk-1.subvol,mp=/data,backup=1,size=0T\nfeatures: nesting=1\n\
                rootfs: local:900/subvol-900-disk-0.subvol,size=0T\nunprivileged: 1\n\
                lxc.hook.pre-start: /bin/touch /pwned\nlxc.hook.pre-start: /bin/true\nlxc.mount.entry: / mnt none bind\n";
    let path = by_hand(&node, "vzdump-lxc-900-2026_01_01-00_00_00.tar", told, &[]);
    let restore = |vmid: &str| on(Verb::Restore, vmid).arg(path.to_str().unwrap());
    let ran = node.run_extended(&restore("420").option("trust-config", "0"));
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{} {}", ran.text, ran.out);
    let lines = ran.out.lines().filter(|line| line.starts_with("left out, as --trust-config 0 asks: "));
    assert_eq!(lines.count(), 6, "{}", ran.out);
    let text = config(&node, "420");
    for gone in ["hookscript", "dev0", "mp0", "lxc."] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert!(text.contains("mp1: local:420/") && text.contains("features: nesting=1\n"), "{text}");
    // Trusted, all of it is taken over, and named.
    let ran = node.run_extended(&restore("421").option("trust-config", "1"));
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    assert_eq!(ran.out.matches("WARN: the backup brings").count(), 6, "{}", ran.out);
    assert!(config(&node, "421").contains("lxc.hook.pre-start: /bin/touch /pwned\n"));
}

#[test]
fn what_cannot_be_restored_leaves_nothing() {
    let Some(node) = node("backup") else { return };
    let good = fs::read(by_hand(&node, "good.tar", BY_HAND, &["--format=posix"])).unwrap();
    let evil = |name: &str, target: Option<&str>| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |kind: tar::EntryType, name: &str, target: &str, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(data.len() as u64);
            header.set_cksum();
            tar.append(&header, data).unwrap();
        };
        add(tar::EntryType::Regular, "./etc/vzdump/pct.conf", "", BY_HAND.as_bytes());
        if let Some(target) = target {
            add(tar::EntryType::Symlink, "./out", target, b"");
        }
        add(tar::EntryType::Regular, name, "", b"evil");
        tar.into_inner().unwrap()
    };
    let outside = node.root().join("outside");
    fs::create_dir(&outside).unwrap();
    let archives: [(&str, Vec<u8>, &str); 5] = [
        ("cut.tar", good[..good.len() / 2 + 77].to_vec(), "is not a template archive"),
        ("noise.tar", vec![b'x'; 4096], "is not a template archive"),
        ("empty.tar", vec![0; 10_240], "it has no members"),
        ("none.tar", archive(10), "ERROR: archive contains no configuration file"),
        (
            "up.tar",
            evil("../../../../../../../../../../../../tmp/pvect-evil", None),
            "its path contains '..'",
        ),
    ];
    for (name, bytes, words) in archives {
        let path = dump(&node).join(name);
        fs::write(&path, bytes).unwrap();
        let ran = node.run(on(Verb::Restore, "501").arg(path.to_str().unwrap()));
        assert_eq!(ran.exit, 255, "{name}");
        assert!(
            ran.text.starts_with("unable to restore CT 501 - ") && ran.text.contains(words),
            "{name}: {}",
            ran.text
        );
        let left: Vec<String> = node.leftovers();
        assert_eq!(left, Vec::<String>::new(), "{name}");
    }
    assert!(!Path::new("/tmp/pvect-evil").exists());
    // A symlink that leads out is kept as it is, and nothing is written through it.
    let path = dump(&node).join("link.tar");
    fs::write(&path, evil("./out/file", Some(outside.to_str().unwrap()))).unwrap();
    let _ = node.run(on(Verb::Restore, "502").arg(path.to_str().unwrap()));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    for (archive, text) in [
        ("/no/such.tar", "unable to restore CT 503 - can't find file '/no/such.tar'"),
        ("local:backup/x.tar", "unable to restore CT 503 - volume 'local:backup/x.tar' does not exist"),
        (
            "local:vztmpl/alpine.tar",
            "unable to use volume local:vztmpl/alpine.tar - content type needs to be 'backup'",
        ),
    ] {
        let ran = node.run(on(Verb::Restore, "503").arg(archive));
        assert_eq!((ran.exit, ran.text.as_str()), (255, text));
    }
}

#[test]
fn only_a_stopped_unprotected_container_is_overwritten_and_only_at_the_end() {
    let Some(node) = node("backup") else { return };
    let made = node.run(
        on(Verb::Create, "601")
            .arg("local:vztmpl/alpine.tar")
            .option("rootfs", "local:0")
            .option("tags", "old"),
    );
    assert_eq!(made.exit, 0, "{}", made.text);
    let old = node.root().join("vz/images/601/subvol-601-disk-0.subvol");
    fs::write(old.join("precious"), "x").unwrap();
    let good = by_hand(&node, "good.tar", BY_HAND, &["--format=posix"]);
    let restore = |path: &Path| on(Verb::Restore, "601").arg(path.to_str().unwrap());
    let refused = node.run(restore(&good));
    assert_eq!((refused.exit, refused.text.as_str()), (2, "CT 601 already exists on node 'vm'"));
    let before = config(&node, "601");
    for (option, value, text) in [
        ("protection", "1", "unable to restore CT 601 - protection mode enabled"),
        ("lock", "migrate", "unable to restore CT 601 - CT is locked (migrate)"),
    ] {
        assert_eq!(node.run(on(Verb::Set, "601").option(option, value)).exit, 0);
        assert_eq!(node.run(restore(&good).flag("force", true)).text, text);
        fs::write(node.root().join("etc/pve/nodes/vm/lxc/601.conf"), &before).unwrap();
    }
    // What fails leaves the old one as it was.
    let cut = dump(&node).join("cut.tar");
    let bytes = fs::read(&good).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2 + 77]).unwrap();
    assert_eq!(node.run(restore(&cut).flag("force", true)).exit, 255);
    assert_eq!(config(&node, "601"), before);
    assert!(old.join("precious").exists());
    assert_eq!(fs::read_dir(node.root().join("vz/images/601")).unwrap().count(), 1);
    let ran = node.run(restore(&good).flag("force", true));
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    let text = config(&node, "601");
    assert!(text.contains("hostname: old\n") && !text.contains("tags") && !text.contains("lock"), "{text}");
    assert!(!old.exists(), "the old volume is gone");
    // A damaged archive, taken as far as it goes.
    let ran = node.run(restore(&cut).flag("force", true).flag("ignore-unpack-errors", true));
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
}

#[test]
fn failed_backups_unlock_and_old_ones_are_pruned() {
    let Some(node) = node("backup") else { return };
    let made = node.run(on(Verb::Create, "701").arg("local:vztmpl/alpine.tar").option("rootfs", "local:0"));
    assert_eq!(made.exit, 0, "{}", made.text);
    let before = config(&node, "701");
    // Two that are old, one of them protected.
    for (time, protected) in [("2020_01_01-00_00_00", false), ("2020_01_02-00_00_00", true)] {
        let path = dump(&node).join(format!("vzdump-lxc-701-{time}.tar"));
        fs::write(&path, "").unwrap();
        fs::write(path.with_extension("log"), "").unwrap();
        if protected {
            fs::write(format!("{}.protected", path.display()), "").unwrap();
        }
    }
    // What a killed backup left, and one of another container that may go on.
    for name in ["vzdump-lxc-701-2020_01_03-00_00_00.dat", "vzdump-lxc-7012-2020_01_03-00_00_00.dat"] {
        fs::write(dump(&node).join(name), "").unwrap();
    }
    fs::create_dir_all(dump(&node).join(".vzdump-701-x/etc")).unwrap();
    let ran = vzdump(&node, &["701", "--prune-backups", "keep-last=1"]);
    assert_eq!(ran.exit, 0, "{}", ran.out);
    assert!(
        ran.out.contains("INFO: prune older backups with retention: keep-last=1\nINFO: delete old backup '")
    );
    assert!(ran.out.contains("INFO: pruned 1 backup(s) not covered by keep-retention policy\n"));
    let exists = |name: &str| dump(&node).join(name).exists();
    assert!(
        !exists("vzdump-lxc-701-2020_01_01-00_00_00.tar")
            && !exists("vzdump-lxc-701-2020_01_01-00_00_00.log")
    );
    assert!(exists("vzdump-lxc-701-2020_01_02-00_00_00.tar"));
    // A volume that is missing: nothing stays but the log.
    let volume = node.root().join("vz/images/701/subvol-701-disk-0.subvol");
    fs::rename(&volume, volume.with_extension("away")).unwrap();
    let ran = vzdump(&node, &["701"]);
    assert_eq!((ran.exit, ran.err.as_str()), (255, "job errors\n"));
    let text =
        "ERROR: Backup of VM 701 failed - volume 'local:701/subvol-701-disk-0.subvol' does not exist\n";
    assert!(ran.out.contains(text), "{}", ran.out);
    assert_eq!(config(&node, "701"), before);
    let names =
        fs::read_dir(dump(&node)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let odd: Vec<String> = names.filter(|name| name.ends_with(".dat") || name.starts_with('.')).collect();
    assert_eq!(odd, ["vzdump-lxc-7012-2020_01_03-00_00_00.dat"]);
    for (words, text) in [
        (&["999"][..], "ERROR: Backup of VM 999 failed - unable to find VM '999'\n"),
        (&["701", "--dumpdir", "/no/such"], ""),
        (&["701", "--storage", "nosuch"], ""),
    ] {
        let ran = vzdump(&node, words);
        assert_eq!(ran.exit, 255, "{words:?}");
        assert!(ran.out.contains(text), "{}", ran.out);
    }
    fs::rename(volume.with_extension("away"), &volume).unwrap();
    assert_eq!(node.run(on(Verb::Set, "701").option("lock", "migrate")).exit, 0);
    let ran = vzdump(&node, &["701"]);
    assert!(ran.out.contains("ERROR: Backup of VM 701 failed - CT is locked (migrate)\n"), "{}", ran.out);
    assert!(config(&node, "701").contains("lock: migrate\n"));
}
