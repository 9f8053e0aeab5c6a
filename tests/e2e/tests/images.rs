//! Containers from OCI images.

use std::fs;
use std::path::Path;
use std::process::Command;

use pvect_testkit::{TestNode, node_or_skip};
use sha2::{Digest, Sha256};

fn run(program: &str, words: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(words).output().expect("the program can be started");
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// An image layout that grows blob by blob.
struct Layout {
    directory: tempfile::TempDir,
}

impl Layout {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(directory.path().join("blobs/sha256")).expect("the directory of blobs");
        fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("the layout");
        Self { directory }
    }

    /// Adds a blob; returns its descriptor.
    fn add(&self, kind: &str, bytes: &[u8]) -> serde_json::Value {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(self.directory.path().join("blobs/sha256").join(&hex), bytes).expect("a blob");
        let media_type = format!("application/vnd.oci.image.{kind}");
        serde_json::json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
    }

    fn pack(&self, archive: &Path, config: &serde_json::Value, layers: &[serde_json::Value]) {
        let config = serde_json::json!({ "architecture": "amd64", "os": "linux", "config": config });
        let config = self.add("config.v1+json", config.to_string().as_bytes());
        let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let manifest = self.add("manifest.v1+json", manifest.to_string().as_bytes());
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(self.directory.path().join("index.json"), index.to_string()).expect("the index");
        let layout = text(self.directory.path());
        run("tar", &["-cf", text(archive), "-C", layout, "oci-layout", "index.json", "blobs"]);
    }
}

/// Once it has told everything, it heeds the signal: what comes before would be lost, since it is an init.
const PROGRAM: &str = "#!/bin/sh\ntrap 'exit 0' QUIT\n\
    { id; env; pwd; for word; do echo \"<$word>\"; done; } > /tmp/told\nwhile :; do sleep 1; done\n";

/// Two layers: the BusyBox template, and a program, users and a whiteout over it.
fn image(node: &TestNode) -> std::path::PathBuf {
    let cache = node.root().join("vz/template/cache");
    let template = node.busybox();
    let template = cache.join(template.rsplit('/').next().expect("a file name"));
    let upper = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(upper.path().join("etc")).expect("a directory");
    fs::create_dir(upper.path().join("srv")).expect("a directory");
    for (name, content) in [
        ("srv/run", PROGRAM),
        ("etc/.wh.inittab", ""),
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n"),
        ("etc/group", "root:x:0:\nweb:x:33:\nlog:x:40:web\n"),
    ] {
        fs::write(upper.path().join(name), content).expect("a file of the upper layer");
    }
    run("chmod", &["0755", text(&upper.path().join("srv/run"))]);
    let layout = Layout::new();
    let lower = layout.add("layer.v1.tar+zstd", &fs::read(&template).expect("the template"));
    let packed = run("tar", &["-czf", "-", "-C", text(upper.path()), "etc", "srv"]);
    let over = layout.add("layer.v1.tar+gzip", &packed);
    let config = serde_json::json!({
        "Entrypoint": ["/srv/run"], "Cmd": ["a b", "c"], "User": "web", "WorkingDir": "/srv", "StopSignal": "SIGQUIT",
        "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin", "SAID=by the image"], "Volumes": { "/data/store": {} },
    });
    let archive = cache.join("web.tar");
    layout.pack(&archive, &config, &[lower, over]);
    archive
}

#[test]
fn an_image_runs_as_it_says() {
    let node = node_or_skip!();
    image(&node);
    let made = node.pct(&[
        "create",
        "101",
        "local:vztmpl/web.tar",
        "--rootfs",
        "local:0.25",
        "--memory",
        "64",
        "--swap",
        "0",
        "--entrypoint",
        "/bin/mine",
        "--env",
        "MINE=1",
    ]);
    let lines: Vec<&str> = made.stdout.lines().collect();
    let start = lines.iter().position(|line| *line == "Detected OCI archive").expect("the image is detected");
    assert_eq!(
        lines[start..],
        [
            "Detected OCI archive",
            "creating base directory for volume at /data/store",
            "Detected container architecture: amd64"
        ],
        "{}",
        made.stderr
    );
    assert_eq!(made.status, 0);
    let stored = fs::read_to_string(node.config_file(101)).expect("the configuration");
    assert_eq!(
        stored,
        "arch: amd64\ncmode: console\nentrypoint: /srv/run 'a b' c\nhostname: CT101\nmemory: 64\nostype: alpine\n\
         rootfs: local:101/vm-101-disk-0.raw,size=256M\nswap: 0\nunprivileged: 1\n\
         lxc.environment.runtime: PATH=/bin:/usr/bin:/sbin:/usr/sbin\nlxc.environment.runtime: SAID=by the image\n\
         lxc.init.uid: 33\nlxc.init.gid: 33\nlxc.init.groups: 40\nlxc.init.cwd: /srv\nlxc.signal.halt: SIGQUIT\n"
    );
    node.pct(&["start", "101"]).ok();
    let told = "until grep -q '<c>' /tmp/told 2>/dev/null; do sleep 0.05; done; grep -v '^SHLVL\\|^PWD\\|^HOME' /tmp/told";
    let told = node.pct(&["exec", "101", "--", "sh", "-c", told]).ok();
    let mut told: Vec<&str> = told.lines().collect();
    let words = told.split_off(told.len() - 3);
    // Before 7.0 LXC gives a program in a user namespace no supplementary groups.
    let identity = told.remove(0);
    assert_eq!(identity.trim_end_matches(" groups=40(log)"), "uid=33(web) gid=33(web)");
    // The environment has no order.
    told.sort_unstable();
    assert_eq!(words, ["/srv", "<a b>", "<c>"]);
    assert_eq!(
        told,
        ["PATH=/bin:/usr/bin:/sbin:/usr/sbin", "SAID=by the image", "TERM=linux", "container=lxc"]
    );
    let seen = "test ! -e /etc/inittab && stat -c '%u %a' /data/store /srv/run";
    assert_eq!(node.pct(&["exec", "101", "--", "sh", "-c", seen]).ok(), "0 755\n0 755\n");
    // The program is asked by its own signal.
    node.pct(&["shutdown", "101"]).ok();
    assert_eq!(node.pct(&["status", "101"]).ok(), "status: stopped\n");
    node.pct(&["destroy", "101"]).ok();
    // Through pvect what was asked for stands above the image.
    let words = ["create", "102", "local:vztmpl/web.tar", "--rootfs", "local:0.25", "--arch", "amd64"];
    let made = node.pvect(&[&words[..], &["--entrypoint", "/bin/sleep 1000"]].concat());
    assert_eq!(made.status, 0, "{}", made.stderr);
    assert!(
        made.stderr.ends_with("warning: the image had its own values; set again after it: --entrypoint\n"),
        "{}",
        made.stderr
    );
    assert!(!made.stderr.contains("takes the first"), "{}", made.stderr);
    node.pct(&["start", "102"]).ok();
    assert_eq!(
        node.pct(&["exec", "102", "--", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"]).ok(),
        "/bin/sleep 1000 "
    );
    node.pct(&["stop", "102"]).ok();
    node.pct(&["destroy", "102"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_changed_blob_is_refused_and_nothing_stays() {
    let node = node_or_skip!();
    let archive = image(&node);
    let mut bytes = fs::read(&archive).expect("the archive");
    let at = bytes.windows(4).position(|four| four == b"a b\"").expect("the configuration is in it");
    bytes[at] = b'z';
    fs::write(&archive, bytes).expect("the archive");
    let made = node.pct(&["create", "101", text(&archive), "--rootfs", "local:0.25"]);
    assert_eq!(made.status, 255);
    assert!(made.stderr.contains("is not a template archive: the blob 'sha256:"), "{}", made.stderr);
    assert!(!node.config_file(101).exists() && !node.root().join("vz/images/101").exists());
}

/// What an image says about its environment is for its program; LXC's hooks are programs of the host.
#[test]
fn hooks_of_the_host_do_not_get_the_environment_of_an_image() {
    let node = node_or_skip!();
    image(&node);
    node.pct(&["create", "101", "local:vztmpl/web.tar", "--rootfs", "local:0.25", "--memory", "64"]).ok();
    let (hook, seen) = (node.root().join("hook"), node.root().join("seen"));
    fs::write(&hook, format!("#!/bin/sh\nenv > '{}'\n", text(&seen))).expect("the hook");
    run("chmod", &["0755", text(&hook)]);
    // The hook runs as the container's root.
    fs::write(&seen, "").expect("the hook's output");
    run("chmod", &["0666", text(&seen)]);
    run("chmod", &["0755", text(node.root())]);
    let mut stored = fs::read_to_string(node.config_file(101)).expect("the configuration");
    stored.push_str(&format!(
        "lxc.environment.runtime: LD_PRELOAD=/evil.so\nlxc.hook.mount: {}\n",
        text(&hook)
    ));
    fs::write(node.config_file(101), stored).expect("the configuration");
    node.pct(&["start", "101"]).ok();
    let environment = fs::read_to_string(&seen).expect("the hook's output");
    assert!(environment.contains("LXC_NAME=101\n"), "the hook ran: {environment}");
    assert!(!environment.contains("LD_PRELOAD") && !environment.contains("SAID"), "{environment}");
    let inside = "tr '\\0' '\\n' < /proc/1/environ | grep '^LD_PRELOAD\\|^SAID'; stat -c '%u %a' /dev/.pvect-init.spec";
    let inside = node.pct(&["exec", "101", "--", "sh", "-c", inside]).ok();
    let mut inside: Vec<&str> = inside.lines().collect();
    inside.sort_unstable();
    assert_eq!(inside, ["33 400", "LD_PRELOAD=/evil.so", "SAID=by the image"]);
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
