//! Backups and what is restored of them, with real tar, images and mounts, without starting anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pvect_core::{Call, Verb, Vmid};
use pvect_node::Output;

#[path = "../common/mod.rs"]
mod common;
mod restored;
mod tree;

use common::{NodeInProcess, Ran, archive};
use tree::{furnish, tree};

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
                .option("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01"),
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
