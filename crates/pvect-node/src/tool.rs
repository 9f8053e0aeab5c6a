//! Runs the system's programs (mkfs.ext4, mount, ...): the one way this crate starts them.
//!
//! Arguments are an argv array, the environment is clean and fixed, stdin is empty, both outputs are drained while
//! the program runs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::{Failure, NodeResult};

/// The most that is kept of a program's stderr, in bytes.
const STDERR_LIMIT: u64 = 64 * 1024;

/// A program to be run.
#[derive(Debug)]
pub struct Tool {
    name: String,
    package: &'static str,
    command: Command,
    stop: Option<Arc<AtomicBool>>,
    talks_on_stderr: bool,
}

impl Tool {
    /// Prepares a program of the fixed search path; `package` is Debian's package that has it.
    pub fn new(name: &str, package: &'static str) -> Self {
        let mut command = Command::new(name);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null());
        Self { name: name.to_owned(), package, command, stop: None, talks_on_stderr: false }
    }

    /// Has the program ended (SIGTERM) when one of the watched signals comes.
    #[must_use]
    pub fn until(mut self, interrupt: &Interrupt) -> Self {
        self.stop = Some(interrupt.flag());
        self
    }

    /// Takes the lines of stderr for those of stdout: some programs report their progress there.
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

    /// Runs it to its end and drops its stdout.
    ///
    /// # Errors
    /// As [`Tool::stream`].
    pub fn run(self) -> NodeResult<()> {
        self.stream(&mut |_| {})
    }

    /// Runs it to its end; each line of its stdout goes to `on_line` as it comes.
    ///
    /// # Errors
    /// `<name> is not installed: apt-get install <package>`, or `command '<name>' failed: ...` with the last lines
    /// of its stderr.
    pub fn stream(mut self, on_line: &mut dyn FnMut(&str)) -> NodeResult<()> {
        let failed = |text: &str| Failure::new(format!("command '{}' failed: {text}", self.name));
        let mut child = match self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::new(format!(
                    "{} is not installed: apt-get install {}",
                    self.name, self.package
                )));
            }
            Err(error) => return Err(failed(&os_text(&error))),
        };
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
        // Before the wait: until then the number is the child's for sure.
        drop(watcher);
        let status = child.wait().map_err(|error| failed(&os_text(&error)))?;
        if status.success() { Ok(()) } else { Err(failed(&reason(status, &errors))) }
    }
}

/// Ends a child when a flag is set, as long as this lives.
struct Watcher {
    done: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watcher {
    fn start(child: &Child, stop: Arc<AtomicBool>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let ended = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if stop.load(Ordering::Relaxed) {
                    let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
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

/// Hands over each line; returns the last three.
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

/// Reads all, keeps the first part.
fn bounded(mut stream: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = (&mut stream).take(STDERR_LIMIT).read_to_end(&mut kept);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    kept
}

fn reason(status: std::process::ExitStatus, errors: &[u8]) -> String {
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
    fn a_missing_program_names_its_package() {
        let failure = Tool::new("no-such-program", "some-package").run().unwrap_err();
        assert_eq!(failure.text, "no-such-program is not installed: apt-get install some-package");
    }
}
