//! What options do to a container that runs: id maps, features, quotas, time zone, environment.

use std::fs;
use std::os::unix::fs::chown;

use pvect_testkit::{TestNode, node_or_skip, skipped};

/// Makes CT 101 from the BusyBox template, with these further words.
fn create(node: &TestNode, words: &[&str]) {
    let template = node.busybox();
    let mut all = vec!["create", "101", &template, "--memory", "64", "--swap", "0"];
    all.extend_from_slice(words);
    node.pct(&all).ok();
}

fn exec(node: &TestNode, script: &str) -> String {
    node.pct(&["exec", "101", "--", "sh", "-c", script]).ok()
}

/// The options of what is mounted there.
fn mounted(node: &TestNode, path: &str) -> Vec<String> {
    let mounts = exec(node, "cat /proc/mounts");
    let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(path));
    let options = line.and_then(|line| line.split(' ').nth(3)).unwrap_or_default();
    options.split(',').map(str::to_owned).collect()
}

fn has(options: &[String], wanted: &[&str]) -> bool {
    wanted.iter().all(|wanted| options.iter().any(|option| option == wanted))
}

#[test]
fn own_id_maps_need_a_grant() {
    const HOST: u32 = 3_000_000_000;
    let node = node_or_skip!();
    let shared = node.root().join("shared");
    fs::create_dir(&shared).expect("a directory");
    chown(&shared, Some(HOST), Some(HOST)).expect("an owner");
    create(&node, &["--rootfs", "local:0.25", "--mp0", &format!("{},mp=/shared", shared.display())]);
    let path = node.config_file(101);
    let mut text = fs::read_to_string(&path).expect("the configuration");
    for kind in ["u", "g"] {
        for map in ["0 100000 1000", &format!("1000 {HOST} 1"), "1001 101001 64535"] {
            text.push_str(&format!("lxc.idmap: {kind} {map}\n"));
        }
    }
    fs::write(&path, text).expect("the configuration");
    for (file, kind) in [("subuid", "u"), ("subgid", "g")] {
        let refused = node.pct(&["start", "101"]);
        assert_eq!(refused.status, 255, "{}", refused.stderr);
        assert_eq!(
            refused.stderr,
            format!(
                "the id map '{kind} 1000 {HOST} 1' is not granted to root: '/etc/{file}' must have the line \
                 'root:{HOST}:1'\n"
            )
        );
        fs::write(node.root().join("etc").join(file), format!("root:{HOST}:1\n")).expect("a grant");
    }
    node.pct(&["start", "101"]).ok();
    assert_eq!(exec(&node, "stat -c %u:%g /shared / && cat /proc/1/uid_map | wc -l"), "1000:1000\n0:0\n3\n");
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

/// A program of the host's that tells what keyctl(2) says to a request for the session's keyring, on the architecture
/// whose number of the call it knows.
const KEYCTL: &str = "/host/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path /host/lib/x86_64-linux-gnu /host/bin/perl -e \
    'my $found = syscall(250, 0, -3, 1); print $found < 0 ? $! + 0 : 0, \"\\n\"'";

#[test]
fn features_are_there_only_when_they_are_asked_for() {
    let node = node_or_skip!();
    create(&node, &["--rootfs", "local:0.25", "--mp0", "/usr,mp=/host,ro=1"]);
    let keyctl = || match std::env::consts::ARCH {
        "x86_64" if fs::exists("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2").unwrap_or(false) => {
            Some(exec(&node, KEYCTL))
        }
        _ => {
            skipped(module_path!(), "the call keyctl is tried on amd64 only");
            None
        }
    };
    node.pct(&["start", "101"]).ok();
    assert!(has(&mounted(&node, "/sys"), &["ro"]));
    assert_eq!(exec(&node, "ls /dev/fuse /dev/.lxc 2>&1 | wc -l"), "2\n");
    assert_eq!(exec(&node, "test -e /dev/fuse || test -e /dev/.lxc/proc || echo none"), "none\n");
    // ENOSYS
    assert!(keyctl().is_none_or(|said| said == "38\n"));
    node.pct(&["stop", "101"]).ok();

    let features = "nesting=1,fuse=1,keyctl=1,mknod=1,mount=nfs;cifs,force_rw_sys=1";
    node.pct(&["set", "101", "--features", features]).ok();
    let started = node.pct(&["start", "101"]);
    assert_eq!(started.status, 0, "{}", started.stderr);
    if !fs::exists("/run/pve-lxc-syscalld/socket").unwrap_or(false) {
        assert_eq!(
            started.stdout,
            "features: 'mknod' has no effect here: it needs pve-lxc-syscalld, which does not run\n"
        );
        assert!(exec(&node, "mknod /tmp/null c 1 3 2>&1 || true").contains("Operation not permitted"));
    }
    assert!(has(&mounted(&node, "/sys"), &["rw"]));
    assert_eq!(
        exec(&node, "test -c /dev/fuse && ls -d /dev/.lxc/proc/1 /dev/.lxc/sys/kernel"),
        "/dev/.lxc/proc/1\n/dev/.lxc/sys/kernel\n"
    );
    assert!(keyctl().is_none_or(|said| said == "0\n"));
    // As a nested container would be made.
    assert_eq!(exec(&node, "unshare -m -p -f sh -c 'mount -t proc proc /proc && echo $$'"), "1\n");
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
}

#[test]
fn quotas_and_mount_options_are_those_of_the_file_systems() {
    let node = node_or_skip!();
    let volume = "local:0.125,mp=/data,quota=1,mountoptions=noatime;nodev;nosuid;noexec";
    create(&node, &["--unprivileged", "0", "--rootfs", "local:0.25,quota=1", "--mp0", volume]);
    node.pct(&["start", "101"]).ok();
    let quota = ["rw", "usrjquota=aquota.user", "grpjquota=aquota.group", "jqfmt=vfsv0"];
    assert!(has(&mounted(&node, "/"), &quota), "{:?}", mounted(&node, "/"));
    let data = mounted(&node, "/data");
    assert!(has(&data, &quota) && has(&data, &["noatime", "nodev", "nosuid", "noexec"]), "{data:?}");
    // The guest's tools find the devices by the table of mounts.
    assert_eq!(
        exec(
            &node,
            "for path in / /data; do test -b $(df $path | tail -n1 | cut -d' ' -f1) && echo yes; done"
        ),
        "yes\nyes\n"
    );
    assert_eq!(
        exec(&node, "cp /bin/busybox /data/ && ! /data/busybox true 2>/dev/null && echo refused"),
        "refused\n"
    );
    node.pct(&["stop", "101"]).ok();
    // One that is read only counts nothing.
    node.pct(&["set", "101", "--mp0", "local:101/vm-101-disk-1.raw,mp=/data,ro=1,quota=1"]).ok();
    node.pct(&["start", "101"]).ok();
    let data = mounted(&node, "/data");
    assert!(has(&data, &["ro"]) && !data.iter().any(|option| option.contains("quota")), "{data:?}");
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_guest_gets_its_zone_its_program_and_its_environment() {
    let node = node_or_skip!();
    create(&node, &["--rootfs", "local:0.25", "--env", "GREETING=it's  \"so\"", "--start", "1"]);
    let environment = "tr '\\0' '\\n' < /proc/1/environ | grep GREETING";
    assert_eq!(exec(&node, environment), "GREETING=it's  \"so\"\n");
    exec(
        &node,
        "mkdir -p /usr/share/zoneinfo && echo zone > /usr/share/zoneinfo/UTC && echo old > /etc/timezone",
    );
    let program = "/bin/sh -c 'trap \"exit 0\" TERM PWR; echo \"$0|$1\" > /tmp/told; while :; do sleep 0.1; done' 'a b' c";
    node.pct(&["set", "101", "--timezone", "UTC", "--entrypoint", program, "--env", "OTHER=1"]).ok();
    assert_eq!(exec(&node, "cat /etc/timezone"), "old\n");
    node.pct(&["stop", "101"]).ok();
    node.pct(&["start", "101"]).ok();
    let told =
        "until test -s /tmp/told; do sleep 0.05; done; cat /tmp/told /etc/timezone; readlink /etc/localtime";
    assert_eq!(exec(&node, told), "a b|c\nUTC\n/usr/share/zoneinfo/UTC\n");
    assert_eq!(exec(&node, "tr '\\0' '\\n' < /proc/1/environ | grep -E 'GREETING|OTHER'"), "OTHER=1\n");
    node.pct(&["stop", "101"]).ok();
    // The host's zone; one that the guest does not know changes nothing.
    node.pct(&["set", "101", "--delete", "entrypoint,env", "--timezone", "host"]).ok();
    node.pct(&["start", "101"]).ok();
    assert!(exec(&node, "readlink /etc/localtime").starts_with("/usr/share/zoneinfo/"));
    assert_eq!(exec(&node, "tr '\\0' '\\n' < /proc/1/environ | grep -c OTHER || true"), "0\n");
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
}
