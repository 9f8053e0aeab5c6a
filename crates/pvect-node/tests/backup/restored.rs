//! Backups that are restored, and those that cannot be: archives that were made by hand.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pvect_core::Verb;

use crate::common::{NodeInProcess, archive};
use crate::{config, dump, node, on};

/// A backup that plain GNU tar made of a directory with a container's files in vzdump's layout.
fn by_hand(node: &NodeInProcess, name: &str, text: &str, options: &[&str]) -> PathBuf {
    let stage = node.root().join("stage");
    let _ = fs::remove_dir_all(&stage);
    fs::create_dir_all(stage.join("etc/vzdump")).unwrap();
    fs::create_dir_all(stage.join("sbin")).unwrap();
    fs::write(stage.join("etc/vzdump/pct.conf"), text).unwrap();
    fs::write(stage.join("etc/vzdump/pct.fw"), "").unwrap();
    fs::write(stage.join("etc/alpine-release"), "3.20.3\n").unwrap();
    fs::write(stage.join("etc/securetty"), "tty9\n").unwrap();
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
fn what_a_start_says_is_in_the_log_of_the_restore() {
    let Some(node) = node("backup") else { return };
    let path = by_hand(&node, "vzdump-lxc-900-2026_01_01-00_00_00.tar", BY_HAND, &[]);
    let restore = on(Verb::Restore, "401").arg(path.to_str().unwrap());
    node.run(restore.option("net0", "name=eth0,bridge=lo,firewall=1").option("start", "1"));
    let log = node.task_log("vzrestore");
    let line = "WARN: net0: firewall=1 does nothing on bridge 'lo', which this node did not make\n";
    assert!(log.contains(line), "{log}");
    node.run(on(Verb::Stop, "401"));
    node.run(on(Verb::Destroy, "401"));
}

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
        // As after a template: root can log in on the terminals.
        let terminals = fs::read_to_string(root.join("etc/securetty")).unwrap();
        assert_eq!(terminals, "tty9\nconsole\ntty1\ntty2\ntty3\ntty4\n");
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
