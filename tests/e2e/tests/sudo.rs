//! Through the real sudo, as the user `nobody`. Its rules are put in place in a mount namespace of the test's own, so
//! the machine's stay as they are.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pvect_testkit::{FakePct, TestNode, node_or_skip};

/// Runs `pvect` as `nobody` where `rule` is all that sudo allows.
fn as_nobody(rule: &str, pvect: &Command, words: &[&str]) -> Output {
    // $1 is the rule, the rest the command.
    const SCRIPT: &str = "set -e
        mount -t tmpfs -o mode=0755 none /etc/sudoers.d
        printf 'nobody ALL=(root) NOPASSWD: %s\\n' \"$1\" >/etc/sudoers.d/test
        chmod 440 /etc/sudoers.d/test
        shift
        exec setpriv --reuid=nobody --regid=nogroup --clear-groups -- \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh", rule]).arg(pvect.get_program()).args(words);
    command.env_clear().envs(pvect.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir("/").stdin(Stdio::null()).output().expect("unshare is there")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lets everybody through to the file: the test's directories are private.
fn open_way(path: &Path) {
    for directory in path.ancestors().take_while(|directory| *directory != Path::new("/")) {
        let mode = std::fs::metadata(directory).expect("it is there").permissions().mode();
        if mode & 0o1 == 0 {
            std::fs::set_permissions(directory, PermissionsExt::from_mode(mode | 0o11)).expect("it is ours");
        }
    }
}

fn program_may_be_run(node: &TestNode) -> bool {
    let program = node.command([""; 0]).get_program().to_owned();
    Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"])
        .arg(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn a_rule_for_pct_alone_is_enough() {
    let node = node_or_skip!();
    if !program_may_be_run(&node) {
        return pvect_testkit::skipped(
            "a_rule_for_pct_alone_is_enough",
            "nobody may not enter the build's directory",
        );
    }
    let pct = FakePct::new(
        "[ \"$(id -u)\" = 0 ] || exit 99\necho 'VMID       Status     Lock         Name                '\necho '101        running                 web                 '",
    );
    let path = pct.path();
    open_way(&path);
    let mut pvect = node.command([""; 0]);
    pvect.env_remove("PVECT_ROOT").env("PVECT_PCT_PATH", &path).env("TERM", "xterm");
    let rule = path.display().to_string();

    let listed = as_nobody(&rule, &pvect, &["--sudo", "list", "-o", "csv", "--columns", "vmid,name"]);
    assert_eq!(
        (text(&listed.stdout), listed.status.code()),
        ("vmid,name\n101,web\n".to_owned(), Some(0)),
        "{}",
        text(&listed.stderr)
    );

    let refused = as_nobody("/bin/false", &pvect, &["--sudo", "list"]);
    assert_eq!(refused.status.code(), Some(7));
    assert_eq!(
        text(&refused.stderr).lines().next(),
        Some(format!("error: sudo cannot run '{rule}': a password is required").as_str())
    );

    let without = as_nobody(&rule, &pvect, &["list"]);
    assert_eq!(without.status.code(), Some(5), "{}", text(&without.stderr));
}

#[test]
fn the_standalone_node_through_sudo() {
    let node = node_or_skip!();
    if !program_may_be_run(&node) {
        return pvect_testkit::skipped(
            "the_standalone_node_through_sudo",
            "nobody may not enter the build's directory",
        );
    }
    let template = node.busybox();
    let pvect = node.command([""; 0]);
    let run = |words: &[&str]| {
        let output = as_nobody("ALL", &pvect, words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    run(&["--sudo", "create", "101", &template, "--hostname", "web", "--rootfs", "local:0"]);
    assert_eq!(
        run(&["--sudo", "list", "-o", "csv", "--columns", "vmid,status,name"]),
        "vmid,status,name\n101,stopped,web\n"
    );
    // What nobody may not see (cgroups, devices) fails other checks.
    let doctor = text(&as_nobody("ALL", &pvect, &["--sudo", "doctor", "-o", "csv"]).stdout);
    assert!(doctor.contains("ok,root,this is not root; pct runs through sudo"), "{doctor}");
    run(&["--sudo", "destroy", "101"]);
}
