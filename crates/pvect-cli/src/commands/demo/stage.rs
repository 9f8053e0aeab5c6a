//! The demo's own node: its directory and its bridge.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pvect::client::{Builder, host_name};
use pvect::{Client, Settings};
use pvect_core::{Error, NodeName, Result};
use pvect_node::{Node, Output};
use rustix::process::{Pid, Signal, kill_process};

use crate::app::App;
use crate::interrupt;
use crate::standalone::made;

/// Texts of the node that are not part of the demo.
macro_rules! quiet {
    () => {
        Output::new(&mut std::io::sink(), &mut std::io::sink())
    };
}

/// How long one step may take. Building a Debian template is the longest.
const LIMIT: Duration = Duration::from_secs(600);

/// The demo's node.
pub struct Stage {
    root: PathBuf,
    program: PathBuf,
    network: Option<Network>,
    problem: Option<String>,
    client: Client,
}

/// The demo's own network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The bridge.
    pub bridge: String,
    /// Whether containers get their addresses by DHCP there.
    pub dhcp: bool,
}

impl Stage {
    /// Makes the directory and the bridge.
    pub fn set(app: &App) -> Result<Self> {
        let number = std::process::id();
        let root = PathBuf::from(format!("/var/tmp/pvect-demo-{number}"));
        let failed = |source| Error::Io { what: format!("cannot make '{}'", root.display()), source };
        fs::DirBuilder::new().mode(0o711).create(&root).map_err(failed)?;
        // Other users may pass through, as those of unprivileged containers must, but not list it.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        let client = builder(&root, &app.program)?.timeout(Some(LIMIT)).connect()?;
        interrupt::watch(&client);
        let (network, problem) = network(&root, &app.program, number)?;
        Ok(Self { network, problem, root, program: app.program.clone(), client })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The network, if one could be made. [`Stage::problem`] says what is missing.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// What is missing in the network.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The client; Ctrl-C cancels it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Fails once Ctrl-C was pressed.
    pub fn check(&self) -> Result<()> {
        if self.client.cancel_handle().is_cancelled() {
            let source = std::io::Error::from(std::io::ErrorKind::Interrupted);
            return Err(Error::Io {
                what: "the demo was interrupted, and is cleaning up".to_owned(),
                source,
            });
        }
        Ok(())
    }

    /// Builds a template in a process of its own, which ends with Ctrl-C and cleans up after itself. Returns the id.
    pub async fn build(&self, what: &str) -> Result<String> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(["--root", &self.root.to_string_lossy(), "template", "build", what, "--quiet"]);
        command.env("PVECT_NODE", node()?.as_str()).stdin(Stdio::null()).stderr(Stdio::inherit());
        let spawn = |source: std::io::Error| Error::Spawn {
            what: "the build of the template did not start".to_owned(),
            run: Box::default(),
            source: Some(source),
        };
        let child = command.stdout(Stdio::piped()).spawn().map_err(spawn)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let mut ended = std::pin::pin!(child.wait_with_output());
        let mut told = false;
        let output = loop {
            tokio::select! {
                output = &mut ended => break output.map_err(spawn)?,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
            if !told && self.client.cancel_handle().is_cancelled() {
                // A signal that did not come from the terminal was sent to this process only.
                told = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
            }
        };
        self.check()?;
        if !output.status.success() {
            return Err(failed("the template could not be built"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Removes everything; returns what could not be removed.
    pub async fn clear(self) -> Vec<String> {
        let mut left = Vec::new();
        // A new client, because the handle of the other one may be cancelled.
        let client = builder(&self.root, &self.program).and_then(Builder::connect);
        if let Ok(client) = client {
            let mut containers = tokio::task::JoinSet::new();
            for entry in client.list().await.unwrap_or_default() {
                let client = client.clone();
                containers.spawn(async move {
                    // A create that was killed leaves its lock behind.
                    let _ = client.unlock(entry.vmid).await;
                    let _ = client.stop(entry.vmid).await;
                    client.destroy(entry.vmid, true).await.map_err(|error| format!("{}: {error}", entry.vmid))
                });
            }
            while let Some(done) = containers.join_next().await {
                if let Ok(Err(text)) = done {
                    left.push(text);
                }
            }
        }
        if let Ok(node) = standalone(&self.root, &self.program) {
            let down = pvect_node::network::down(&node, None, true, &mut quiet!());
            left.extend(down.err().map(|failure| failure.text));
        }
        if let Err(failure) = pvect_node::storage::unmount_all(&self.root) {
            left.push(failure.text);
        }
        if mounted(&self.root) {
            // Removing files below a mount would delete what does not belong to the demo.
            left.push(format!("something is still mounted below {}", self.root.display()));
        } else if let Err(error) = fs::remove_dir_all(&self.root) {
            left.push(format!("cannot remove {}: {error}", self.root.display()));
        }
        left
    }
}

/// The error of a step that did not do what it should.
pub fn failed(text: impl Into<String>) -> Error {
    Error::Failed {
        kind: pvect_core::ErrorKind::PctOperationFailed,
        message: text.into(),
        vmid: None,
        run: Box::default(),
    }
}

fn node() -> Result<NodeName> {
    let wrong = |error| Error::Settings { what: format!("the demo's node: {error}") };
    host_name().or_else(|_| "demo".parse().map_err(wrong))
}

fn builder(root: &Path, program: &Path) -> Result<Builder> {
    let mut settings = Settings::default();
    settings.proxmox.root = Some(root.to_owned());
    // The host's name, as everywhere, so that the node that --keep leaves can be found again.
    settings.proxmox.node = Some(node()?);
    Ok(Client::builder(settings).standalone_program(program))
}

fn standalone(root: &Path, program: &Path) -> Result<Node> {
    Ok(made(root, node()?, program.to_owned()))
}

/// Makes a network for the demo, and returns what is missing in it. Without the right to make one, the containers have
/// no network.
fn network(root: &Path, program: &Path, number: u32) -> Result<(Option<Network>, Option<String>)> {
    let node = standalone(root, program)?;
    let bridge = format!("pvd{number}");
    let made = pvect_node::network::up(&node, Some(&bridge), &[], &mut quiet!());
    Ok(match made {
        Ok(problems) => {
            let dhcp = pvect_node::network::states(&node)
                .is_ok_and(|states| states.iter().any(|state| state.dhcp == "running"));
            (Some(Network { bridge, dhcp }), problems.into_iter().next())
        }
        Err(failure) => (None, Some(failure.text)),
    })
}

fn mounted(root: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = root.to_string_lossy();
    table.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| point.starts_with(root.as_ref()))
}
