//! Runs one command to its end, whatever it does.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a command may take.
const TIME_OUT: Duration = Duration::from_secs(180);
/// How long its pipes may stay open after its end.
const HELD_OPEN: Duration = Duration::from_secs(3);

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// stdout, lossily decoded.
    pub(crate) stdout: String,
    /// stderr, lossily decoded.
    pub(crate) stderr: String,
    /// The exit status; 128 + signal when a signal ended it.
    pub(crate) exit: i32,
    /// What else was wrong: it took too long, or something it left behind holds its pipes.
    pub(crate) complaint: Option<String>,
}

/// Runs a command; its words come complete, its environment is just `env`.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn run(argv: &[String], env: &[(String, String)], stdin: &[u8]) -> Result<Ended, String> {
    let (program, words) = argv.split_first().ok_or("the command is empty")?;
    let mut child = Command::new(program)
        .args(words)
        .env_clear()
        .envs(env.iter().cloned())
        .current_dir("/")
        .process_group(0)
        .stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        let bytes = stdin.to_vec();
        // A command that does not read all of it is no fault.
        thread::spawn(move || drop(pipe.write_all(&bytes)));
    }
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let (exit, mut complaint) = wait(&mut child)?;
    let deadline = Instant::now() + HELD_OPEN;
    let mut text = |name: &str, pipe: Option<Receiver<Vec<u8>>>| {
        let (bytes, closed) = pipe.map_or((Vec::new(), true), |pipe| collect(&pipe, deadline));
        if !closed {
            complaint.get_or_insert_with(|| format!("something that it left behind holds its {name} open"));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (text("stdout", stdout), text("stderr", stderr));
    Ok(Ended { stdout, stderr, exit, complaint })
}

fn wait(child: &mut Child) -> Result<(i32, Option<String>), String> {
    let deadline = Instant::now() + TIME_OUT;
    loop {
        let status = child.try_wait().map_err(|error| format!("cannot be waited for: {error}"))?;
        if let Some(status) = status {
            return Ok((status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(-1), None));
        }
        if Instant::now() > deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
            return Ok((-1, Some(format!("it ran longer than {} s and was killed", TIME_OUT.as_secs()))));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Returns all bytes, and whether the pipe was closed before the deadline.
fn collect(pipe: &Receiver<Vec<u8>>, deadline: Instant) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(part) => bytes.extend(part),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return (bytes, true),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return (bytes, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, stdin: &[u8]) -> Ended {
        let argv: Vec<String> = ["/bin/sh", "-c", script].iter().map(|word| (*word).to_owned()).collect();
        run(&argv, &[("A".to_owned(), "1".to_owned())], stdin).unwrap()
    }

    #[test]
    fn streams_and_status_are_kept() {
        let ended = shell("cat; echo $A >&2; exit 7", b"in\n");
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.exit), ("in\n", "1\n", 7));
        assert_eq!(ended.complaint, None);
        assert_eq!(shell("kill -9 $$", b"").exit, 137);
    }

    #[test]
    fn a_held_pipe_is_named() {
        let ended = shell("echo x; sleep 30 & echo $! >&2; exit 0", b"");
        assert_eq!(ended.stdout, "x\n");
        assert_eq!(ended.complaint.unwrap(), "something that it left behind holds its stdout open");
        let pid = ended.stderr.trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}
