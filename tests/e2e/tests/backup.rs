//! Backups of running containers, restore, and the start and stop of a whole node.

use std::time::{Duration, Instant};

use pvect_testkit::{TestNode, node_or_skip};

/// A node with a running container 101 that has files to lose.
fn prepared(node: &TestNode) {
    let template = node.busybox();
    node.pvect(&[
        "create",
        "101",
        &template,
        "--rootfs",
        "local:0.0625",
        "--memory",
        "64",
        "--hostname",
        "web",
        "-q",
    ])
    .ok();
    node.pvect(&["start", "101"]).ok();
    let script = "mkdir /root/d; echo one >/root/d/f; ln /root/d/f /root/hard; ln -s /etc /root/soft; \
                  chown 7:8 /root/d/f; chmod 4755 /root/d/f; mkfifo /root/p";
    node.pvect(&["exec", "101", "--", "sh", "-c", script]).ok();
}

fn state(node: &TestNode, vmid: &str) -> String {
    node.pvect(&["exec", vmid, "--", "sh", "-c", "cd /root; ls -lnR; cat d/f; readlink soft"]).ok()
}

#[test]
fn a_running_container_is_backed_up_and_restored_beside_itself() {
    let node = node_or_skip!();
    prepared(&node);
    let before = state(&node, "101");
    for mode in ["suspend", "stop"] {
        let path =
            node.pvect(&["backup", "web", "--mode", mode, "--dumpdir", "/var/tmp/..", "--dry-run"]).ok();
        assert!(path.contains("vzdump 101 --dumpdir /var/tmp/.. --mode") && path.contains(mode), "{path}");
        let path = node.pvect(&["backup", "web", "--mode", mode, "-q"]).ok();
        assert!(path.trim_end().ends_with(".tar.zst"), "{path}");
        assert_eq!(state(&node, "101"), before, "it goes on after mode {mode}");
        let vmid = node.pvect(&["restore", "next", path.trim_end(), "-q"]).ok();
        let vmid = vmid.trim_end();
        node.pvect(&["start", vmid]).ok();
        assert_eq!(state(&node, vmid), before);
        node.pvect(&["destroy", vmid, "--force"]).ok();
        // Two within a second would have one name.
        std::thread::sleep(Duration::from_secs(1));
    }
    let list = node.pvect(&["backup", "list", "-o", "json"]).ok();
    assert_eq!(list.matches("local:backup/vzdump-lxc-101-").count(), 2, "{list}");
    node.pvect(&["backup", "999", "-q"]).fails(3);
    node.pvect(&["backup", "101", "--storage", "nosuch", "-q"]).fails(3);
    node.pvect(&["set", "101", "--lock", "migrate"]).ok();
    node.pvect(&["backup", "101", "-q"]).fails(4);
}

#[test]
fn a_backup_that_is_told_to_end_leaves_the_container_as_it_was() {
    let node = node_or_skip!();
    prepared(&node);
    for mode in ["suspend", "stop"] {
        for milliseconds in [100, 500, 1500] {
            let mut child = node
                .command(["node", "vzdump", "101", "--mode", mode, "--bwlimit", "500", "--quiet", "1"])
                .spawn()
                .expect("pvect can be started");
            std::thread::sleep(Duration::from_millis(milliseconds));
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let status = child.wait().expect("it ends");
            assert!(!status.success(), "{mode} {milliseconds}");
            let config = std::fs::read_to_string(node.config_file(101)).expect("there is a configuration");
            assert!(!config.contains("lock:"), "{mode} {milliseconds}: {config}");
            assert_eq!(node.pvect(&["exec", "101", "--", "echo", "alive"]).ok(), "alive\n");
            let names = std::fs::read_dir(node.root().join("vz/dump")).expect("there is a directory");
            let odd = names.flatten().filter(|entry| !entry.file_name().to_string_lossy().ends_with(".log"));
            assert_eq!(odd.count(), 0, "{mode} {milliseconds}");
        }
    }
}

/// What lies in a container's directory on the storage `fast`.
fn on_fast(node: &TestNode, vmid: &str) -> Vec<String> {
    let entries =
        std::fs::read_dir(node.root().join("fast/images").join(vmid)).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_of_a_snapshot_does_not_disturb_the_container() {
    let node = node_or_skip!();
    if let Err(reason) = node.btrfs("fast", 512) {
        return pvect_testkit::skipped("a_backup_of_a_snapshot_does_not_disturb_the_container", &reason);
    }
    let line = |line: &str| node.pvect(&line.split_ascii_whitespace().collect::<Vec<_>>()).ok();
    let sh = |vmid: &str, script: &str| node.pvect(&["exec", vmid, "--", "sh", "-c", script]).ok();
    let template = node.busybox();
    line(&format!(
        "create 101 {template} --rootfs fast:0.1 --mp0 fast:0,mp=/data,backup=1 --mp1 fast:0,mp=/left --memory 64 --start 1"
    ));
    sh(
        "101",
        "echo one >/root/state; echo one >/data/state; echo one >/left/state; ln /data/state /data/hard",
    );
    // It counts on, ten times a second.
    sh("101", "(i=0; while true; do i=$((i+1)); echo $i >/root/count; sleep 0.1; done) >/dev/null 2>&1 &");
    let log = node.pvect(&["node", "vzdump", "101", "--compress", "zstd"]).ok();
    for text in
        ["backup mode: snapshot", "create storage snapshot 'vzdump'", "cleanup temporary 'vzdump' snapshot"]
    {
        assert!(log.contains(text), "{log}");
    }
    assert!(!log.contains("suspend"), "{log}");
    let own = ["subvol-101-disk-1.subvol", "subvol-101-disk-2.subvol", "vm-101-disk-0"];
    assert_eq!(on_fast(&node, "101"), own);
    let count = |vmid: &str| sh(vmid, "cat /root/count").trim().parse::<u32>().expect("a number");
    let before = count("101");
    std::thread::sleep(Duration::from_millis(500));
    assert!(count("101") > before, "it goes on");
    let config = node.pct(&["config", "101"]).ok();
    assert!(!config.contains("lock") && !config.contains("parent"), "{config}");

    let list = node.pvect(&["backup", "list", "-o", "json"]).ok();
    let start = list.find("local:backup/").expect("the backup is listed");
    let archive: String = list[start..].chars().take_while(|c| *c != '"').collect();
    line(&format!("restore 102 {archive} --storage local -q"));
    line("start 102");
    assert_eq!(sh("102", "cat /root/state /data/state /data/hard; ls /left"), "one\none\none\n");
    // The file that was being written is whole.
    assert!(count("102") <= before);

    for milliseconds in [50, 300, 900] {
        let mut child = node
            .command(["node", "vzdump", "101", "--bwlimit", "500", "--quiet", "1"])
            .spawn()
            .expect("pvect can be started");
        std::thread::sleep(Duration::from_millis(milliseconds));
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = child.wait().expect("it ends");
        assert_eq!(on_fast(&node, "101"), own, "{milliseconds}");
        let config = std::fs::read_to_string(node.config_file(101)).expect("there is a configuration");
        assert!(!config.contains("lock:") && !config.contains("[vzdump]"), "{milliseconds}: {config}");
    }
}

#[test]
fn a_node_goes_up_and_down_in_order() {
    let node = node_or_skip!();
    let template = node.busybox();
    for (vmid, startup, onboot) in
        [("103", "order=1,up=1,down=20", "1"), ("101", "order=2,down=20", "1"), ("102", "3", "0")]
    {
        let size = ["--rootfs", "local:0", "--memory", "64", "--startup", startup, "--onboot", onboot, "-q"];
        node.pvect(&[&["create", vmid, &template], &size[..]].concat()).ok();
    }
    node.pvect(&["set", "103", "--lock", "backup"]).ok();
    let started = Instant::now();
    assert_eq!(
        node.pvect(&["node", "up"]).ok(),
        "removed left over backup lock from '103'!\nStarting CT 103\nWaiting for 1 seconds (startup delay)\n\
         Starting CT 101\n"
    );
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(node.pvect(&["node", "up"]).ok(), "", "all run");
    node.pvect(&["start", "102"]).ok();
    assert_eq!(
        node.pvect(&["node", "down"]).ok(),
        "Stopping CT 102 (timeout = 180 seconds)\nStopping CT 101 (timeout = 20 seconds)\n\
         Stopping CT 103 (timeout = 20 seconds)\n"
    );
    assert_eq!(node.pvect(&["node", "down"]).ok(), "");
    assert_eq!(node.leftovers(), Vec::<String>::new());
    std::fs::remove_dir_all(node.root().join("vz/images/101")).expect("there is a volume");
    let up = node.pvect(&["node", "up", "101", "102"]);
    assert_eq!(up.status, 1);
    assert!(up.stdout.ends_with("Starting CT 101\nStarting CT 102\n"), "{}", up.stdout);
    assert!(up.stderr.starts_with("Starting CT 101 failed: "), "{}", up.stderr);
    node.pvect(&["node", "down"]).ok();
}

#[test]
fn a_storage_limits_how_many_backups_of_a_container_are_protected() {
    let node = node_or_skip!();
    let template = node.busybox();
    let place = node.root().join("archives");
    let cfg = format!(
        "dir: archives\n\tpath {}\n\tcontent backup\n\tcontent-dirs backup=kept\n\tmax-protected-backups 1\n",
        place.display()
    );
    std::fs::write(node.root().join("etc/pve/storage.cfg"), cfg).expect("a file");
    node.pct(&["create", "101", &template, "--rootfs", "local:0"]).ok();
    let back_up = || node.pvect(&["node", "vzdump", "101", "--storage", "archives", "--protected", "1"]);
    back_up().ok();
    // Two within a second would have one name.
    std::thread::sleep(Duration::from_secs(1));
    let refused = back_up();
    let text = "unable to set protected flag - The number of protected backups per guest is limited to 1 on storage \
                'archives'";
    assert!(refused.status != 0 && refused.stdout.contains(text), "{refused:?}");
    let names = std::fs::read_dir(place.join("kept")).expect("the directory of its backups").flatten();
    let protected = names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".protected"));
    assert_eq!(protected.count(), 1);
}

#[test]
fn what_a_new_container_shares_and_does_not_get_is_reported() {
    let node = node_or_skip!();
    let template = node.busybox();
    let bridge = node.bridge();
    let net = format!("name=eth0,bridge={bridge},hwaddr=BC:24:11:00:77:21,ip=10.126.9.2/24");
    let words = ["create", "101", &template, "--rootfs", "local:0", "--net0", &net, "--ha-managed", "1"];
    let made = node.pct(&words);
    assert_eq!(
        (made.status, made.stderr.as_str()),
        (0, "ha-managed does nothing here: the standalone node has no HA manager\n")
    );
    let archive = node.pvect(&["backup", "101", "-q"]).ok();
    let archive = archive.trim_end();
    let shared = |what: &str, advice: &str| {
        format!("has the {what} of CT 101 (net0) on the same bridge: run only one of them, or {advice}\n")
    };
    let again = node.pct(&["restore", "102", archive, "--rootfs", "local:0"]);
    let mac = shared("MAC address BC:24:11:00:77:21", "restore with '--unique 1'");
    assert_eq!((again.status, again.stderr.as_str()), (0, format!("CT 102 (net0) {mac}").as_str()));
    node.pct(&["destroy", "102"]).ok();
    let unique = node.pct(&["restore", "103", archive, "--rootfs", "local:0", "--unique", "1"]);
    let address = shared("address 10.126.9.2", "change it with 'pct set'");
    assert_eq!((unique.status, unique.stderr.as_str()), (0, format!("CT 103 (net0) {address}").as_str()));
    node.pct(&["destroy", "101"]).ok();
    node.pct(&["destroy", "103"]).ok();
    let alone = node.pct(&["restore", "101", archive, "--rootfs", "local:0"]);
    assert_eq!((alone.status, alone.stderr.as_str()), (0, ""));

    // What no start could mount is found before a disk is made.
    let mapped = format!("{},mp=/a,idmap=u:0:100000:1", node.root().display());
    let refused = node.pct(&["create", "104", &template, "--rootfs", "local:1", "--mp0", &mapped]);
    assert_eq!((refused.status, refused.stdout.as_str()), (255, ""));
    assert!(
        refused.stderr.ends_with("mp0: 'idmap' is not supported by the standalone node\n"),
        "{}",
        refused.stderr
    );
}
