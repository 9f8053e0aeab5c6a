//! `kill -9` of pvect and of the node's pct at random moments: `pvect doctor` names what is left, `pvect doctor
//! --fix` repairs it, the next commands work, and nobody else's data was touched.
//!
//! `PVECT_TEST_KILLS` is the number of rounds, `PVECT_TEST_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use pvect_testkit::{TestNode, node_or_skip};
use serde_json::Value;

use crate::random::{Random, rounds};
use crate::victim::{self, Measure, When, Who};

/// The container that is worked on, and the one that a clone makes.
const VICTIM: &str = "101";
const COPY: &str = "102";

/// What is killed.
struct Operation {
    name: &'static str,
    words: Vec<String>,
    /// Whether the victim has to be there, and to run.
    before: Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Stopped,
    Running,
    /// Stopped, an image on btrfs, and with a snapshot `one`.
    Snapshot,
    /// The same, running.
    RunningSnapshot,
    /// Stopped, an image on btrfs.
    Btrfs,
}

fn operations(template: &str, archive: Option<&str>, snapshots: bool) -> Vec<Operation> {
    let storage = "local";
    let operation = |name: &'static str, before: Before, words: &str| Operation {
        name,
        before,
        words: words.split_ascii_whitespace().map(str::to_owned).collect(),
    };
    let create = |size: &str| format!("create {VICTIM} {template} --rootfs {storage}:{size} --memory 64");
    let mut all = vec![
        operation("create", Before::Nothing, &create("0.05")),
        operation("create a directory", Before::Nothing, &create("0")),
        operation(
            "create two volumes",
            Before::Nothing,
            &format!("{} --mp0 local:0.02,mp=/a", create("0.05")),
        ),
        operation("create and start", Before::Nothing, &format!("{} --start 1", create("0"))),
        operation("resize", Before::Stopped, &format!("resize {VICTIM} rootfs +16M")),
        operation("resize online", Before::Running, &format!("resize {VICTIM} rootfs +16M")),
        operation("set a mount point", Before::Stopped, &format!("set {VICTIM} --mp1 local:0.02,mp=/b")),
        operation("start", Before::Stopped, &format!("start {VICTIM}")),
        operation("stop", Before::Running, &format!("stop {VICTIM}")),
        operation("mount", Before::Stopped, &format!("mount {VICTIM}")),
        operation("fstrim", Before::Stopped, &format!("fstrim {VICTIM}")),
        operation("template", Before::Stopped, &format!("template {VICTIM}")),
        operation("destroy", Before::Stopped, &format!("destroy {VICTIM}")),
        operation("destroy with force", Before::Running, &format!("destroy {VICTIM} --force 1")),
        operation("clone", Before::Stopped, &format!("clone {VICTIM} {COPY} --full 1")),
    ];
    if snapshots {
        let clone = format!("clone {VICTIM} {COPY}");
        all.extend([
            operation("snapshot", Before::Snapshot, &format!("snapshot {VICTIM} two")),
            operation("snapshot online", Before::RunningSnapshot, &format!("snapshot {VICTIM} two")),
            operation("delsnapshot", Before::Snapshot, &format!("delsnapshot {VICTIM} one")),
            operation("clone a snapshot", Before::Snapshot, &format!("{clone} --full 1 --snapname one")),
            operation("linked clone", Before::Btrfs, &format!("{clone} --full 0")),
            operation("template on btrfs", Before::Btrfs, &format!("template {VICTIM}")),
            operation("move a volume", Before::Btrfs, &format!("move-volume {VICTIM} rootfs local")),
            operation("destroy with snapshots", Before::Snapshot, &format!("destroy {VICTIM}")),
        ]);
    }
    if let Some(archive) = archive {
        let words = format!("restore {VICTIM} {archive} --storage {storage}");
        all.push(operation("restore", Before::Nothing, &words));
        all.push(operation("restore over it", Before::Stopped, &format!("{words} --force 1")));
    }
    all
}

/// Makes a backup of no container; `None` where tar(1) cannot read the template.
fn archive(node: &TestNode, template: &str) -> Option<String> {
    const CONFIG: &str = "arch: amd64\nhostname: restored\nmemory: 64\nostype: alpine\n\
                          rootfs: local:900/vm-900-disk-0.raw,size=48M\nswap: 0\nunprivileged: 1\n";
    let stage = node.root().join("stage");
    fs::create_dir_all(stage.join("etc/vzdump")).expect("a directory");
    let name = template.rsplit('/').next().expect("a name");
    let tar = |words: &[&str]| {
        let status = Command::new("tar").arg("-C").arg(&stage).args(words).status();
        status.is_ok_and(|status| status.success())
    };
    let source = node.root().join("vz/template/cache").join(name);
    let unpacked = tar(&["--zstd", "-xf", &source.to_string_lossy()]);
    fs::write(stage.join("etc/vzdump/pct.conf"), CONFIG).expect("a file");
    let target = node.root().join("vz/dump/vzdump-lxc-900-2026_01_02-03_04_05.tar");
    let packed = unpacked && tar(&["-cf", &target.to_string_lossy(), "."]);
    fs::remove_dir_all(&stage).expect("the stage can be removed");
    if !packed {
        pvect_testkit::skipped("kills of restore", "tar cannot read zstd");
    }
    packed.then(|| "local:backup/vzdump-lxc-900-2026_01_02-03_04_05.tar".to_owned())
}

/// Containers of other people.
struct Bystanders {
    files: BTreeMap<String, String>,
}

impl Bystanders {
    const STOPPED: &'static str = "900";
    const RUNNING: &'static str = "901";

    fn make(node: &TestNode, template: &str) -> Self {
        let image = "local:0.05";
        let words = [
            "create",
            Self::STOPPED,
            template,
            "--rootfs",
            image,
            "--mp0",
            "local:0,mp=/srv",
            "--cores",
            "1",
        ];
        node.pct(&words).ok();
        node.pct(&["create", Self::RUNNING, template, "--rootfs", "local:0", "--memory", "64"]).ok();
        node.pct(&["start", Self::RUNNING]).ok();
        Self { files: Self::sums(node) }
    }

    /// sha256 of each file.
    fn sums(node: &TestNode) -> BTreeMap<String, String> {
        let images = node.root().join("vz/images").join(Self::STOPPED);
        let mut command = Command::new("find");
        command.arg(&images).args(["-type", "f", "-exec", "sha256sum", "{}", "+"]);
        let output = command.output().expect("find can be started");
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut sums: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
            .collect();
        for id in [Self::STOPPED, Self::RUNNING] {
            let path = node.config_file(id.parse().expect("a number"));
            sums.insert(path.display().to_string(), fs::read_to_string(path).expect("a configuration"));
        }
        sums
    }

    fn check(&self, node: &TestNode) {
        assert_eq!(Self::sums(node), self.files, "another container was touched");
        assert_eq!(node.pct(&["exec", Self::RUNNING, "--", "echo", "here"]).ok(), "here\n");
    }
}

/// What `pvect doctor` finds: kind, place, whether it is repaired.
fn findings(node: &TestNode) -> Vec<Value> {
    let text = node.pvect(&["doctor", "-o", "json"]).ok();
    let lines: Vec<Value> = serde_json::from_str(&text).expect("doctor prints JSON");
    assert!(lines.iter().any(|line| line["name"] == "root"), "{text}");
    lines.iter().filter(|line| line["finding"].is_object()).map(|line| line["finding"].clone()).collect()
}

fn exists(node: &TestNode, vmid: &str) -> bool {
    node.config_file(vmid.parse().expect("a number")).exists()
}

fn is_running(node: &TestNode, vmid: &str) -> bool {
    node.pct(&["status", vmid]).ok().contains("running")
}

/// Removes a container whatever its state is, by pct's own verbs.
fn remove(node: &TestNode, vmid: &str) {
    if exists(node, vmid) {
        if node.pct(&["config", vmid]).ok().contains("lock: mounted") {
            node.pct(&["unmount", vmid]).ok();
        }
        node.pct(&["destroy", vmid, "--force", "1"]).ok();
    }
    assert!(!node.root().join("vz/images").join(vmid).exists(), "volumes of {vmid} are left");
    assert!(!node.root().join("lib/lxc").join(vmid).exists(), "the directory of {vmid} is left");
}

/// Brings the victim into the state that an operation needs.
fn prepare(node: &TestNode, template: &str, before: Before) {
    remove(node, COPY);
    remove(node, VICTIM);
    if before == Before::Nothing {
        return;
    }
    let snapshot = matches!(before, Before::Snapshot | Before::RunningSnapshot);
    let rootfs = if snapshot || before == Before::Btrfs { "fast:0.05" } else { "local:0.05" };
    node.pct(&["create", VICTIM, template, "--rootfs", rootfs, "--memory", "64"]).ok();
    if snapshot {
        node.pct(&["snapshot", VICTIM, "one"]).ok();
    }
    if matches!(before, Before::Running | Before::RunningSnapshot) {
        node.pct(&["start", VICTIM]).ok();
    }
}

/// Repairs what is left and shows that the node is sound; returns the kinds of what was found.
fn repair(node: &TestNode, context: &str) -> Vec<String> {
    let found = findings(node);
    let fixed = node.pvect(&["doctor", "--fix", "--yes", "-o", "json"]);
    assert_eq!(fixed.status, 0, "{context}: {}{}", fixed.stdout, fixed.stderr);
    assert_eq!(findings(node), Vec::<Value>::new(), "{context}: after {}", fixed.stdout);
    let outcomes: Vec<Value> = serde_json::from_str(&fixed.stdout).expect("doctor prints JSON");
    for finding in &found {
        let told = outcomes.iter().any(|one| one["place"] == finding["place"] && one["outcome"] == "fixed");
        // What hangs on something else goes with it.
        let gone = outcomes.iter().any(|one| one["place"] == finding["place"] && one["outcome"] == "gone");
        // On a busy machine the kernel may take longer than doctor waits.
        let passes = ["cgroup", "device", "loop-device"].iter().any(|kind| finding["kind"] == *kind);
        assert!(told || gone || passes, "{context}: {finding} was not fixed: {}", fixed.stdout);
    }
    found.iter().map(|finding| finding["kind"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The next commands on a container work, and it is whole.
fn use_it(node: &TestNode, vmid: &str, context: &str) {
    if !exists(node, vmid) {
        for storage in ["vz", "fast"] {
            let images = node.root().join(storage).join("images").join(vmid);
            assert!(!images.exists(), "{context}: volumes of {vmid} are left");
        }
        return;
    }
    let config = node.pct(&["config", vmid]).ok();
    if config.contains("lock: mounted") {
        node.pct(&["unmount", vmid]).ok();
    }
    assert!(!node.pct(&["config", vmid]).ok().contains("lock: "), "{context}: {config}");
    if config.contains("template: 1") {
        return;
    }
    if !is_running(node, vmid) {
        node.pct(&["start", vmid]).ok();
    }
    assert_eq!(node.pct(&["exec", vmid, "--", "echo", "works"]).ok(), "works\n", "{context}");
    node.pct(&["stop", vmid]).ok();
    if config.contains(".raw") {
        node.pct(&["fsck", vmid, "--force", "1"]).ok();
        let size = node.pct(&["resize", vmid, "rootfs", "+4M"]).ok();
        assert!(size.contains("resized"), "{context}: {size}");
    }
    node.pct(&["set", vmid, "--memory", "72"]).ok();
}

/// What is in the system of this node, but for the bystander that runs.
fn in_the_system(node: &TestNode) -> Vec<String> {
    let running = format!("/lib/lxc {}", Bystanders::RUNNING);
    let own = node.root().join("fast").display().to_string();
    let is_left = |line: &String| !line.contains(&running) && !line.contains(&own);
    node.leftovers().into_iter().filter(is_left).collect()
}

#[test]
fn killed_commands_leave_what_doctor_mends() {
    let node = node_or_skip!();
    let mut random = Random::new("kills");
    let rounds = rounds("PVECT_TEST_KILLS", 28);
    let template = node.busybox();
    let bystanders = Bystanders::make(&node, &template);
    let btrfs = node.btrfs("fast", 512);
    if let Err(reason) = &btrfs {
        pvect_testkit::skipped("kills of snapshots", reason);
    }
    let operations = operations(&template, archive(&node, &template).as_deref(), btrfs.is_ok());
    let mut measures: BTreeMap<&str, Measure> = BTreeMap::new();
    let (mut tally, mut kinds) = (BTreeMap::<&str, (u32, u32)>::new(), BTreeMap::<String, u32>::new());
    for round in 0..rounds {
        let operation =
            if round < operations.len() { &operations[round] } else { random.choose(&operations) };
        let words: Vec<&str> = operation.words.iter().map(String::as_str).collect();
        let measure = *measures.entry(operation.name).or_insert_with(|| {
            prepare(&node, &template, operation.before);
            victim::measure(&node, &words)
        });
        prepare(&node, &template, operation.before);
        let who = *random.choose(&[Who::Pct, Who::Pct, Who::Pvect, Who::Both, Who::PctOfPvect]);
        let when = if random.below(2) == 0 {
            // pvect takes its time before it starts pct.
            let extra = if who == Who::Pct { Duration::ZERO } else { Duration::from_millis(20) };
            let longest = u64::try_from((measure.time + extra).as_micros()).unwrap_or(1);
            When::After(Duration::from_micros(random.below(longest.max(1))))
        } else {
            When::AtChange(1 + random.below(measure.changes.max(1)))
        };
        let context = format!("round {round}: {} {who:?} {when:?}", operation.name);
        let killed = victim::run_and_kill(&node, who, when, &words);
        victim::wait_until_quiet(&node);
        let found = repair(&node, &context);
        let count = tally.entry(operation.name).or_default();
        *count = (count.0 + 1, count.1 + u32::from(killed));
        for kind in &found {
            *kinds.entry(kind.clone()).or_default() += 1;
        }
        println!("{context}: killed {killed}, found {found:?}");
        use_it(&node, VICTIM, &context);
        use_it(&node, COPY, &context);
        bystanders.check(&node);
        assert_eq!(in_the_system(&node), Vec::<String>::new(), "{context}");
    }
    println!("{rounds} rounds; of each operation the rounds, and those that were cut short: {tally:?}");
    println!("found: {kinds:?}");
    remove(&node, COPY);
    remove(&node, VICTIM);
    assert_eq!(findings(&node), Vec::<Value>::new());
}
