//! Hook scripts belong to the node that runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use pvect_testkit::{TestNode, node_or_skip};

/// Exit status, stdout and stderr.
fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("pvect can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is UTF-8");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

/// Runs `pvect --root DIR ...`, which must succeed; nothing of the environment says which node is meant.
fn by_option(node: &TestNode, words: &[&str]) -> String {
    let mut command = node.command(["--root", &node.root().to_string_lossy()]);
    let (status, out, err) = run(command.args(words).env_remove("PVECT_ROOT").env_remove("PVECT_NODE"));
    assert_eq!(status, 0, "{words:?}: {out}{err}");
    out
}

#[test]
fn a_hook_script_finds_its_own_node() {
    let node = node_or_skip!();
    by_option(&node, &["template", "build", "busybox", "--quiet"]);
    let list = by_option(&node, &["template", "list", "-o", "json"]);
    let start = list.find("local:vztmpl/").expect("the template is listed");
    let template: String = list[start..].chars().take_while(|c| *c != '"').collect();
    let script = node.root().join("vz/snippets/hook.sh");
    fs::create_dir_all(script.parent().expect("a parent")).expect("a directory");
    let said = node.root().join("said");
    let text = format!(
        "#!/bin/sh\nexec >>{} 2>&1\necho \"$2 $HOME $PVECT_ROOT\"\n\
         [ \"$2\" = post-start ] && pct exec \"$1\" -- hostname\npct config \"$1\" | grep ^hostname\ntrue\n",
        said.display()
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("a mode");
    let options =
        ["--rootfs", "local:1", "--hostname", "web1", "--hookscript", "local:snippets/hook.sh", "--start"];
    by_option(&node, &[&["create", "101", template.as_str()], options.as_slice()].concat());
    let root = node.root().display();
    let before = format!("pre-start /root {root}\nhostname: web1\n");
    let after = format!("post-start /root {root}\nweb1\nhostname: web1\n");
    assert_eq!(fs::read_to_string(&said).expect("it said something"), format!("{before}{after}"));
    by_option(&node, &["stop", "101"]);
    let all = fs::read_to_string(&said).expect("it said something");
    assert!(all.contains(&format!("pre-stop /root {root}\nhostname: web1\n")), "{all}");
    // That of LXC, after the container.
    assert!(all.ends_with(&format!("post-stop /root {root}\nhostname: web1\n")), "{all}");
    by_option(&node, &["destroy", "101"]);
}

#[test]
fn who_only_looks_makes_no_node() {
    let node = node_or_skip!();
    let root = node.root().join("none");
    for (words, status) in [
        (&["list"][..], 0),
        (&["status", "101"], 2),
        (&["config", "101"], 2),
        (&["df", "101"], 2),
        (&["cpusets"], 0),
        (&["exec", "101", "--", "true"], 2),
    ] {
        let mut command = node.command([&["pct"], words].concat());
        let (ended, out, err) = run(command.env("PVECT_ROOT", &root));
        let text = "Configuration file 'nodes/vm/lxc/101.conf' does not exist\n";
        assert_eq!(ended, status, "{words:?}: {out}{err}");
        assert!(if status == 0 { err.is_empty() } else { err.ends_with(text) }, "{words:?}: {err}");
        assert!(!root.exists(), "{words:?}");
    }
}
