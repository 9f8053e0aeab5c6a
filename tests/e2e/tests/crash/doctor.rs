//! How `pvect doctor` asks and reports.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pvect_testkit::node_or_skip;

#[test]
fn doctor_names_what_was_left_and_mends_it_when_told() {
    let node = node_or_skip!();
    let nothing = "killed commands left nothing behind\n";
    node.pct(&["list"]).ok();
    assert_eq!(node.pvect(&["doctor", "--fix"]).ok(), nothing);
    assert!(node.pvect(&["doctor"]).ok().contains(nothing));
    let text = node.pvect(&["doctor", "--yes"]).fails(2);
    assert_eq!(text, "error: --yes: it is for --fix only\n");

    fs::write(node.config_file(101), "lock: fstrim\nmp0: /srv,mp=/srv\nrootfs: /srv\n").expect("a file");
    fs::write(node.config_file(102), "lock: migrate\nrootfs: /srv\n").expect("a file");
    for vmid in [101, 102] {
        fs::set_permissions(node.config_file(vmid), fs::Permissions::from_mode(0o640)).expect("a mode");
    }
    let csv = |words: &[&str], columns: &str| {
        let all = [words, &["-o", "csv", "--no-header", "--columns", columns]].concat();
        node.pvect(&all).ok().replace(&node.root().display().to_string(), "/R")
    };
    let told = csv(&["doctor"], "name,detail,fix");
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("stale-lock")).collect();
    assert_eq!(
        lines,
        [
            "stale-lock,/R/etc/pve/nodes/vm/lxc/101.conf: CT 101 is locked (fstrim) and nothing works on it,\
             pvect doctor --fix (to remove the lock value)",
            "stale-lock,/R/etc/pve/nodes/vm/lxc/102.conf: CT 102 is locked (migrate) and nothing works on it,\
             pvect unlock 102",
        ]
    );
    let text = node.pvect(&["doctor", "--fix"]).fails(2);
    assert_eq!(text, "error: --fix: there is no terminal to ask on; add --yes\n");
    assert!(fs::read_to_string(node.config_file(101)).expect("a file").contains("lock: fstrim"));
    let done = csv(&["doctor", "--fix", "--yes"], "outcome,vmid,fix");
    assert_eq!(done, "fixed,101,remove the lock value\nleft,102,pvect unlock 102\n");
    let config = fs::read_to_string(node.config_file(101)).expect("a file");
    assert_eq!(config, "mp0: /srv,mp=/srv\nrootfs: /srv\n");
    node.pvect(&["unlock", "102"]).ok();
    assert_eq!(node.pvect(&["doctor", "--fix", "--yes"]).ok(), nothing);
}
