//! What pct's texts mean.
//!
//! pct's exit codes are accidents: an uncaught `die` of Perl ends with the errno that was left over (2, 25, 1 and 255
//! were seen for one message), and some verbs end with 0 though their task failed. So zero or not is all that the
//! code tells, and the text decides what happened.

mod clean;
mod rules;
mod subject;

use crate::Verb;
use crate::error::{ErrorKind, Exit};
use crate::schema::{ExitRule, VerbSpec};

pub use clean::{clean, message};

/// The verdict on a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeded; the lines of stderr are warnings.
    Success {
        /// Warnings, without decoration.
        warnings: Vec<String>,
    },
    /// It failed.
    Failure {
        /// What the text means.
        kind: ErrorKind,
        /// The text without its decoration, on one line.
        message: String,
    },
}

/// Judges a run that ended by itself.
///
/// For verbs that become the container's command (`exec`, `enter`, `console`), only a message that is certainly pct's
/// own is a failure; everything else belongs to the command, with its status.
pub fn judge(verb: Verb, status: i32, stdout: &str, stderr: &str) -> Verdict {
    let spec = verb.spec();
    match spec.exit {
        ExitRule::Replaced => replaced(status, stderr),
        ExitRule::TaskUnchecked if status == 0 => unchecked(verb, stdout, stderr),
        _ if status == 0 && spec.task.is_some() => {
            Verdict::Success { warnings: [warnings_of_log(stdout), clean(stderr)].concat() }
        }
        _ if status == 0 => Verdict::Success { warnings: clean(stderr) },
        _ => failure(spec, stderr, &Exit::Status(status).to_string()),
    }
}

fn failure(spec: &VerbSpec, stderr: &str, fallback: &str) -> Verdict {
    let lines = clean(stderr);
    let text =
        if lines.is_empty() { format!("pct {} failed: {fallback}", spec.name) } else { message(&lines) };
    let other = if spec.task.is_some() { ErrorKind::PctOperationFailed } else { ErrorKind::PctCommandFailed };
    Verdict::Failure { kind: rules::kind(stderr, &lines).unwrap_or(other), message: text }
}

/// push, pull, resize and template end with 0 even when their task failed; the error is then on stderr.
fn unchecked(verb: Verb, stdout: &str, stderr: &str) -> Verdict {
    let (warnings, errors): (Vec<String>, Vec<String>) =
        clean(stderr).into_iter().partition(|line| rules::is_warning(line));
    if !errors.is_empty() {
        return failure(verb.spec(), &errors.join("\n"), "");
    }
    // resize has grown the volume by then, and only says on stdout that the file system was not enlarged.
    let missed = stdout.lines().find(|line| line.starts_with("Failed to update the container's filesystem"));
    match missed {
        Some(line) if verb == Verb::Resize => {
            Verdict::Failure { kind: ErrorKind::PctOperationFailed, message: line.trim_end().to_owned() }
        }
        _ => Verdict::Success { warnings: [warnings_of_log(stdout), warnings].concat() },
    }
}

/// The warnings of a task are lines of its log, and the log is on stdout.
///
/// Source: `log_warn` of pve-common, which writes `WARN: TEXT` to the worker's stderr, which is pct's stdout.
fn warnings_of_log(stdout: &str) -> Vec<String> {
    stdout.lines().filter_map(|line| line.trim_end().strip_prefix("WARN: ")).map(str::to_owned).collect()
}

fn replaced(status: i32, stderr: &str) -> Verdict {
    let lines = clean(stderr);
    match rules::own_message(stderr, &lines) {
        Some(kind) if status != 0 => Verdict::Failure { kind, message: message(&lines) },
        _ => Verdict::Success { warnings: stderr.lines().map(str::to_owned).collect() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        argv: String,
        exit: i32,
        #[serde(default)]
        stdout: String,
        stderr: String,
        kind: String,
        message: String,
    }

    fn verb_of(argv: &str) -> Verb {
        let word = argv.split(' ').nth(1).unwrap_or_default();
        // The classifier never gets an unknown verb; any verb without a task can represent it here.
        Verb::from_name(word).unwrap_or(Verb::Help)
    }

    /// Every failing run that was recorded with pct of pve-container 6.1.10, and the texts that could not be recorded.
    #[test]
    fn every_recorded_failure_has_its_kind_and_message() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../fixtures/failures.json")).unwrap();
        assert!(cases.len() > 200, "only {} cases", cases.len());
        let mut wrong = Vec::new();
        for case in &cases {
            let verdict = judge(verb_of(&case.argv), case.exit, &case.stdout, &case.stderr);
            let (kind, message) = match verdict {
                Verdict::Failure { kind, message } => (kind.to_string(), message),
                Verdict::Success { warnings } => ("success".to_owned(), warnings.join(" | ")),
            };
            if (&kind, &message) != (&case.kind, &case.message) {
                wrong.push(format!(
                    "{}\n  is   {kind}: {message}\n  want {}: {}",
                    case.argv, case.kind, case.message
                ));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }

    #[test]
    fn a_silent_failure_still_says_something() {
        assert_eq!(
            judge(Verb::Start, 255, "", ""),
            Verdict::Failure {
                kind: ErrorKind::PctOperationFailed,
                message: "pct start failed: exit status 255".into()
            }
        );
    }

    #[test]
    fn whoever_holds_a_socket_is_an_error_of_its_own_in_every_verb() {
        let message =
            "somebody else holds the socket of CT 101 (uid 1000, pid 77); end that process".to_owned();
        let expected = Verdict::Failure { kind: ErrorKind::PctOperationFailed, message: message.clone() };
        for verb in [Verb::Start, Verb::Stop, Verb::Exec, Verb::Push, Verb::Status, Verb::Destroy] {
            assert_eq!(judge(verb, 255, "", &(message.clone() + "\n")), expected, "{verb:?}");
        }
    }

    /// Trap exit-zero.
    #[test]
    fn exit_zero_with_a_text_is_a_failure_of_unchecked_verbs_only() {
        let text = "failed to open /x for reading\n";
        assert!(matches!(judge(Verb::Push, 0, "", text), Verdict::Failure { .. }));
        assert_eq!(
            judge(Verb::Set, 0, "", text),
            Verdict::Success { warnings: vec![text.trim_end().to_owned()] }
        );
        let noise = "Task finished with 1 warning(s)!\n";
        assert_eq!(
            judge(Verb::Template, 0, "", noise),
            Verdict::Success { warnings: vec![noise.trim_end().to_owned()] }
        );
        let stdout = "Image resized.\nFailed to update the container's filesystem: command 'resize2fs /dev/loop0' failed: exit code 1\n";
        assert!(matches!(judge(Verb::Resize, 0, stdout, ""), Verdict::Failure { .. }));
        assert!(matches!(judge(Verb::Clone, 0, stdout, ""), Verdict::Success { .. }));
    }

    /// Trap merged-streams.
    #[test]
    fn trap_merged_streams_in_a_tasks_log() {
        let stdout = "starting\nWARN: old systemd\nextracting archive\n";
        let noise = "Task finished with 1 warning(s)!\n";
        let warnings = vec!["old systemd".to_owned(), noise.trim_end().to_owned()];
        assert_eq!(judge(Verb::Create, 0, stdout, noise), Verdict::Success { warnings });
        let warnings = Vec::new();
        assert_eq!(judge(Verb::Df, 0, "WARN: x\n", ""), Verdict::Success { warnings });
    }

    #[test]
    fn the_status_of_a_command_in_the_container_is_its_own() {
        let passed =
            |status, stderr: &str| matches!(judge(Verb::Exec, status, "", stderr), Verdict::Success { .. });
        assert!(passed(7, "err\n"));
        assert!(passed(255, ""));
        assert!(passed(2, "ls: /x: No such file or directory\n"));
        assert!(passed(0, "400 not enough arguments\n"));
        assert!(passed(1, "first\nConfiguration file 'nodes/vm/lxc/999.conf' does not exist\n"));
    }
}
