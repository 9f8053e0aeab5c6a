//! What an administrator types first, and what pvect answers: selectors, words of other tools, values that are wrong.
//! No container runs here.

use pvect_testkit::{TestNode, node_or_skip};

/// Two containers that do not run, one of them with a tag.
fn two(node: &TestNode) {
    let config = node.config_file(101);
    std::fs::create_dir_all(config.parent().expect("it has one")).expect("a directory can be made");
    std::fs::write(&config, "hostname: web1\ntags: prod\n").expect("a configuration can be written");
    std::fs::write(node.config_file(102), "hostname: db\n").expect("a configuration can be written");
}

#[test]
fn lists_take_selectors() {
    let node = node_or_skip!();
    two(&node);
    let list = |words: &[&str]| {
        let words = [&["list", "--columns", "vmid", "--no-header"], words].concat();
        node.pvect(&words).ok().replace('\n', " ")
    };
    for (words, expected) in [
        (&["@prod"][..], "101 "),
        (&["status:stopped"], "101 102 "),
        (&["all", "!web*"], "102 "),
        (&["db"], "102 "),
        (&["100-101"], "101 "),
    ] {
        assert_eq!(list(words), expected, "{words:?}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&node.pvect(&["list", "@prod", "-o", "json"]).ok()).expect("it is JSON");
    assert_eq!(json, serde_json::json!([{"vmid": 101, "status": "stopped", "name": "web1"}]));
    let plain = node.pvect(&["list", "@prod", "-o", "plain"]).ok();
    assert_eq!(plain.lines().next(), node.pct(&["list"]).ok().lines().next());
    assert_eq!(plain.lines().count(), 2, "{plain}");
    assert_eq!(node.pvect(&["list", "@nosuch"]).fails(3), "error: no container matches '@nosuch'\n");
}

#[test]
fn status_takes_selectors() {
    let node = node_or_skip!();
    two(&node);
    let text = node.pvect(&["status", "@prod"]).ok();
    assert_eq!(text, "VMID  NAME  STATUS\n101   web1  stopped\n");
    assert_eq!(node.pvect(&["status", "web1"]).ok(), "status: stopped\n");
    let whole = node.pvect(&["status", "all", "--verbose", "-o", "json"]).ok();
    let whole: serde_json::Value = serde_json::from_str(&whole).expect("it is JSON");
    assert_eq!((whole[0]["tags"].as_str(), whole[1]["name"].as_str()), (Some("prod"), Some("db")));
    assert!(node.pvect(&["status", "all", "--dry-run"]).ok().ends_with("status 102\n"));
}

#[test]
fn backups_take_selectors() {
    let node = node_or_skip!();
    two(&node);
    let line = |words: &[&str]| {
        let line = node.pvect(&[&["backup", "--dry-run"], words].concat()).ok();
        line.split_once(" vzdump ").map(|(_, words)| words.to_owned()).expect("vzdump is shown")
    };
    assert_eq!(line(&["all"]), "101 102 --compress zstd\n");
    assert_eq!(line(&["@prod"]), "101 --compress zstd\n");
    assert_eq!(line(&["all", "!101"]), "102 --compress zstd\n");
    assert_eq!(line(&["db"]), "102 --compress zstd\n");
    assert_eq!(node.pvect(&["backup", "@nosuch"]).fails(3), "error: no container matches '@nosuch'\n");
}

#[test]
fn wrong_values_of_a_backup_name_their_option() {
    let node = node_or_skip!();
    two(&node);
    for (words, expected) in [
        (&["--zstd", "-1"][..], "--zstd: '-1' cannot be used: not a whole number from 0"),
        (&["--zstd", "many"], "--zstd: 'many' cannot be used: not a whole number from 0"),
        (&["--bwlimit=-1"], "--bwlimit: '-1' cannot be used: not a whole number from 0"),
        (&["--mode", "-1"], "--mode: '-1' is not one of: snapshot, suspend, stop"),
        (&["-5"], "<arguments>: pvect backup does not take '-5'"),
    ] {
        let error = node.pvect(&[&["backup", "101"], words].concat()).fails(2);
        assert_eq!(error, format!("error: {expected}\n"));
    }
    let error = node.pvect(&["backup", "101", "--prune-backups", "nonsense"]).fails(2);
    assert_eq!(error.lines().next(), Some("error: prune-backups: invalid format - format error"));
    assert_eq!(
        node.pvect(&["top", "-d", "-1", "-n", "1"]).fails(2),
        "error: --delay: '-1' is not a time in seconds\n"
    );
}

#[test]
fn what_is_missing_is_what_is_needed() {
    let node = node_or_skip!();
    assert_eq!(node.pvect(&["create"]).fails(2), "error: <ostemplate>: is missing and required\n");
    assert_eq!(node.pvect(&["restore"]).fails(2), "error: <ostemplate>: is missing and required\n");
    assert_eq!(node.pvect(&["clone"]).fails(2), "error: <vmid>: is missing and required\n");
    let help = node.pvect(&["create", "--help"]).ok();
    assert!(
        help.contains("[vmid]        The number of the container. The next free one if left out."),
        "{help}"
    );
    let error = node.pvect(&["node", "acl", "grant", "x"]).fails(2);
    assert_eq!(
        error,
        "error: <role>: is missing and required: pvect node acl grant <USER@REALM[!ID]> <role> [path]\n"
    );
    let error = node.pvect(&["node", "acl", "grant", "x", "PVEAuditor"]).fails(2);
    assert_eq!(error, "error: 'x' is not a name of the form USER@REALM or USER@REALM!ID\n");
}

#[test]
fn what_is_wrong_inside_a_value_comes_first() {
    let node = node_or_skip!();
    two(&node);
    let error = node.pvect(&["set", "101", "--net0", "name=eth0,nokey=x"]).fails(2);
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines[0].starts_with("error: --net0.nokey: there is no such key;"), "{error}");
    assert!(lines[1].starts_with("error: --net0: 'name=eth0,nokey=x' is not allowed"), "{error}");
    let json = node.pvect(&["set", "101", "--net0", "name=eth0,nokey=x", "-o", "json"]).fails(2);
    assert!(json.contains(r#""message":"--net0.nokey: there is no such key;"#), "{json}");
    // pct's own order stays.
    let pct = node.pct(&["set", "101", "--net0", "name=eth0,nokey=x"]).fails(2);
    let lines: Vec<&str> = pct.lines().collect();
    assert!(lines[1].starts_with("net0: invalid format") && lines[2].starts_with("net0.nokey: "), "{pct}");
}

#[test]
fn tasks_are_listed_and_read() {
    let node = node_or_skip!();
    two(&node);
    // A start of a container without a root file system: a task that fails.
    node.pvect(&["start", "101", "-q"]).fails(1);
    let json = node.pvect(&["tasks", "web1", "-o", "json"]).ok();
    let tasks: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let task = &tasks[0];
    assert_eq!((task["type"].as_str(), task["vmid"].as_u64()), (Some("vzstart"), Some(101)), "{json}");
    assert_ne!(task["status"], "OK", "{json}");
    assert_eq!(node.pvect(&["tasks", "--errors", "--no-header"]).ok().lines().count(), 1);
    assert_eq!(node.pvect(&["tasks", "--running", "-o", "json"]).ok(), "[]\n");
    assert_eq!(node.pvect(&["tasks", "102", "-o", "json"]).ok(), "[]\n");
    let upid = task["upid"].as_str().expect("a UPID");
    let log = node.pvect(&["tasks", upid]).ok();
    assert!(log.lines().last().is_some_and(|line| line.starts_with("TASK ERROR: ")), "{log}");
    assert_eq!(node.pvect(&["tasks", upid, "--lines", "1"]).ok().lines().count(), 1);
    let gone = upid.replace(":101:", ":103:");
    assert_eq!(
        node.pvect(&["tasks", &gone]).fails(3),
        format!("error: there is no log of the task {gone}\n")
    );
}

#[test]
fn logs_of_a_container_are_shown_without_control_characters() {
    let node = node_or_skip!();
    two(&node);
    let missing = node.pvect(&["log", "web1"]).fails(3);
    assert!(missing.starts_with("error: there is no log of 101: it was not started yet"), "{missing}");
    let starts = node.root().join("run/pve");
    std::fs::create_dir_all(&starts).expect("a directory can be made");
    std::fs::write(starts.join("ct-101.stderr"), "one\ntwo\x1b[2J\n").expect("a log can be written");
    let console = node.root().join("console");
    std::fs::write(&console, "login: ").expect("a log can be written");
    let raw = format!("hostname: web1\nlxc.console.logfile: {}\n", console.display());
    std::fs::write(node.config_file(101), raw).expect("a configuration can be written");
    let lxc = starts.join("ct-101.stderr");
    assert_eq!(
        node.pvect(&["log", "web1", "--lines", "1"]).ok(),
        format!(
            "==> lxc: {} <==\ntwo\\u001b[2J\n==> console: {} <==\nlogin: \n",
            lxc.display(),
            console.display()
        )
    );
    let json = node.pvect(&["log", "web1", "-o", "json"]).ok();
    let logs: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(logs[0]["lines"], serde_json::json!(["one", "two\u{1b}[2J"]), "{json}");
    // A pipe would never end, and a link leads anywhere.
    std::fs::remove_file(&console).expect("it is there");
    std::os::unix::fs::symlink("/etc/hostname", &console).expect("a link can be made");
    let refused = node.pvect(&["log", "web1"]).fails(1);
    assert!(refused.contains("cannot read"), "{refused}");
}

#[test]
fn doctor_names_what_storage_cfg_says_in_vain() {
    let node = node_or_skip!();
    let file = node.root().join("etc/pve/storage.cfg");
    std::fs::create_dir_all(file.parent().expect("it has one")).expect("a directory can be made");
    std::fs::write(&file, "dir: usb\n\tpath /\n\tdisable maybe\n").expect("a file can be written");
    let json = node.pvect(&["doctor", "-o", "json"]).stdout;
    let lines: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let of = |name: &str| -> Vec<serde_json::Value> {
        let lines = lines.as_array().expect("a list").iter();
        lines.filter(|line| line["name"] == name).cloned().collect()
    };
    let [line] = &of("storage.cfg")[..] else { panic!("{json}") };
    let detail = line["detail"].as_str().expect("a text");
    assert!(
        detail.contains("storage.cfg:3: storage 'usb': the value of 'disable' is not understood"),
        "{detail}"
    );
    assert_eq!(
        (line["verdict"].as_str(), line["fix"].as_str()),
        (Some("warn"), Some("correct it, or remove the line"))
    );
    std::fs::remove_file(&file).expect("it is there");
    assert!(!node.pvect(&["doctor", "-o", "json"]).stdout.contains("storage.cfg"), "{json}");
}

#[test]
fn help_says_what_differs_between_one_and_many() {
    let node = node_or_skip!();
    for verb in ["start", "stop", "shutdown"] {
        let help = node.pvect(&[verb, "--help"]).ok();
        assert!(help.contains("an error with exit status 4") && help.contains("'unchanged'"), "{help}");
    }
    assert!(!node.pvect(&["resize", "--help"]).ok().contains("'unchanged'"));
}
