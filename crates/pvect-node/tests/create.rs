//! Create and destroy, with real images and mounts, without starting anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use pvect_core::{Call, Verb, Vmid};

mod common;

use common::{NodeInProcess, Ran, archive};

const TEMPLATE: &str = "local:vztmpl/alpine.tar";

fn create(vmid: &str, template: &str) -> Call {
    Call::on(Verb::Create, vmid.parse::<Vmid>().unwrap()).arg(template)
}

fn config(node: &NodeInProcess, vmid: &str) -> String {
    fs::read_to_string(node.root().join(format!("etc/pve/nodes/vm/lxc/{vmid}.conf"))).unwrap()
}

fn destroy(vmid: &str) -> Call {
    Call::on(Verb::Destroy, vmid.parse::<Vmid>().unwrap())
}

fn node(test: &str) -> Option<NodeInProcess> {
    let node = NodeInProcess::new(test)?;
    node.template("alpine.tar", &archive(1000));
    Some(node)
}

#[test]
fn what_a_start_says_is_in_the_log_of_the_create() {
    let Some(node) = node("create") else { return };
    let net = "name=eth0,bridge=lo,firewall=1";
    node.run(create("201", TEMPLATE).option("rootfs", "local:0").option("net0", net).option("start", "1"));
    let log = node.task_log("vzcreate");
    let line = "WARN: net0: firewall=1 does nothing on bridge 'lo', which this node did not make\n";
    assert!(log.contains(line), "{log}");
    node.run(Call::on(Verb::Stop, "201".parse::<Vmid>().unwrap()));
    node.run(destroy("201"));
}

#[test]
fn a_container_is_made_as_recorded_and_removed_without_a_trace() {
    let Some(node) = node("create") else { return };
    let ran = node.run(create("201", TEMPLATE).option("rootfs", "local:1"));
    assert_eq!((ran.exit, ran.text.as_str(), ran.err.as_str()), (0, "", ""), "{}", ran.out);
    let root = node.root().display();
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(
        lines[0],
        format!(
            "Formatting '{root}/vz/images/201/vm-201-disk-0.raw', fmt=raw size=1073741824 preallocation=off"
        )
    );
    assert_eq!(lines[1], "Creating filesystem with 262144 4k blocks and 65536 inodes");
    assert!(lines[2].starts_with("Filesystem UUID: "));
    assert_eq!(lines[3], "Superblock backups stored on blocks: ");
    assert_eq!(lines[4], "\t32768, 98304, 163840, 229376");
    assert_eq!(lines[5], format!("extracting archive '{root}/vz/template/cache/alpine.tar'"));
    assert!(lines[6].starts_with("Total bytes read: 10240 (10KiB, "), "{}", lines[6]);
    assert_eq!(lines[7..], ["Detected container architecture: amd64"]);
    assert_eq!(
        config(&node, "201"),
        "arch: amd64\nhostname: CT201\nmemory: 512\nostype: alpine\n\
         rootfs: local:201/vm-201-disk-0.raw,size=1G\nswap: 512\nunprivileged: 1\n"
    );
    let image = fs::metadata(node.root().join("vz/images/201/vm-201-disk-0.raw")).unwrap();
    assert_eq!((image.mode() & 0o7777, image.len()), (0o640, 1 << 30));
    assert!(image.blocks() * 512 < 100 << 20, "not sparse");
    let again = node.run(create("201", TEMPLATE));
    assert_eq!((again.exit, again.text.as_str()), (2, "CT 201 already exists on node 'vm'"));
    let gone = node.run(destroy("201"));
    assert_eq!(gone, Ran { exit: 0, text: String::new(), out: String::new(), err: String::new() });
    assert_eq!(node.leftovers(), Vec::<String>::new());
    let missing = node.run(destroy("201"));
    assert_eq!(
        (missing.exit, missing.text.as_str()),
        (2, "Configuration file 'nodes/vm/lxc/201.conf' does not exist")
    );
}

#[test]
fn options_are_stored_in_the_form_of_the_file() {
    let Some(node) = node("create") else { return };
    let call = create("202", TEMPLATE)
        .option("hostname", "alp1")
        .option("memory", "128")
        .option("swap", "64")
        .option("cores", "1")
        .option("net0", "name=eth0,bridge=vmbr0,ip=10.10.10.11/24,gw=10.10.10.1,hwaddr=BC:24:11:4B:99:7C")
        .option("rootfs", "local:0.0625")
        .option("mp0", "local:0,mp=/data")
        .option("onboot", "1")
        .option("tags", "web,prod")
        .option("description", "first line")
        .option("nameserver", "1.1.1.1")
        .option("searchdomain", "example.org")
        .option("features", "nesting=1")
        .option("ostype", "debian")
        .option("lock", "backup")
        .option("unused0", "local:1")
        .secret("password", "secret123".to_owned().into());
    let ran = node.run(call);
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    assert_eq!(ran.err, "ignoring 'unused0', cannot create/restore with unused volume\n");
    assert!(
        ran.out
            .contains("\ngot unexpected ostype (alpine != debian)\nDetected container architecture: amd64\n")
    );
    assert_eq!(
        config(&node, "202"),
        "#first line\narch: amd64\ncores: 1\nfeatures: nesting=1\nhostname: alp1\nlock: backup\nmemory: 128\n\
         mp0: local:202/subvol-202-disk-1.subvol,mp=/data,size=0T\nnameserver: 1.1.1.1\n\
         net0: name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:4B:99:7C,ip=10.10.10.11/24,type=veth\n\
         onboot: 1\nostype: alpine\nrootfs: local:202/vm-202-disk-0.raw,size=64M\nsearchdomain: example.org\n\
         swap: 64\ntags: prod;web\nunprivileged: 1\n"
    );
    let locked = node.run(destroy("202"));
    assert_eq!((locked.exit, locked.text.as_str()), (255, "CT is locked (backup)"));
    let log = walk(&node.root().join("log"));
    assert!(log.contains("extracting archive"), "no task log");
    assert!(!log.contains("secret123"), "the password is in a log");
}

/// The text of all files below a directory.
fn walk(path: &std::path::Path) -> String {
    let Ok(entries) = fs::read_dir(path) else { return String::new() };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path) } else { fs::read_to_string(path).unwrap_or_default() }
        })
        .collect()
}

#[test]
fn a_plain_directory_holds_what_was_unpacked() {
    let Some(node) = node("create") else { return };
    let keys = node.root().join("keys");
    fs::write(&keys, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@here\n").unwrap();
    let ran = node.run(
        create("203", TEMPLATE)
            .option("rootfs", "local:0")
            .option("ssh-public-keys", keys.to_str().unwrap())
            .secret("password", "secret123".to_owned().into()),
    );
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    let root = node.root().join("vz/images/203/subvol-203-disk-0.subvol");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert!(read("etc/shadow").starts_with("root:$6$rounds=5000$"));
    assert_eq!(read("etc/hostname"), "CT203\n");
    assert!(read("root/.ssh/authorized_keys").contains("me@here"));
    let shadow = fs::metadata(root.join("etc/shadow")).unwrap();
    assert_eq!((shadow.uid(), shadow.permissions().mode() & 0o7777), (100_000, 0o640));
    let before = config(&node, "203");
    let set = Call::on(Verb::Set, "203".parse::<Vmid>().unwrap());
    let refused = node.run(set.option("mp0", "/tmp,mp=/y,idmap=u:0:0:1"));
    assert_eq!(refused.text, "mp0: 'idmap' is not supported by the standalone node");
    assert_eq!(config(&node, "203"), before);
    assert_eq!(node.run(destroy("203")).exit, 0);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_template_may_be_named_by_a_relative_path() {
    let Some(node) = node("create") else { return };
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let template = node.template("own.tar", &archive(10)).canonicalize().unwrap();
    let relative = format!("./{up}{}", template.strip_prefix("/").unwrap().display());
    let ran = node.run(create("203", &relative).option("rootfs", "local:0"));
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    assert!(ran.out.contains(&format!("extracting archive '{}'\n", template.display())), "{}", ran.out);
    assert_eq!(node.run(destroy("203")).exit, 0);
}

#[test]
fn a_failed_create_leaves_nothing() {
    let Some(node) = node("create") else { return };
    let no_archive = node.template("notatar.tar.gz", b"hello\n").display().to_string();
    node.template("large.tar", &archive(64 << 20));
    let disk = |vmid: &str, template: &str| create(vmid, template).option("rootfs", "local:0.0625");
    for (call, text) in [
        (
            disk("203", "local:vztmpl/nosuch.tar.gz"),
            "unable to create CT 203 - volume 'local:vztmpl/nosuch.tar.gz' does not exist",
        ),
        (disk("203", "nosuchstore:vztmpl/x.tar.gz"), "storage 'nosuchstore' does not exist"),
        (
            disk("203", "/no/such/file.tar.gz"),
            "unable to create CT 203 - can't find file '/no/such/file.tar.gz'",
        ),
        (disk("203", "bogus"), "unable to create CT 203 - can't find file 'bogus'"),
        (create("203", TEMPLATE).option("rootfs", "nosuch:1"), "storage 'nosuch' does not exist"),
        (
            create("203", TEMPLATE).option("rootfs", "local:abc"),
            "unable to create CT 203 - unable to parse directory volume name 'abc'",
        ),
        (create("203", TEMPLATE).option("rootfs", "bogus"), "unable to parse volume ID 'bogus'"),
        (create("203", TEMPLATE).option("storage", "nosuch"), "storage 'nosuch' does not exist"),
        (
            create("203", TEMPLATE).option("mp0", "local:1,mp=/x"),
            "mount points configured, but 'rootfs' not set - aborting",
        ),
        (
            disk("203", TEMPLATE).option("pool", "nosuch"),
            "403 Permission check failed (pool 'nosuch' does not exist)",
        ),
        (
            disk("203", TEMPLATE).option("ssh-public-keys", "/no/such"),
            "can't open '/no/such' - No such file or directory",
        ),
        (
            disk("203", TEMPLATE)
                .option("mp0", "/no/such,mp=/x,ro=1")
                .option("mp1", "local:0,mp=/y,idmap=u:0:0:1"),
            "unable to create CT 203 - mp1: 'idmap' is not supported by the standalone node",
        ),
        (
            disk("203", TEMPLATE).option("mp0", "/no/such:32,mp=/x"),
            "unable to create CT 203 - directory '/no/such:32' does not exist",
        ),
        (
            disk("203", "local:vztmpl/large.tar"),
            "unable to create CT 203 - can't unpack './large' - No space left on device",
        ),
    ] {
        let ran = node.run(call);
        assert_eq!(ran.text, text, "{}", ran.out);
        assert_ne!(ran.exit, 0);
        assert_eq!(node.leftovers(), Vec::<String>::new(), "after: {text}");
    }
    let ran = node.run(disk("203", &no_archive));
    let wanted = format!("unable to create CT 203 - '{no_archive}' is not a template archive: ");
    assert!(ran.text.starts_with(&wanted), "{}", ran.text);
    assert_eq!(ran.out, "", "it is found before the disk is formatted");
    let ran = node.run(create("203", TEMPLATE).option("rootfs", "local:99999999"));
    assert!(ran.text.starts_with("unable to create CT 203 - a volume of "), "{}", ran.text);
    assert!(ran.text.contains("is larger than the file system of"), "{}", ran.text);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn protected_containers_and_foreign_volumes_stay() {
    let Some(node) = node("create") else { return };
    assert_eq!(node.run(create("204", TEMPLATE).option("rootfs", "local:0")).exit, 0);
    let shared = "local:204/subvol-204-disk-0.subvol,mp=/shared";
    let call =
        create("205", TEMPLATE).option("rootfs", "local:0").option("mp0", shared).flag("protection", true);
    let ran = node.run(call);
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    let ran = node.run(destroy("205"));
    assert_eq!((ran.exit, ran.text.as_str()), (25, "can't remove CT 205 - protection mode enabled"));
    let path = node.root().join("etc/pve/nodes/vm/lxc/205.conf");
    fs::write(&path, config(&node, "205").replace("protection: 1\n", "")).unwrap();
    assert_eq!(node.run(destroy("205")).exit, 0);
    assert!(node.root().join("vz/images/204/subvol-204-disk-0.subvol/etc").is_dir());
    assert_eq!(node.run(destroy("204")).exit, 0);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn the_busybox_template_can_be_used() {
    let Some(node) = NodeInProcess::new("create") else { return };
    if !std::path::Path::new("/bin/busybox").exists() {
        pvect_testkit::skipped("create", "busybox-static is not installed");
        return;
    }
    let template = pvect_node::template::build_busybox(&node.node, &mut |_| {}).unwrap();
    assert!(template.size > 100_000);
    assert_eq!(pvect_node::storage::templates(&node.node).unwrap(), std::slice::from_ref(&template));
    let ran = node.run(create("206", template.volume.as_str()).option("rootfs", "local:0"));
    assert_eq!(ran.exit, 0, "{} {}", ran.text, ran.out);
    assert!(ran.out.ends_with("\nDetected container architecture: amd64\n"), "{}", ran.out);
    assert!(config(&node, "206").contains("ostype: alpine\n"));
    let init = node.root().join("vz/images/206/subvol-206-disk-0.subvol/sbin/init");
    assert_eq!(fs::read_link(init).unwrap(), std::path::Path::new("/bin/busybox"));
}

#[test]
fn mount_points_stay_inside_of_the_root() {
    let Some(node) = node("create") else { return };
    let vmid: Vmid = "207".parse().unwrap();
    assert_eq!(node.run(create("207", TEMPLATE).option("rootfs", "local:0")).exit, 0);
    let subvol = node.root().join("vz/images/207/subvol-207-disk-0.subvol");
    let (outside, source) = (node.root().join("outside"), node.root().join("source"));
    for directory in [&outside, &source] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(source.join("file"), "of the host").unwrap();
    std::os::unix::fs::symlink(&outside, subvol.join("escape")).unwrap();
    let mut config = pvect_node::store::load(&node.node, vmid).unwrap().config;
    config.main.set("mp0", format!("{},mp=/escape/x,ro=1", source.display()));
    config.main.set("mp1", format!("{},mp=/a/b", source.display()));
    let root = node.node.layout.rootfs(vmid);
    {
        let _mounts = pvect_node::storage::PrivateMounts::enter().unwrap();
        let mount = |config: &pvect_core::ContainerConfig| {
            pvect_node::storage::mount_all(&node.node, vmid, config, &root)
        };
        // Neither outside nor where the symlink leads inside.
        let inside = subvol.join(outside.strip_prefix("/").unwrap());
        for _ in 0..2 {
            assert_eq!(mount(&config).unwrap_err().text, "symlink encountered at: /escape");
            fs::create_dir_all(&inside).unwrap();
        }
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
        config.main.set("mp0", format!("{},mp=/kept/x,ro=1", source.display()));
        mount(&config).unwrap();
        let seen = root.join("kept/x");
        assert_eq!(fs::read_to_string(seen.join("file")).unwrap(), "of the host");
        let refused = fs::write(seen.join("new"), "").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        fs::write(root.join("a/b/new"), "").unwrap();
        pvect_node::storage::unmount_all(&root).unwrap();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(source.join("new").exists());
    assert_eq!(node.run(destroy("207")).exit, 0);
    assert!(source.join("file").exists(), "the host's directory was emptied");
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
