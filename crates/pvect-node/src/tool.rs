//! Runs the system's programs (mkfs.ext4, mount, ...): the one way this crate starts them.
//!
//! Arguments are an argv array, the environment is clean and fixed, stdin is empty, both outputs are drained while
//! the program runs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::error::os_text;
use crate::{Failure, NodeResult};

/// The most that is kept of a program's stderr, in bytes.
const STDERR_LIMIT: u64 = 64 * 1024;

/// A program to be run.
#[derive(Debug)]
pub struct Tool {
    name: String,
    package: &'static str,
    command: Command,
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
        Self { name: name.to_owned(), package, command }
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
        let stderr = child.stderr.take();
        let drain = std::thread::spawn(move || stderr.map(bounded).unwrap_or_default());
        if let Some(stdout) = child.stdout.take() {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                on_line(String::from_utf8_lossy(&line).trim_end_matches('\n'));
                line.clear();
            }
        }
        let status = child.wait().map_err(|error| failed(&os_text(&error)))?;
        let errors = drain.join().unwrap_or_default();
        if status.success() { Ok(()) } else { Err(failed(&reason(status, &errors))) }
    }
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
    fn a_missing_program_names_its_package() {
        let failure = Tool::new("no-such-program", "some-package").run().unwrap_err();
        assert_eq!(failure.text, "no-such-program is not installed: apt-get install some-package");
    }
}
