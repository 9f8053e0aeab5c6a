//! resize, template, mount, unmount, df, fsck, fstrim, rescan and cpusets, word by word as they were recorded from a
//! real pct, on real images and mounts, with stopped containers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pvect_core::size::DiskSize;
use pvect_node::storage::usage::Usage;
use pvect_node::storage::{PrivateMounts, grow};
use pvect_node::{Output, image};

mod common;

use common::NodeInProcess;

/// What one command left: exit status, stdout, stderr. Paths of the root are `/R`.
type Ran = (u8, String, String);

fn pct(node: &NodeInProcess, line: &str) -> Ran {
    let words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = pvect_node::run(&node.node, &words, &mut Output::new(&mut out, &mut err));
    let root = node.root().display().to_string();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&root, "/R");
    (exit, text(out), text(err))
}

fn ran(exit: u8, out: &str, err: &str) -> Ran {
    (exit, out.to_owned(), err.to_owned())
}

fn conf(node: &NodeInProcess, vmid: &str) -> PathBuf {
    node.root().join(format!("etc/pve/nodes/vm/lxc/{vmid}.conf"))
}

fn config(node: &NodeInProcess, vmid: &str) -> String {
    fs::read_to_string(conf(node, vmid)).unwrap()
}

fn images(node: &NodeInProcess) -> PathBuf {
    node.root().join("vz/images")
}

/// A container with an empty root file system of this size in MiB.
fn container(node: &NodeInProcess, vmid: &str, mib: u64) {
    let directory = images(node).join(vmid);
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(format!("vm-{vmid}-disk-0.raw"));
    image::create(&path, DiskSize(mib << 20), (100_000, 100_000), &mut |_| {}).unwrap();
    let size = DiskSize(mib << 20);
    fs::write(
        conf(node, vmid),
        format!(
            "hostname: alp1\nmemory: 128\nrootfs: local:{vmid}/vm-{vmid}-disk-0.raw,size={size}\nunprivileged: 1\n"
        ),
    )
    .unwrap();
}

/// Numbers (and dates) of the file system's tools as `N`, the rest as it is.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for char in text.chars() {
        match char {
            '0'..='9' if masked.ends_with('N') => {}
            '0'..='9' => masked.push('N'),
            other => masked.push(other),
        }
    }
    masked
}

/// Removes what a failed test left, in the order in which it was made.
struct Cleanup<'a>(&'a NodeInProcess);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.0.root().join("lib/lxc")).unwrap().flatten() {
            let _ = pvect_node::storage::unmount_all(&entry.path().join("rootfs"));
        }
        for entry in fs::read_dir(images(self.0)).unwrap().flatten() {
            for file in fs::read_dir(entry.path()).unwrap().flatten() {
                pvect_node::storage::base::release(&file.path());
            }
        }
    }
}

/// One test at a time: a child that one thread starts holds the locks and directories of all threads until its exec.
static ALONE: Mutex<()> = Mutex::new(());

fn node() -> Option<(NodeInProcess, MutexGuard<'static, ()>)> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Some((NodeInProcess::new("volumes")?, alone))
}

#[test]
fn resize_of_a_stopped_container_is_as_recorded() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let (exit, out, err) = pct(&node, "resize 202 rootfs +32M");
    assert_eq!((exit, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.split_inclusive('\n').collect();
    assert_eq!(lines[0], "Image resized.\n");
    assert!(lines[1].starts_with("e2fsck 1."), "{out}");
    assert_eq!(
        lines[2..7].concat(),
        "Pass 1: Checking inodes, blocks, and sizes\nPass 2: Checking directory structure\n\
         Pass 3: Checking directory connectivity\nPass 4: Checking reference counts\n\
         Pass 5: Checking group summary information\n"
    );
    assert_eq!(
        masked(lines[7]),
        "/R/vz/images/N/vm-N-disk-N.raw: N/N files (N.N% non-contiguous), N/N blocks\n"
    );
    assert!(lines[8].starts_with("resize2fs 1."), "{out}");
    assert_eq!(
        lines[9..].concat(),
        "Resizing the filesystem on /R/vz/images/202/vm-202-disk-0.raw to 98304 (1k) blocks.\n\
         The filesystem on /R/vz/images/202/vm-202-disk-0.raw is now 98304 (1k) blocks long.\n\n"
    );
    assert!(config(&node, "202").contains("rootfs: local:202/vm-202-disk-0.raw,size=96M\n"));
    assert_eq!(fs::metadata(images(&node).join("202/vm-202-disk-0.raw")).unwrap().len(), 96 << 20);
    let index = fs::read_to_string(node.root().join("log/tasks/index")).unwrap();
    assert!(index.contains(":resize:202:root@pam: ") && index.ends_with(" OK\n"), "{index}");
    assert_eq!(pct(&node, "resize 202 rootfs 128M").0, 0);
    assert!(config(&node, "202").contains(",size=128M\n"));
    assert_eq!(pct(&node, "fsck 202 --force 1").0, 0);
}

#[test]
fn a_resize_that_cannot_be_is_refused_before_its_task() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let before = config(&node, "202");
    let missing = "Configuration file 'nodes/vm/lxc/999.conf' does not exist\n";
    for (line, exit, err) in [
        ("resize 202 rootfs 32M", 255, "unable to shrink disk size\n"),
        // Trap bytes-vs-gib: a plain number means bytes.
        ("resize 202 rootfs 8", 255, "unable to shrink disk size\n"),
        ("resize 202 rootfs 64M", 255, "disk is already at specified size\n"),
        ("resize 202 rootfs +0", 255, "disk is already at specified size\n"),
        ("resize 202 rootfs", 2, "400 not enough arguments\npct resize <vmid> <disk> <size> [OPTIONS]\n"),
        (
            "resize 202 mp9 +1G",
            255,
            "format error\nvolume: property is missing and it is not optional\n\
             mp: property is missing and it is not optional\n",
        ),
        (
            "resize 202 rootfs abc",
            2,
            "400 Parameter verification failed.\nsize: value does not match the regex pattern\n\
             pct resize <vmid> <disk> <size> [OPTIONS]\n",
        ),
        ("resize 999 rootfs +1G", 2, missing),
        (
            "resize 202 rootfs +1M --digest da39a3ee5e6b4b0d3255bfef95601890afd80709",
            255,
            "detected modified configuration - file changed by other user? Try again.\n",
        ),
    ] {
        assert_eq!(pct(&node, line), ran(exit, "", err), "{line}");
    }
    let (exit, out, err) = pct(&node, "resize 202 bogus +1G");
    assert_eq!((exit, out.as_str()), (2, ""));
    assert!(err.starts_with(
        "400 Parameter verification failed.\ndisk: value 'bogus' does not have a value in the enumeration 'rootfs, mp0"
    ));
    fs::write(
        conf(&node, "202"),
        format!("{before}mp0: local:203/vm-203-disk-0.raw,mp=/a\nmp1: /srv,mp=/b\n"),
    )
    .unwrap();
    assert_eq!(
        pct(&node, "resize 202 mp0 +1M"),
        ran(255, "", "can't resize mount point owned by another container (203)\n")
    );
    assert_eq!(pct(&node, "resize 202 mp1 +1M"), ran(255, "", "unable to parse volume ID '/srv'\n"));
    fs::write(conf(&node, "202"), &before).unwrap();
    assert_eq!(fs::metadata(images(&node).join("202/vm-202-disk-0.raw")).unwrap().len(), 64 << 20);
    assert!(!node.root().join("log/tasks/index").exists());
}

#[test]
fn a_failed_task_exits_with_0_and_a_failed_resize2fs_is_a_warning() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    fs::create_dir(images(&node).join("202/subvol-202-disk-1.subvol")).unwrap();
    let before = config(&node, "202");
    fs::write(conf(&node, "202"), format!("{before}mp0: local:202/subvol-202-disk-1.subvol,mp=/a,size=0T\n"))
        .unwrap();
    // Trap exit-zero.
    assert_eq!(pct(&node, "resize 202 mp0 1G"), ran(0, "", "can't resize this image format\n"));
    let index = fs::read_to_string(node.root().join("log/tasks/index")).unwrap();
    assert!(index.ends_with(" can't resize this image format\n"), "{index}");
    let image = images(&node).join("202/vm-202-disk-0.raw");
    fs::write(&image, vec![0_u8; 1 << 20]).unwrap();
    let (exit, out, err) = pct(&node, "resize 202 rootfs 2M");
    assert_eq!((exit, err.as_str()), (0, ""));
    assert!(out.starts_with("Image resized.\ne2fsck "), "{out}");
    assert!(
        out.ends_with(
            "Failed to update the container's filesystem: command 'e2fsck -f -y \
             /R/vz/images/202/vm-202-disk-0.raw' failed: exit code 8\n\n"
        ),
        "{out}"
    );
    assert!(config(&node, "202").contains("disk-0.raw,size=2M\n"));
}

#[test]
fn locked_containers_are_left_alone_as_recorded() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    let text = "hostname: lck\nlock: backup\nmemory: 128\nrootfs: local:210/vm-210-disk-0.raw,size=1G\n";
    fs::write(conf(&node, "210"), text).unwrap();
    for (line, exit, err) in [
        ("resize 210 rootfs +1G", 255, "CT is locked (backup)\n"),
        ("template 210", 255, "CT is locked (backup)\n"),
        ("mount 210", 255, "CT is locked (backup)\n"),
        ("unmount 210", 255, "found lock 'backup' trying to remove 'mounted' lock\n"),
        ("fsck 210", 2, "volume 'local:210/vm-210-disk-0.raw' does not exist\n"),
        ("fstrim 210", 255, "CT is locked (backup)\n"),
        ("df 210", 255, "210 doesn't exist\nCT is locked (backup)\n"),
    ] {
        assert_eq!(pct(&node, line), ran(exit, "", err), "{line}");
    }
    assert_eq!(pct(&node, "rescan"), ran(255, "rescan volumes...\n", "CT is locked (backup)\n"));
    assert_eq!(config(&node, "210"), text);
    assert_eq!(pct(&node, "unlock 210"), ran(0, "", ""));
    assert_eq!(pct(&node, "mount 210"), ran(2, "", "volume 'local:210/vm-210-disk-0.raw' does not exist\n"));
    assert!(config(&node, "210").contains("lock: mounted\n"));
    assert_eq!(pct(&node, "unmount 210"), ran(0, "", ""));
    // A trim that cannot be is told, no more.
    assert_eq!(pct(&node, "fstrim 210"), ran(0, "", "volume 'local:210/vm-210-disk-0.raw' does not exist\n"));
    assert!(!config(&node, "210").contains("lock"));
}

#[test]
fn mount_and_unmount_are_as_recorded() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    assert_eq!(pct(&node, "mount 202"), ran(0, "mounted CT 202 in '/R/lib/lxc/202/rootfs'\n", ""));
    assert!(node.root().join("lib/lxc/202/rootfs/lost+found").is_dir());
    assert_eq!(pct(&node, "mount 202"), ran(255, "", "CT is locked (mounted)\n"));
    assert_eq!(pct(&node, "fstrim 202"), ran(255, "", "CT is locked (mounted)\n"));
    assert!(config(&node, "202").contains("lock: mounted\n"));
    assert_eq!(pct(&node, "unmount 202"), ran(0, "", ""));
    assert_eq!(pct(&node, "unmount 202"), ran(255, "", "no lock found trying to remove 'mounted'  lock\n"));
    for verb in ["mount", "unmount", "template", "fsck", "fstrim"] {
        let text = "Configuration file 'nodes/vm/lxc/999.conf' does not exist\n";
        assert_eq!(pct(&node, &format!("{verb} 999")), ran(2, "", text), "{verb}");
    }
    // Where udev runs, it may look at the loop device once more.
    let left = || node.leftovers().into_iter().filter(|left| left.contains("disk-0")).collect::<Vec<_>>();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !left().is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(left(), Vec::<String>::new());
}

#[test]
fn df_of_a_stopped_container_mounts_it_and_leaves_nothing() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let directory = images(&node).join("202/subvol-202-disk-1.subvol");
    fs::create_dir(&directory).unwrap();
    let mount_point = "mp0: local:202/subvol-202-disk-1.subvol,mp=/mnt/data,size=0T\n";
    let before = config(&node, "202").replace("rootfs", &format!("{mount_point}rootfs"));
    fs::write(conf(&node, "202"), &before).unwrap();
    let (exit, out, err) = pct(&node, "df 202");
    // Never started: LXC does not know it.
    assert_eq!((exit, err.as_str()), (0, "202 doesn't exist\n"));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    assert_eq!(lines[0], ["MP", "Volume", "Size", "Used", "Avail", "Use%", "Path"]);
    assert_eq!((lines[1][0], lines[1][1], lines[1][6]), ("rootfs", "local:202/vm-202-disk-0.raw", "/"));
    assert!(
        lines[1][2].ends_with('M') && lines[1][3].ends_with('K') && lines[1][5].starts_with("0."),
        "{out}"
    );
    assert_eq!((lines[2][0], lines[2][1]), ("mp0", "local:202/subvol-202-disk-1.subvol"));
    assert_eq!(lines[2][6], "/mnt/data");
    let path = |line: &str| line.find(" /").unwrap();
    let raw: Vec<&str> = out.lines().collect();
    assert_eq!(path(raw[1]), path(raw[2]), "{out}");
    assert_eq!(config(&node, "202"), before);
    let left = node.leftovers();
    assert!(left.iter().all(|left| !left.contains("disk-0")), "{left:?}");
    fs::write(node.root().join("lib/lxc/202/config"), "").unwrap();
    assert_eq!(pct(&node, "df 202").2, "");
    assert_eq!(
        pct(&node, "df 999"),
        ran(2, "", "999 doesn't exist\nConfiguration file 'nodes/vm/lxc/999.conf' does not exist\n")
    );
}

#[test]
fn fsck_is_as_recorded() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let (exit, out, err) = pct(&node, "fsck 202");
    assert_eq!((exit, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("fsck from util-linux 2."), "{out}");
    assert_eq!(masked(lines[1]), "/R/vz/images/N/vm-N-disk-N.raw: clean, N/N files, N/N blocks");
    let forced = pct(&node, "fsck 202 --device rootfs --force 1");
    assert_eq!(forced.0, 0);
    assert!(!forced.1.contains("clean"), "{}", forced.1);
    assert_eq!(
        pct(&node, "fsck 202 --device mp0"),
        ran(255, "", "cannot run command on non-existing mount point mp0\n")
    );
    let before = config(&node, "202");
    let more = "mp0: /srv,mp=/b\nmp1: local:202/subvol-202-disk-1.subvol,mp=/c\n";
    fs::write(conf(&node, "202"), format!("{before}{more}")).unwrap();
    assert_eq!(
        pct(&node, "fsck 202 --device mp0"),
        ran(255, "", "path '/srv' does not point to a block device\n")
    );
    assert_eq!(
        pct(&node, "fsck 202 --device mp1"),
        ran(255, "", "unable to run fsck for 'local:202/subvol-202-disk-1.subvol' (format == subvol)\n")
    );
    fs::write(images(&node).join("202/vm-202-disk-0.raw"), vec![0_u8; 1 << 20]).unwrap();
    let (exit, _, err) = pct(&node, "fsck 202");
    assert_eq!(exit, 255);
    let last = "command 'fsck -a -l /R/vz/images/202/vm-202-disk-0.raw' failed: exit code 8\n";
    assert!(err.ends_with(last), "{err}");
}

#[test]
fn fstrim_gives_back_what_is_free() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let image = images(&node).join("202/vm-202-disk-1.raw");
    image::create(&image, DiskSize(64 << 20), (100_000, 100_000), &mut |_| {}).unwrap();
    let before = config(&node, "202") + "mp0: local:202/vm-202-disk-1.raw,mp=/mnt/data,size=64M\n";
    fs::write(conf(&node, "202"), &before).unwrap();
    let (exit, out, err) = pct(&node, "fstrim 202");
    assert_eq!((exit, err.as_str()), (0, ""));
    assert_eq!(
        masked(&out),
        "/R/lib/lxc/N/rootfs/: N.N MiB (N bytes) trimmed\n/R/lib/lxc/N/rootfs/mnt/data: N.N MiB (N bytes) trimmed\n"
    );
    assert_eq!(pct(&node, "fstrim 202 --ignore-mountpoints 1").1.lines().count(), 1);
    fs::write(conf(&node, "202"), before.replace("mp=/mnt/data", "mp=/mnt/data,ro=1")).unwrap();
    assert_eq!(pct(&node, "fstrim 202").1.lines().count(), 1);
    assert!(!config(&node, "202").contains("lock"));
    let left = node.leftovers();
    assert!(left.iter().all(|left| !left.contains("disk-")), "{left:?}");
}

#[test]
fn rescan_adds_volumes_and_sizes() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    assert_eq!(pct(&node, "rescan"), ran(0, "rescan volumes...\n", ""));
    container(&node, "202", 64);
    container(&node, "203", 64);
    for line in ["rescan", "rescan --vmid 202"] {
        assert_eq!(pct(&node, line), ran(0, "rescan volumes...\n", ""));
    }
    let dry = "NOTE: running in dry-run mode, won't write changes out!\nrescan volumes...\n";
    assert_eq!(pct(&node, "rescan --dryrun 1"), ran(0, dry, ""));
    assert_eq!(
        pct(&node, "rescan --vmid 999"),
        ran(2, "rescan volumes...\n", "Configuration file 'nodes/vm/lxc/999.conf' does not exist\n")
    );
    let before = config(&node, "202");
    let directory = images(&node).join("202");
    for name in ["vm-202-disk-1.raw", "vm-202-disk-2.raw", "vm-202-disk-3.raw", "notes.txt"] {
        fs::write(directory.join(name), "").unwrap();
    }
    fs::File::options()
        .write(true)
        .open(directory.join("vm-202-disk-0.raw"))
        .unwrap()
        .set_len(96 << 20)
        .unwrap();
    // In use although the main section does not name it.
    let snapshot = "\n[s1]\nmp0: local:202/vm-202-disk-3.raw,mp=/a\nrootfs: local:202/vm-202-disk-0.raw,size=64M\n\
        snaptime: 1\n";
    fs::write(conf(&node, "202"), format!("{before}unused0: local:202/vm-202-disk-2.raw\n{snapshot}"))
        .unwrap();
    let found = "CT 202: add unreferenced volume 'local:202/vm-202-disk-1.raw' as 'unused1' to config.\n\
        CT 202: updated volume size of 'local:202/vm-202-disk-0.raw' in config.\n";
    let unchanged = config(&node, "202");
    assert_eq!(pct(&node, "rescan --dryrun 1"), ran(0, &format!("{dry}{found}"), ""));
    assert_eq!(config(&node, "202"), unchanged);
    assert_eq!(pct(&node, "rescan"), ran(0, &format!("rescan volumes...\n{found}"), ""));
    let after = config(&node, "202");
    assert!(
        after.contains("unused0: local:202/vm-202-disk-2.raw\nunused1: local:202/vm-202-disk-1.raw\n"),
        "{after}"
    );
    assert!(
        after.contains("rootfs: local:202/vm-202-disk-0.raw,size=96M\n") && after.contains(",size=64M\n")
    );
    assert_eq!(pct(&node, "rescan"), ran(0, "rescan volumes...\n", ""));
}

#[test]
fn a_template_is_made_once_and_protected() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    fs::create_dir_all(node.root().join("lib/lxc/202")).unwrap();
    fs::write(node.root().join("lib/lxc/202/config"), "").unwrap();
    assert_eq!(pct(&node, "template 202"), ran(0, "", ""));
    assert_eq!(
        config(&node, "202"),
        "hostname: alp1\nmemory: 128\nrootfs: local:202/base-202-disk-0.raw,size=64M\ntemplate: 1\nunprivileged: 1\n"
    );
    let base = images(&node).join("202/base-202-disk-0.raw");
    assert_eq!(fs::metadata(&base).unwrap().permissions().mode() & 0o7777, 0o444);
    assert!(!images(&node).join("202/vm-202-disk-0.raw").exists());
    assert!(!node.root().join("lib/lxc/202/config").exists());
    let index = fs::read_to_string(node.root().join("log/tasks/index")).unwrap();
    assert!(index.contains(":vztemplate:202:root@pam: ") && index.ends_with(" OK\n"), "{index}");
    assert_eq!(pct(&node, "template 202"), ran(255, "", "you can't convert a template to a template\n"));
    if fs::File::options().write(true).open(&base).is_err() {
        assert_eq!(
            pct(&node, "mount 202"),
            ran(
                1,
                "",
                "losetup: /R/vz/images/202/base-202-disk-0.raw: failed to set up loop device: Operation not \
                 permitted\nmounting container failed\ncommand 'losetup --show -f \
                 /R/vz/images/202/base-202-disk-0.raw' failed: exit code 1\n"
            )
        );
        assert!(config(&node, "202").contains("lock: mounted\n"));
        assert_eq!(pct(&node, "unlock 202"), ran(0, "", ""));
    } else {
        pvect_testkit::skipped("a_template_is_made_once_and_protected", "no immutable files here");
    }
    assert_eq!(pct(&node, "destroy 202"), ran(0, "", ""));
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_container_that_cannot_be_a_template_stays() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let before = config(&node, "202");
    fs::write(conf(&node, "202"), format!("{before}\n[s1]\nsnaptime: 1\n")).unwrap();
    assert_eq!(
        pct(&node, "template 202"),
        ran(255, "", "unable to create template, because CT contains snapshots\n")
    );
    fs::write(conf(&node, "202"), format!("{before}mp0: /srv,mp=/b\n")).unwrap();
    // Trap exit-zero.
    assert_eq!(pct(&node, "template 202"), ran(0, "", "Template feature is not available for '/srv'\n"));
    assert!(images(&node).join("202/vm-202-disk-0.raw").exists());
    assert_eq!(config(&node, "202"), format!("{before}mp0: /srv,mp=/b\n"));
}

#[test]
fn cpusets_without_containers_are_as_recorded() {
    let Some((node, _alone)) = node() else { return };
    assert_eq!(pct(&node, "cpusets"), ran(0, "no running containers\n", ""));
    container(&node, "202", 64);
    assert_eq!(pct(&node, "cpusets"), ran(0, "no running containers\n", ""));
}

#[test]
fn what_was_cut_short_is_taken_up_again() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let image = images(&node).join("202/vm-202-disk-0.raw");
    // A resize after the file was made larger, before the configuration was written.
    fs::File::options().write(true).open(&image).unwrap().set_len(96 << 20).unwrap();
    let (exit, out, _) = pct(&node, "resize 202 rootfs 96M");
    assert!(exit == 0 && out.contains(" is now 98304 (1k) blocks long.\n"), "{out}");
    assert_eq!(pct(&node, "resize 202 rootfs 96M").2, "disk is already at specified size\n");
    // And after both.
    fs::File::options().write(true).open(&image).unwrap().set_len(128 << 20).unwrap();
    fs::write(conf(&node, "202"), config(&node, "202").replace("size=96M", "size=128M")).unwrap();
    let (exit, out, _) = pct(&node, "resize 202 rootfs 128M");
    assert!(exit == 0 && out.contains(" is now 131072 (1k) blocks long.\n"), "{out}");
    assert_eq!(pct(&node, "resize 202 rootfs 128M").2, "disk is already at specified size\n");
    // A template after the configuration was written, before the old name went.
    let base = images(&node).join("202/base-202-disk-0.raw");
    fs::hard_link(&image, &base).unwrap();
    assert_eq!(pct(&node, "template 202"), ran(0, "", ""));
    assert!(config(&node, "202").contains("base-202-disk-0.raw,size=128M\ntemplate: 1\n"));
    assert!(base.exists() && !image.exists());
}

#[test]
fn warnings_of_the_configuration_are_told_at_each_reading() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let before = config(&node, "202");
    fs::write(conf(&node, "202"), format!("{before}not a line\n")).unwrap();
    let (exit, out, err) = pct(&node, "mount 202");
    assert_eq!((exit, out.lines().count()), (0, 1));
    assert!(err.starts_with("vm 202 - ") && err.contains("not a line"), "{err}");
    assert_eq!(pct(&node, "unmount 202"), ran(0, "", ""));
}

#[test]
fn an_image_in_use_grows() {
    let Some((node, _alone)) = node() else { return };
    let _cleanup = Cleanup(&node);
    container(&node, "202", 64);
    let image = images(&node).join("202/vm-202-disk-0.raw");
    let (used, place) = (node.root().join("used"), node.root().join("place"));
    fs::create_dir(&used).unwrap();
    // Where the container's monitor has it.
    let _mounts = PrivateMounts::enter().unwrap();
    image::mount(&image, &used, &[]).unwrap();
    let free = || Usage::of(fs::File::open(&used).unwrap()).unwrap().total;
    let before = free();
    grow::grow_image(&node.node, &"local:202/vm-202-disk-0.raw".parse().unwrap(), 96 << 20).unwrap();
    let mut lines = Vec::new();
    let grown = grow::grow_mounted(&image, &place, &mut |line| lines.push(line.to_owned()));
    let text = lines.join("\n");
    assert!(lines[0].starts_with("resize2fs 1.") && text.contains("on-line resizing required"), "{text}");
    let device = text.split("Filesystem at /dev/").nth(1).unwrap().split(' ').next().unwrap();
    let sectors = fs::read_to_string(format!("/sys/block/{device}/size")).unwrap();
    assert_eq!(sectors.trim(), ((96_u64 << 20) / 512).to_string());
    match grown {
        Ok(()) => assert!(free() > before + (20 << 20)),
        // The kernel asks for CAP_SYS_RESOURCE.
        Err(failure) => {
            let expected = format!("command 'resize2fs /dev/{device}' failed: exit code 1");
            assert_eq!(failure.text, expected, "{text}");
            assert!(text.contains("Permission denied"), "{text}");
            pvect_testkit::skipped(
                "an_image_in_use_grows",
                "the kernel refuses to grow mounted file systems here",
            );
        }
    }
    pvect_node::storage::unmount_all(&used).unwrap();
}
