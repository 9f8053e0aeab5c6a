//! Runs the system's programs (mkfs.ext4, mount, ...): the one way this crate starts them.
//!
//! Arguments are an argv array, the environment is clean and fixed, stdin is empty, both outputs are drained while
//! the program runs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::pipe::PipeFlags;

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::{Failure, FailureKind, NodeResult, lock_files};

/// How much of a program's stderr is kept, in bytes.
const STDERR_LIMIT: u64 = 64 * 1024;

/// A program to be run.
#[derive(Debug)]
pub struct Tool {
    name: String,
    package: &'static str,
    command: Command,
    stop: Option<Arc<AtomicBool>>,
    talks_on_stderr: bool,
    keeps_locks: bool,
    judge: fn(&str) -> FailureKind,
}

impl Tool {
    /// Prepares a program of the fixed search path; `package` is the Debian package that contains it.
    pub fn new(name: &str, package: &'static str) -> Self {
        let mut command = Command::new(name);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null());
        Self {
            name: name.to_owned(),
            package,
            command,
            stop: None,
            talks_on_stderr: false,
            keeps_locks: false,
            judge: |_| FailureKind::Operation,
        }
    }

    /// Makes the program end (SIGTERM) when one of the watched signals comes.
    #[must_use]
    pub fn until(mut self, interrupt: &Interrupt) -> Self {
        std::os::unix::process::CommandExt::process_group(&mut self.command, 0);
        self.stop = Some(interrupt.flag());
        self
    }

    /// Determines the kind of a failure of [`Tool::stream`] or [`Tool::run`] by what the program wrote to stderr.
    #[must_use]
    pub fn judged_by(mut self, judge: fn(&str) -> FailureKind) -> Self {
        self.judge = judge;
        self
    }

    /// Treats the lines of stderr as those of stdout, because some programs report their progress there.
    #[must_use]
    pub fn lines_of_stderr(mut self) -> Self {
        self.talks_on_stderr = true;
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I, S>(mut self, words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command.args(words);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end and discards its stdout.
    ///
    /// # Errors
    /// As [`Tool::stream`].
    pub fn run(self) -> NodeResult<()> {
        self.stream(&mut |_| {})
    }

    /// Puts it into a process group of its own, so that Ctrl-C on the terminal does not reach it. For programs that
    /// must not be cut short, such as resize2fs.
    #[must_use]
    pub fn apart(mut self) -> Self {
        std::os::unix::process::CommandExt::process_group(&mut self.command, 0);
        self
    }

    /// Lets it inherit the lock files that we hold. For programs that write to a volume: when we are killed they go on,
    /// and the container stays locked until they have ended. Not for daemons.
    #[must_use]
    pub fn keeping_locks(mut self) -> Self {
        self.keeps_locks = true;
        self
    }

    /// Runs it to its end; each line of its stdout goes to `on_line` as it comes.
    ///
    /// # Errors
    /// `<name> is not installed: apt-get install <package>`, or `command '<name>' failed: ...` with the last lines
    /// of its stderr.
    pub fn stream(mut self, on_line: &mut dyn FnMut(&str)) -> NodeResult<()> {
        let (status, errors) = self.drained(on_line)?;
        if status.success() {
            return Ok(());
        }
        let kind = (self.judge)(&String::from_utf8_lossy(&errors));
        Err(self.failed(&reason(status, &errors)).of_kind(kind))
    }

    /// Runs it to its end; each line of its stdout goes to `on_line` as it comes. Returns its exit status and what it
    /// wrote to stderr, whatever the status is.
    ///
    /// # Errors
    /// `<name> is not installed: apt-get install <package>`; when it cannot be run or is ended by a signal.
    pub fn outcome(mut self, on_line: &mut dyn FnMut(&str)) -> NodeResult<(i32, String)> {
        let (status, errors) = self.drained(on_line)?;
        let code = status.code().ok_or_else(|| self.failed(&reason(status, &errors)))?;
        Ok((code, String::from_utf8_lossy(&errors).into_owned()))
    }

    /// Runs it to its end; each line of its stdout and stderr goes to `on_line`, in the order in which it was written.
    /// Returns the exit status.
    ///
    /// # Errors
    /// As [`Tool::outcome`].
    pub fn merge(mut self, on_line: &mut dyn FnMut(&str)) -> NodeResult<i32> {
        let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let (reader, writer) = pipe.map_err(|errno| self.failed(&os_text(&errno.into())))?;
        let errors = writer.try_clone().map_err(|error| self.failed(&os_text(&error)))?;
        self.command.stdout(writer).stderr(errors);
        let mut child = self.spawn()?;
        // The prepared command also holds the writing end, and reading does not end while that is open.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        each_line(File::from(reader), on_line);
        let status = child.wait().map_err(|error| self.failed(&os_text(&error)))?;
        status.code().ok_or_else(|| self.failed(&reason(status, &[])))
    }

    fn spawn(&mut self) -> NodeResult<Child> {
        let command = &mut self.command;
        let spawned =
            if self.keeps_locks { lock_files::inherited(|| command.spawn()) } else { command.spawn() };
        spawned.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::not_installed(&self.name, self.package),
            _ => self.failed(&os_text(&error)),
        })
    }

    /// Runs it; passes the lines on and keeps the other stream's text, or the last lines when they come from stderr.
    fn drained(&mut self, on_line: &mut dyn FnMut(&str)) -> NodeResult<(ExitStatus, Vec<u8>)> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn()?;
        let watcher = self.stop.take().map(|stop| Watcher::start(&child, stop));
        let errors = if self.talks_on_stderr {
            let drain = child.stdout.take().map(|stdout| std::thread::spawn(move || bounded(stdout)));
            let last = child.stderr.take().map(|stderr| each_line(stderr, on_line)).unwrap_or_default();
            let _ = drain.map(std::thread::JoinHandle::join);
            last.into_bytes()
        } else {
            let drain = child.stderr.take().map(|stderr| std::thread::spawn(move || bounded(stderr)));
            child.stdout.take().map(|stdout| each_line(stdout, on_line));
            drain.and_then(|drain| drain.join().ok()).unwrap_or_default()
        };
        // Before the wait: until then the process id certainly belongs to the child.
        drop(watcher);
        let status = child.wait().map_err(|error| self.failed(&os_text(&error)))?;
        Ok((status, errors))
    }

    fn failed(&self, text: &str) -> Failure {
        Failure::new(format!("command '{}' failed: {text}", self.name))
    }
}

/// Stops a child when a flag is set, until this is dropped.
pub(crate) struct Watcher {
    done: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watcher {
    /// Starts to watch the flag; the child is the leader of its process group.
    pub(crate) fn start(child: &Child, stop: Arc<AtomicBool>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let ended = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if stop.load(Ordering::Relaxed) {
                    // Signal the whole group, because mmdebstrap notes a signal and then waits for its children.
                    let _ = pid
                        .map(|pid| rustix::process::kill_process_group(pid, rustix::process::Signal::TERM));
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { done, thread: Some(thread) }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Passes on each line; returns the last three.
fn each_line(stream: impl Read, on_line: &mut dyn FnMut(&str)) -> String {
    let mut reader = BufReader::new(stream);
    let mut last = std::collections::VecDeque::new();
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
        on_line(&line);
        last.push_back(line);
        if last.len() > 3 {
            last.pop_front();
        }
        bytes.clear();
    }
    last.make_contiguous().join("\n")
}

/// Reads everything and keeps the first part.
fn bounded(mut stream: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = (&mut stream).take(STDERR_LIMIT).read_to_end(&mut kept);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    kept
}

fn reason(status: ExitStatus, errors: &[u8]) -> String {
    use std::os::unix::process::ExitStatusExt;
    let text = String::from_utf8_lossy(errors);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    let end = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("got signal {signal}"),
        (None, None) => "no exit status".to_owned(),
    };
    if last.is_empty() { end } else { format!("{end}: {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_a_failure_has_the_last_words() {
        let mut lines = Vec::new();
        Tool::new("printf", "coreutils")
            .arg("a\\nb\\n")
            .stream(&mut |line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(lines, ["a", "b"]);
        let failure = Tool::new("ls", "coreutils").arg("/no/such").run().unwrap_err();
        assert_eq!(
            failure.text,
            "command 'ls' failed: exit code 2: ls: cannot access '/no/such': No such file or directory"
        );
    }

    #[test]
    fn progress_may_come_on_stderr_and_a_flag_ends_the_program() {
        let mut lines = Vec::new();
        let failure = Tool::new("ls", "coreutils")
            .arg("/no/such")
            .lines_of_stderr()
            .stream(&mut |line| lines.push(line.to_owned()))
            .unwrap_err();
        assert_eq!(lines, ["ls: cannot access '/no/such': No such file or directory"]);
        assert!(failure.text.ends_with("No such file or directory"), "{}", failure.text);
        let interrupt = Interrupt::watch();
        interrupt.flag().store(true, Ordering::Relaxed);
        let failure = Tool::new("sleep", "coreutils").arg("600").until(&interrupt).run().unwrap_err();
        assert_eq!(failure.text, "command 'sleep' failed: got signal 15");
    }

    #[test]
    fn both_streams_are_merged_in_their_order_or_kept_apart() {
        let program = "import os,sys; [os.write(fd, b'%d\\n' % fd) for fd in (2, 1, 2)]; sys.exit(4)";
        let tool = || Tool::new("python3", "python3").args(["-c", program]);
        let mut lines = Vec::new();
        assert_eq!(tool().apart().merge(&mut |line| lines.push(line.to_owned())).unwrap(), 4);
        assert_eq!(lines, ["2", "1", "2"]);
        lines.clear();
        let outcome = tool().outcome(&mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!((outcome, lines), ((4, "2\n2\n".to_owned()), vec!["1".to_owned()]));
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let failure = Tool::new("no-such-program", "some-package").run().unwrap_err();
        assert_eq!(failure.text, "no-such-program is not installed: apt-get install some-package");
    }
}
