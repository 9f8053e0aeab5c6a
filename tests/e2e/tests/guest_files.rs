//! The files that the node writes in a guest: what a guest's symlinks and mounts can do to files of the host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pvect_testkit::{TestNode, node_or_skip};

const SECRET: &str = "auto secret\n# a key that only the host's root may read\n";

/// A directory of the host with files that only its root may read.
struct Shared(PathBuf);

impl Shared {
    fn below(node: &TestNode) -> Self {
        let shared = node.root().join("shared");
        fs::create_dir(&shared).expect("a directory");
        for name in ["key", "hostname", "interfaces"] {
            let path = shared.join(name);
            fs::write(&path, SECRET).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        Self(shared)
    }

    /// Everything of it that a set-up could change.
    fn state(&self) -> BTreeMap<PathBuf, (u32, u32, i64, i64, u64)> {
        let entries =
            fs::read_dir(&self.0).expect("the directory").map(|entry| entry.expect("an entry").path());
        let of = |path: PathBuf| {
            let meta = fs::symlink_metadata(&path).expect("an entry");
            (path, (meta.uid(), meta.mode(), meta.mtime(), meta.mtime_nsec(), meta.ino()))
        };
        entries.chain([self.0.clone()]).map(of).collect()
    }

    fn mount_point(&self, options: &str) -> String {
        format!("{},mp=/mnt/shared{options}", self.0.display())
    }
}

/// Where a guest's files are while it is mounted.
fn root_of(node: &TestNode, vmid: &str) -> PathBuf {
    node.root().join("lib/lxc").join(vmid).join("rootfs")
}

/// Every file of a stopped guest's root volume that holds the secret.
fn leaks(node: &TestNode, vmid: &str) -> Vec<PathBuf> {
    fn search(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() && !entry.path().ends_with("mnt/shared") {
                search(&entry.path(), found);
            } else if kind.is_file()
                && fs::read(entry.path()).expect("a file").windows(11).any(|part| part == b"auto secret")
            {
                found.push(entry.path());
            }
        }
    }
    node.pct(&["mount", vmid]).ok();
    let mut found = Vec::new();
    search(&root_of(node, vmid), &mut found);
    node.pct(&["unmount", vmid]).ok();
    found
}

fn inside(node: &TestNode, vmid: &str, script: &str) -> String {
    node.pct(&["exec", vmid, "--", "sh", "-c", script]).ok()
}

fn create(node: &TestNode, vmid: &str, unprivileged: &str, more: &[&str]) {
    let template = node.busybox();
    let words = [
        &["create", vmid, &template, "--rootfs", "local:0.25", "--memory", "64", "--hostname", "guest"][..],
        &["--unprivileged", unprivileged],
        more,
    ];
    node.pct(&words.concat()).ok();
}

#[test]
fn a_start_gives_away_and_changes_nothing_of_a_bind_mount() {
    let node = node_or_skip!();
    let shared = Shared::below(&node);
    let before = shared.state();
    let point = shared.mount_point("");
    for (vmid, unprivileged) in [("101", "1"), ("102", "0")] {
        create(&node, vmid, unprivileged, &["--mp0", &point]);
        node.pct(&["start", vmid]).ok();
        // It is mounted, and of these files the guest cannot read those of the host's root.
        let listed = inside(&node, vmid, "ls /mnt/shared");
        assert!(listed.contains("key"), "{listed}");
        let links = "cd /etc && ln -sf /mnt/shared/key inittab && ln -sf /mnt/shared/key hosts && rm -r network && \
                     ln -s /mnt/shared network && ln -sf ../mnt/shared/key resolv.conf";
        inside(&node, vmid, links);
        node.pct(&["stop", vmid]).ok();
        node.pct(&["start", vmid]).ok();
        let read = "for f in inittab hosts resolv.conf; do [ -L /etc/$f ] || cat /etc/$f; done";
        let text = inside(&node, vmid, read);
        assert!(text.contains("127.0.1.1 guest") && !text.contains("secret"), "{text}");
        // Now the whole directory, and read only.
        inside(&node, vmid, "mv /etc /etc.old && ln -s mnt/shared /etc");
        node.pct(&["stop", vmid]).ok();
        assert_eq!(leaks(&node, vmid), Vec::<PathBuf>::new());
        for options in ["", ",ro=1"] {
            node.pct(&["set", vmid, "--mp0", &shared.mount_point(options)]).ok();
            node.pct(&["start", vmid]).ok();
            node.pct(&["stop", vmid]).ok();
            assert_eq!(shared.state(), before, "{options}");
        }
        assert_eq!(leaks(&node, vmid), Vec::<PathBuf>::new());
        node.pct(&["destroy", vmid]).ok();
    }
    assert_eq!(shared.state(), before);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_running_guest_is_written_to_in_its_own_volume_only() {
    let node = node_or_skip!();
    let shared = Shared::below(&node);
    let before = shared.state();
    let (bridge, point) = (node.bridge(), shared.mount_point(""));
    let net = |address: &str| format!("name=eth0,bridge={bridge},hwaddr=BC:24:11:00:00:01,ip={address}");
    for (vmid, unprivileged) in [("101", "1"), ("102", "0")] {
        create(&node, vmid, unprivileged, &["--mp0", &point, "--net0", &net("10.99.0.5/24")]);
        node.pct(&["start", vmid]).ok();
        // An honest guest has its file at once, its own.
        node.pct(&["set", vmid, "--net0", &net("10.99.0.6/24")]).ok();
        let text =
            inside(&node, vmid, "cat /etc/network/interfaces; stat -c %u:%g:%a /etc/network/interfaces");
        assert!(text.contains("address 10.99.0.6\n") && text.trim_end().ends_with("0:0:644"), "{text}");
        // By a symlink into the bind mount.
        inside(&node, vmid, "mv /etc/network /etc/net.old && ln -s /mnt/shared /etc/network");
        node.pct(&["set", vmid, "--net0", &net("10.99.0.7/24")]).ok();
        assert_eq!(shared.state(), before, "{vmid}");
        inside(&node, vmid, "rm /etc/network && mv /etc/net.old /etc/network");
        // By a mount of the guest over its own directory, and over its root.
        inside(&node, vmid, "mount --bind /mnt/shared /etc/network");
        node.pct(&["set", vmid, "--net0", &net("10.99.0.8/24")]).ok();
        assert_eq!(shared.state(), before, "{vmid}");
        let text = inside(&node, vmid, "umount /etc/network && cat /etc/network/interfaces");
        assert!(text.contains("address 10.99.0.8\n") && !text.contains("secret"), "{text}");
        node.pct(&["stop", vmid]).ok();
        assert_eq!(leaks(&node, vmid), Vec::<PathBuf>::new());
        node.pct(&["destroy", vmid]).ok();
    }
    assert_eq!(shared.state(), before);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_file_system_of_a_running_guest_that_never_answers_holds_nobody_up() {
    let node = node_or_skip!();
    let bridge = node.bridge();
    let net = |address: &str| format!("name=eth0,bridge={bridge},hwaddr=BC:24:11:00:00:01,ip={address}");
    create(&node, "101", "0", &["--net0", &net("10.99.0.5/24")]);
    node.pct(&["start", "101"]).ok();
    // Nobody reads from the device: whoever looks below the mount waits.
    let script = "mknod /fuse c 10 229 && exec 3<>/fuse && \
                  mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none /etc && \
                  (sleep 600 >/dev/null 2>&1 </dev/null &)";
    let mounted = node.pct(&["exec", "101", "--", "sh", "-c", script]);
    if mounted.status != 0 {
        pvect_testkit::skipped(module_path!(), &format!("a guest mounts no FUSE here: {}", mounted.stderr));
        return;
    }
    let words = ["pct", "set", "101", "--net0", &net("10.99.0.6/24")];
    let mut set = node.command(words).spawn().expect("pvect");
    let deadline = Instant::now() + Duration::from_secs(60);
    let ended = loop {
        match set.try_wait().expect("a child") {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            ended => break ended,
        }
    };
    let _ = set.kill();
    let _ = set.wait();
    node.pct(&["stop", "101"]).ok();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    node.pct(&["mount", "101"]).ok();
    let interfaces = fs::read_to_string(root_of(&node, "101").join("etc/network/interfaces"));
    node.pct(&["unmount", "101"]).ok();
    let interfaces = interfaces.expect("the network");
    assert!(interfaces.contains("address 10.99.0.6\n"), "{interfaces}");
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

/// A block device of the host with a file system of its own; it goes with this.
struct Device(PathBuf);

impl Device {
    fn with_secret(node: &TestNode) -> Self {
        let image = node.root().join("device.img");
        let content = node.root().join("device");
        fs::create_dir(&content).expect("a directory");
        fs::write(content.join("key"), SECRET).expect("a file");
        fs::set_permissions(content.join("key"), fs::Permissions::from_mode(0o600)).expect("a mode");
        tool("truncate", &["-s", "16M", text(&image)]);
        tool("mkfs.ext4", &["-q", "-d", text(&content), text(&image)]);
        Self(tool("losetup", &["--show", "-f", text(&image)]).trim().into())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

fn tool(name: &str, words: &[&str]) -> String {
    let output = Command::new(name).args(words).output().expect("a program");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

#[test]
fn a_create_and_a_restore_give_away_nothing_of_a_device() {
    let node = node_or_skip!();
    let device = Device::with_secret(&node);
    let templates = node.root().join("vz/template/cache");
    let honest = node.busybox();
    let honest = templates.join(honest.rsplit('/').next().expect("a name"));
    // The busybox template with links into the device, and a backup whose rules of the firewall are such a link.
    let tree = node.root().join("tree");
    fs::create_dir(&tree).expect("a directory");
    tool("tar", &["-C", text(&tree), "-xpf", text(&honest)]);
    for name in ["hosts", "inittab"] {
        fs::remove_file(tree.join("etc").join(name)).expect("a file");
        std::os::unix::fs::symlink("/data/key", tree.join("etc").join(name)).expect("a link");
    }
    tool("tar", &["-C", text(&tree), "-cf", text(&templates.join("links.tar")), "."]);
    fs::create_dir(tree.join("etc/vzdump")).expect("a directory");
    let config = "arch: amd64\nostype: alpine\nrootfs: local:109/vm-109-disk-0.raw,size=256M\n";
    fs::write(tree.join("etc/vzdump/pct.conf"), config).expect("a configuration");
    std::os::unix::fs::symlink("/data/key", tree.join("etc/vzdump/pct.fw")).expect("a link");
    let backup = templates.join("vzdump-lxc-109-2026_01_01-00_00_00.tar");
    tool("tar", &["-C", text(&tree), "-cf", text(&backup), "."]);
    let point = format!("{},mp=/data", text(&device.0));
    for unprivileged in ["1", "0"] {
        let more = ["--rootfs", "local:0.25", "--mp0", &point, "--unprivileged", unprivileged];
        let create = [&["create", "101", "local:vztmpl/links.tar"][..], &more].concat();
        node.pct(&create).ok();
        let restore = [&["restore", "102", text(&backup)][..], &more].concat();
        node.pct(&restore).ok();
        for vmid in ["101", "102"] {
            let rules = node.root().join(format!("etc/pve/firewall/{vmid}.fw"));
            assert!(!rules.exists(), "{}", fs::read_to_string(&rules).expect("the rules"));
            node.pct(&["set", vmid, "--delete", "mp0"]).ok();
            assert_eq!(leaks(&node, vmid), Vec::<PathBuf>::new(), "{vmid} {unprivileged}");
            node.pct(&["destroy", vmid]).ok();
        }
    }
    // Unpacking may write to it, as the real one does; setting up has not.
    let mounted = node.root().join("device");
    tool("mount", &["-o", "ro", text(&device.0), text(&mounted)]);
    let (mode, key) = (fs::metadata(mounted.join("key")), fs::read_to_string(mounted.join("key")));
    tool("umount", &[text(&mounted)]);
    assert_eq!((mode.expect("the key").mode() & 0o7777, key.expect("the key").as_str()), (0o600, SECRET));
    drop(device);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
