//! Processes inside a container: this process becomes lxc-attach or lxc-console.
//!
//! lxc-attach makes a terminal for the command, and a session, where one of the three streams is a terminal. Where none
//! is, the command would have our controlling terminal: whoever opens `/dev/tty` then reads what is typed here, and
//! types. There lxc-attach runs in a session of its own, beside this process.

use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use pvect_core::Vmid;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::{PATH, cannot_run};
use crate::{Node, NodeResult};

/// Which of our environment variables a process in the container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// All of it.
    Keep,
    /// Nothing.
    Clear,
}

fn lxc(node: &Node, name: &str, vmid: Vmid) -> Command {
    let mut command = Command::new(name);
    // Scripts know the texts of lxc-attach's messages.
    command.arg("-P").arg(node.layout.lxc()).args(["-n", &vmid.to_string()]).env("PATH", PATH);
    // These variables name files of the host.
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    // These variables choose the node; the real pct has nothing like them to pass on.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PVECT_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command in the container, or a shell when there is none, and returns its status. Where possible, this process
/// becomes the command, and the function returns only if that fails.
///
/// # Errors
/// When lxc-attach cannot be run.
pub fn attach(node: &Node, vmid: Vmid, environment: Environment, words: &[String]) -> NodeResult<u8> {
    let mut command = lxc(node, "lxc-attach", vmid);
    command.arg(match environment {
        Environment::Keep => "--keep-env",
        Environment::Clear => "--clear-env",
    });
    if !words.is_empty() {
        command.arg("--").args(words);
    }
    if is_on_a_terminal() || !has_terminal() {
        return Err(cannot_run("lxc-attach", &command.exec()));
    }
    beside(&mut command).map_err(|error| cannot_run("lxc-attach", &error))
}

/// Whether a standard stream is a terminal; lxc-attach then makes a terminal of its own for the command.
fn is_on_a_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// Whether this process has a controlling terminal. Source: tty(4).
fn has_terminal() -> bool {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    !matches!(rustix::fs::openat(CWD, "/dev/tty", flags, Mode::empty()), Err(Errno::NXIO))
}

/// Runs a command to its end in a session of its own, and passes on the signals that arrive here, from the terminal and
/// from others. The command ends with this process, even when that is killed. Returns its status; if a signal ended it,
/// this process ends by the same signal.
fn beside(command: &mut Command) -> io::Result<u8> {
    pvect_sys::child::new_session(command);
    pvect_sys::child::die_with_parent(command);
    let passed = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2];
    // The command also ignores what we ignore.
    let heard = passed.into_iter().filter(|signal| !pvect_sys::child::is_ignored(*signal));
    let mut signals = Signals::new(heard.chain([SIGCHLD]))?;
    let mut child = command.spawn()?;
    for signal in signals.forever() {
        if signal != SIGCHLD {
            pass_on(&child, signal);
        } else if let Some(status) = child.try_wait()? {
            if let Some(signal) = status.signal() {
                let _ = emulate_default_handler(signal);
            }
            let code = status.code().or_else(|| Some(128 + status.signal()?));
            return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX));
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Signals of a terminal go to the process group, as the terminal itself would send them; others to the process.
fn pass_on(child: &Child, signal: i32) {
    // We have not waited for it yet, so the process id is still its own.
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    // It may have ended just now.
    let _ = match signal {
        SIGTSTP => {
            let _ = kill_process_group(pid, Signal::STOP);
            // Stops until the shell continues us.
            let _ = kill_process(rustix::process::getpid(), Signal::STOP);
            kill_process_group(pid, Signal::CONT)
        }
        SIGHUP | SIGINT | SIGQUIT => {
            Signal::from_named_raw(signal).map_or(Ok(()), |signal| kill_process_group(pid, signal))
        }
        _ => Signal::from_named_raw(signal).map_or(Ok(()), |signal| kill_process(pid, signal)),
    };
}

/// Becomes the container's console: a tty, `/dev/console` or a shell, by `cmode`. Returns only when that fails, or as
/// [`attach`] does.
///
/// # Errors
/// When lxc-console or lxc-attach cannot be run.
pub fn console(node: &Node, vmid: Vmid, cmode: &str, escape: Option<&str>) -> NodeResult<u8> {
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
    Err(cannot_run("lxc-console", &command.exec()))
}
