//! Processes inside a container: this process becomes lxc-attach or lxc-console.

use std::os::unix::process::CommandExt;
use std::process::Command;

use pvect_core::Vmid;

use super::PATH;
use super::start::cannot_run;
use crate::{Failure, Node};

/// What a process in the container gets of our environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// All of it.
    Keep,
    /// Nothing.
    Clear,
}

fn lxc(node: &Node, name: &str, vmid: Vmid) -> Command {
    let mut command = Command::new(name);
    // The words of lxc-attach's messages are those that scripts know.
    command.arg("-P").arg(node.layout.lxc()).args(["-n", &vmid.to_string()]).env("PATH", PATH);
    // These name files of the host.
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    // These choose the node; the real pct has no such thing to hand on.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PVECT_")) {
        command.env_remove(name);
    }
    command
}

/// Becomes a command in the container, or a shell when there is none. Returns only when that fails.
pub fn attach(node: &Node, vmid: Vmid, environment: Environment, words: &[String]) -> Failure {
    let mut command = lxc(node, "lxc-attach", vmid);
    command.arg(match environment {
        Environment::Keep => "--keep-env",
        Environment::Clear => "--clear-env",
    });
    if !words.is_empty() {
        command.arg("--").args(words);
    }
    cannot_run("lxc-attach", &command.exec())
}

/// Becomes the container's console: a tty, `/dev/console` or a shell, by `cmode`. Returns only when that fails.
pub fn console(node: &Node, vmid: Vmid, cmode: &str, escape: Option<&str>) -> Failure {
    if cmode == "shell" {
        return attach(node, vmid, Environment::Clear, &[]);
    }
    let mut command = lxc(node, "lxc-console", vmid);
    if cmode == "console" {
        command.args(["-t", "0"]);
    }
    if let Some(escape) = escape {
        command.args(["-e", escape]);
    }
    cannot_run("lxc-console", &command.exec())
}
