//! The same life of a container through pct and through the HTTPS API.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pvect_testkit::{Finished, TestNode, TestServer, node_or_skip};

/// `pvect` as on another machine: it knows the API of a node and nothing of its files.
struct Far<'a> {
    node: &'a TestNode,
    settings: String,
    _server: TestServer,
}

impl<'a> Far<'a> {
    fn start(node: &'a TestNode) -> Self {
        let server = TestServer::start(node);
        let token = node.token("root@pam!ci", false);
        let settings = node.root().join("api.json");
        let text = format!(
            r#"{{"proxmox": {{"backend": "api", "legacy_api": {{"hosts": ["127.0.0.1:{}"], "token": "{token}", "fingerprint": "{}"}}}}}}"#,
            server.port, server.fingerprint
        );
        fs::write(&settings, text).expect("the root can be written");
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
        Self { node, settings: settings.to_string_lossy().into_owned(), _server: server }
    }

    fn run(&self, words: &[&str], on_the_node: bool) -> Finished {
        let mut command = self.node.command(["--settings", &self.settings]);
        command.args(words);
        if !on_the_node {
            command.env_remove("PVECT_ROOT").env_remove("PVECT_NODE");
        }
        let output = command.output().expect("pvect can be started; build it first");
        Finished::of(&format!("pvect {}", words.join(" ")), &output)
    }

    fn pvect(&self, words: &[&str]) -> Finished {
        self.run(words, false)
    }
}

/// What a run shows: status and stdout.
fn seen(finished: &Finished) -> String {
    format!("[{}]\n{}", finished.status, finished.stdout)
}

/// One life; returns what each read showed on the way.
fn life(pvect: &dyn Fn(&[&str]) -> Finished, vmid: &str, template: &str) -> Vec<String> {
    let mut shown = Vec::new();
    pvect(&["create", vmid, template, "--hostname", "web", "--memory", "128", "--rootfs", "local:0"]).ok();
    shown.push(seen(&pvect(&["status", "web"])));
    pvect(&["start", "web"]).ok();
    shown.push(seen(&pvect(&["status", vmid])));
    pvect(&["set", vmid, "--memory", "96", "--cmode", "shell"]).ok();
    // The API says on which node, too.
    let json = ["list", "-o", "json", "--columns", "vmid,status,name"];
    for read in [&["config", vmid][..], &["pending", vmid], &["list"], &json] {
        shown.push(seen(&pvect(read)));
    }
    shown.push(pvect(&["start", vmid]).fails(4));
    pvect(&["shutdown", vmid, "--timeout", "20"]).ok();
    pvect(&["start", vmid]).ok();
    pvect(&["stop", vmid]).ok();
    shown.push(seen(&pvect(&["status", vmid])));
    pvect(&["destroy", vmid]).ok();
    for missing in ["status", "config", "start"] {
        let text = pvect(&[missing, vmid]).fails(3);
        shown.push(text.lines().next().unwrap_or_default().to_owned());
    }
    shown.into_iter().map(|text| text.replace(vmid, "VMID")).collect()
}

#[test]
fn an_interrupted_command_leaves_its_task_alone() {
    let node = node_or_skip!();
    let template = node.busybox();
    let server = Far::start(&node);
    server.pvect(&["create", "101", &template, "--rootfs", "local:0", "--memory", "64"]).ok();
    server.pvect(&["start", "101"]).ok();
    // Its init does not end by itself.
    let status = server.pvect(&["status", "101", "--verbose"]).ok();
    let init =
        status.lines().find_map(|line| line.strip_prefix("pid: ")?.parse().ok()).expect("a process id");
    let init = rustix::process::Pid::from_raw(init).expect("a process id");
    rustix::process::kill_process(init, rustix::process::Signal::STOP).expect("a signal");
    let mut command = node.command(["--settings", &server.settings, "shutdown", "101", "--timeout", "4"]);
    command.env_remove("PVECT_ROOT").env_remove("PVECT_NODE");
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("pvect can be started");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("error: interrupted; the task goes on: UPID:vm:"), "{stderr}");
    assert!(stderr.contains("hint: `pvect status 101 --verbose`"), "{stderr}");
    let upid = stderr.split_whitespace().find(|word| word.starts_with("UPID:")).expect("a UPID");
    let active = fs::read_to_string(node.root().join("log/tasks/active")).expect("the list of active tasks");
    assert!(active.contains(upid), "{active}");
}

/// The settings of a node whose changes go through its own API.
fn fast_path(node: &TestNode, port: u16, token: &str) -> String {
    let (file, settings) = (node.root().join("token"), node.root().join("fast.json"));
    fs::write(&file, format!("{token}\n")).expect("the root can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
    let text =
        format!(r#"{{"proxmox": {{"fast_path": {{"token_file": "{}", "port": {port}}}}}}}"#, file.display());
    fs::write(&settings, text).expect("the root can be written");
    settings.to_string_lossy().into_owned()
}

#[test]
fn changes_take_the_fast_path_and_pct_does_what_it_cannot() {
    let node = node_or_skip!();
    let template = node.busybox();
    let server = TestServer::start(&node);
    let settings = fast_path(&node, server.port, &node.token("root@pam!fast", false));
    let run = |words: &[&str]| node.pvect(&[&["--settings", &settings, "-v"], words].concat());
    let took = |finished: &Finished| (finished.status, finished.stderr.contains("by=\"the node's API\""));
    assert_eq!(took(&run(&["create", "101", &template, "--rootfs", "local:0", "--memory", "64"])), (0, true));
    assert_eq!(took(&run(&["start", "101"])), (0, true));
    assert_eq!(took(&run(&["set", "101", "--memory", "96"])), (0, true));
    // The tasks are those of the token.
    let index = fs::read_to_string(node.root().join("log/tasks/index")).expect("the list of tasks");
    assert!(
        index.contains(":vzstart:101:root@pam!fast: ") && !index.contains(":vzstart:101:root@pam: "),
        "{index}"
    );
    // Reads are the node's own files; exec and push have no twin; a bind mount is for root@pam alone.
    let list = run(&["list"]);
    assert!(
        list.stderr.contains("the node's own files") && list.stdout.contains("running"),
        "{}",
        list.stderr
    );
    assert_eq!(took(&run(&["exec", "101", "--", "true"])), (0, false));
    assert_eq!(took(&run(&["set", "101", "--mp0", "/srv,mp=/srv"])), (0, false));
    let again = run(&["start", "101"]);
    assert_eq!(took(&again), (4, true), "{}", again.stderr);
    assert!(again.stderr.contains("CT 101 already running"), "{}", again.stderr);
    let dry = run(&["--dry-run", "stop", "101"]).stdout;
    assert!(dry.contains("POST https://127.0.0.1:") && dry.contains("/lxc/101/status/stop"), "{dry}");
    assert!(run(&["--backend", "pct", "--dry-run", "stop", "101"]).stdout.contains("pct stop 101"));

    // A token that may not, a wrong one, no server, another certificate: pct does it, and that is told.
    let weak = fast_path(&node, server.port, &node.token("root@pam!weak", true));
    let run = |settings: &str, words: &[&str]| node.pvect(&[&["--settings", settings, "-v"], words].concat());
    let told = |finished: Finished| {
        assert!(finished.stderr.contains("the node's API cannot do it, so pct does"), "{}", finished.stderr);
        finished.ok()
    };
    told(run(&weak, &["stop", "101"]));
    let wrong = fast_path(&node, server.port, "root@pam!fast=00000000-0000-4000-8000-000000000000");
    told(run(&wrong, &["start", "101"]));
    let port = server.port;
    assert_eq!(server.stop(), 0);
    let gone = fast_path(&node, port, "root@pam!fast=00000000-0000-4000-8000-000000000000");
    told(run(&gone, &["stop", "101"]));
    fs::set_permissions(node.root().join("token"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let refused = run(&gone, &["start", "101"]);
    assert!(refused.status != 0 && refused.stderr.contains("must belong to you alone"), "{}", refused.stderr);
}

#[test]
fn pct_and_api_show_the_same_life() {
    let node = node_or_skip!();
    let template = node.busybox();
    let server = Far::start(&node);
    let pct = life(&|words| node.pvect(&[&["--backend", "pct"], words].concat()), "101", &template);
    let api = life(&|words| server.pvect(words), "102", &template);
    assert_eq!(pct, api);
    only_the_api(&server, &template);
}

fn only_the_api(server: &Far<'_>, template: &str) {
    let api = |words: &[&str]| server.pvect(words);
    let made = api(&["create", template, "--rootfs", "local:0", "--hostname", "free"]);
    assert!(made.stdout.contains("100"), "{made:?}");
    assert!(made.stderr.contains("extracting archive"), "the task's log comes along: {made:?}");
    let text = api(&["template", "list"]).ok();
    assert!(text.contains(template), "{text}");
    for (words, status, expected) in [
        (
            &["push", "100", "/etc/hostname", "/x"][..],
            9,
            "error: the API cannot do 'push'; pct can: run pvect on the node, or reach it through ssh with --node\n",
        ),
        (
            &["set", "100", "--mp0", "/srv,mp=/srv"],
            5,
            "error: through the API only root@pam, logged in with a password, may set --mp0; root@pam!ci may not: use pct on the node, or --node NAME through ssh\n",
        ),
    ] {
        assert_eq!(api(words).fails(status), expected);
    }
    let shown = api(&["--dry-run", "set", "100", "--memory", "64"]).ok();
    assert!(
        shown.starts_with("PUT 'https://127.0.0.1:") && shown.ends_with("/lxc/100/config' memory=64\n"),
        "{shown}"
    );
    api(&["start", "all", "-q"]).ok();
    let compared = server.run(&["compare"], true);
    assert_eq!((compared.status, compared.stdout.as_str()), (0, ""), "{compared:?}");
    let agreed = compared.stderr.contains("pct, native, api agree in 10 comparisons");
    assert!(agreed, "{compared:?}");
    api(&["stop", "all", "--yes", "-q"]).ok();
    api(&["destroy", "100"]).ok();
    assert_eq!(api(&["list", "-o", "json"]).ok().trim(), "[]");
}
