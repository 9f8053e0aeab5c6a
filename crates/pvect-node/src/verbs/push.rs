//! `pct push`: copies a file of the host into a running container.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pvect_core::{Call, Vmid};
use rustix::process::{Pid, Signal, kill_process};

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::{Failure, Node, NodeResult, Output, helper_verbs, runtime, store, task};

/// How long the copying process may take to clean up after a signal.
const GRACE: Duration = Duration::from_secs(5);
/// How often to check for its end.
const STEP: Duration = Duration::from_millis(2);

/// Copies a file of the host into a running container. Returns the exit status, which is 0 even when the copy failed:
/// as with the real pct, only the text on stderr shows that.
///
/// # Errors
/// `can only push files to a running CT`, and what keeps the task from being started.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let [_, file, destination] = call.args() else {
        return Err(super::not_enough_arguments());
    };
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    if !runtime::is_running(node, vmid) {
        return Err(Failure::new("can only push files to a running CT"));
    }
    store::load_telling(node, vmid, output)?;
    let pushed = task::run(node, "push_file", &vmid.to_string(), output, |_, _| {
        push(node, vmid, call, file, destination)
    });
    Ok(unchecked(pushed, output))
}

/// The exit status of a task that the real pct does not check.
pub(super) fn unchecked(result: NodeResult<()>, output: &mut Output<'_>) -> u8 {
    if let Err(failure) = result {
        output.warn(failure.text);
    }
    0
}

fn push(node: &Node, vmid: Vmid, call: &Call, file: &str, destination: &str) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    let init = runtime::init(node, vmid)?;
    let root = runtime::opened(vmid, init.root())?;
    let users = runtime::opened(vmid, init.namespace("user"))?;
    let source = File::open(file).map_err(|_| Failure::new(format!("failed to open {file} for reading")))?;
    let option = |name: &str| call.get(name).unwrap_or_default();
    let mut command = Command::new(&node.helper);
    // The container may have a `/dev/tty` under any name; in a session without a terminal it cannot be used.
    pvect_sys::child::new_session(&mut command);
    let child = command
        .args([
            "__node",
            helper_verbs::PUSH_INTO,
            &runtime::path_of(&root),
            &runtime::path_of(&users),
            destination,
        ])
        .args([option("user"), option("group"), option("perms")])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .stdin(source)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::io("can't run", &node.helper, &error))?;
    finish(child, &interrupt)
}

/// Waits for the copying process; once a signal has come, it is told to end, which removes what it made.
fn finish(mut child: Child, interrupt: &Interrupt) -> NodeResult<()> {
    let failed =
        |error: std::io::Error| Failure::new(format!("can't wait for the copy - {}", os_text(&error)));
    let mut told: Option<Instant> = None;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        match told {
            None if interrupt.came() => {
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    // It is our child and we have not waited for it yet, so the process id is still its own.
                    let _ = kill_process(pid, Signal::TERM);
                }
                told = Some(Instant::now());
            }
            Some(since) if since.elapsed() > GRACE => {
                let _ = child.kill();
            }
            _ => {}
        }
        std::thread::sleep(STEP);
    };
    interrupt.check()?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(64 * 1024).read_to_string(&mut text);
    }
    match text.trim_end() {
        "" => Err(Failure::new(format!("the copy ended early - {status}"))),
        text => Err(Failure::new(text)),
    }
}
