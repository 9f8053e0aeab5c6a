//! Clients that people use: proxmoxer, and Ansible where it is installed. `scripts/clients` installs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use pvect_testkit::{Finished, TestServer, node_or_skip, skipped};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Python of a virtual environment below `target`, where this module can be imported.
fn python(environment: &str, module: &str) -> Result<PathBuf, String> {
    let python = workspace().join("target").join(environment).join("bin/python");
    let import = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    match import {
        Ok(output) if output.status.success() => Ok(python),
        _ => Err(format!("{module} is not installed; scripts/clients installs it")),
    }
}

#[test]
fn proxmoxer_leads_a_whole_life() {
    let node = node_or_skip!();
    let python = match python("clients", "proxmoxer") {
        Ok(python) => python,
        Err(reason) => return skipped(module_path!(), &reason),
    };
    let token = node.token("root@pam!ci", false);
    node.user("root@pam", "hunter22");
    let template = node.busybox();
    let server = TestServer::start(&node);
    let output = Command::new(python)
        .arg(workspace().join("tests/clients/proxmoxer_life.py"))
        .args([server.port.to_string(), template])
        .env("PVE_TOKEN", token)
        .env("PVE_PASSWORD", "hunter22")
        .env("PVE_CA", node.root().join("etc/pve/nodes/vm/pve-ssl.pem"))
        .output()
        .unwrap();
    Finished::of("proxmoxer_life.py", &output).ok();
    assert_eq!(node.leftovers().iter().filter(|line| !line.contains("node serve")).count(), 0);
}

#[test]
fn ansible_creates_and_deletes_a_container() {
    let node = node_or_skip!();
    if let Err(reason) = python("ansible", "ansible") {
        return skipped(module_path!(), &reason);
    }
    let token = node.token("root@pam!ci", false);
    let template = node.busybox();
    let server = TestServer::start(&node);
    let output = Command::new(workspace().join("target/ansible/bin/ansible-playbook"))
        .arg(workspace().join("tests/clients/ansible_life.yml"))
        .args(["-i", "localhost,", "-c", "local"])
        .env("ANSIBLE_LOCALHOST_WARNING", "False")
        .env("ANSIBLE_LOCAL_TEMP", node.root().join("ansible"))
        .env("ANSIBLE_REMOTE_TEMP", node.root().join("ansible"))
        .env("ANSIBLE_PYTHON_INTERPRETER", workspace().join("target/ansible/bin/python"))
        .env("PVE_PORT", server.port.to_string())
        .env("PVE_TOKEN", token.split_once('=').unwrap().1)
        .env("PVE_TEMPLATE", template)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let shown = Finished::of("ansible-playbook", &output).ok();
    assert!(shown.contains("changed=4") && shown.contains("failed=0"), "{shown}");
    assert!(!node.config_file(181).exists());
}
