//! What runs at the other end.

use std::fs::File;
use std::io::{self, Read};

use super::{SshTarget, quote};

/// The line that starts pct.
pub(crate) const GO: &[u8] = b"go\n";
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs around the command and reports its status. Its own stderr is discarded, because a shell prints there which
/// signal ended its child. `$0` the number, `$1` the inner script, `$2` the program to look for (empty: not), then the
/// words.
const OUTER: &str = r#"cd /
PATH=/usr/sbin:/usr/bin:/sbin:/bin
inner=$1 program=$2
shift 2
state=ok
case $program in
'') ;;
*/*) if ! [ -e "$program" ]; then state=missing; elif ! [ -f "$program" ] || ! [ -x "$program" ]; then state=noexec; fi ;;
*) command -v "$program" >/dev/null 2>&1 || state=missing ;;
esac
if [ $state = ok ]; then
    exec 3>&2 2>/dev/null
    (exec 2>&3 3>&-; exec /bin/sh -c "$inner" "$0" "$@")
    status=$?
    printf '\036%s %s\n' "$0" "$status"
    printf '\036%s %s\n' "$0" "$status" >&3
    exit "$status"
fi
printf '\036%s 0 0 %s\n' "$0" "$state"
printf '\036%s\n' "$0" >&2
exit 127"#;

/// Prints the id of the process that becomes pct, waits for the line, and then executes pct.
const INNER: &str = r#"printf '\036%s %s %s ok\n' "$0" "$$" "$PPID"
printf '\036%s\n' "$0" >&2
IFS= read -r line && [ "$line" = go ] && exec "$@"
exit 125"#;

/// For a run on a terminal. The traps leave Ctrl-C to pct, and let the script go on to report its status.
const PLAIN: &str = r#"cd /
trap : INT QUIT TERM
exec 3>&2 2>/dev/null
(exec 2>&3 3>&-; exec "$@")
exit "$?""#;

/// Runs around a helper and puts its output between marks.
const HELPER: &str = r#"inner=$1
shift
printf '\036%s\n' "$0"
/bin/sh -c "$inner" "$0" "$@"
status=$?
printf '\036%s\n' "$0"
exit "$status""#;

/// Returns a number that nobody can guess.
pub(crate) fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The line for a run that is marked; see the module's documentation.
pub(super) fn marked(target: &SshTarget, nonce: &str, env: &[(String, String)], words: &[String]) -> String {
    let program = if target.sudo { "" } else { words.first().map_or("", String::as_str) };
    let mut line = shell(OUTER);
    line.extend([nonce.to_owned(), INNER.to_owned(), program.to_owned()]);
    line.extend(clean(target, env));
    line.extend(words.iter().cloned());
    quote::line(&line)
}

/// The line for a run on a terminal.
pub(super) fn plain(target: &SshTarget, env: &[(String, String)], words: &[String]) -> String {
    let mut line = shell(PLAIN);
    line.push("pvect".to_owned());
    line.extend(clean(target, env));
    line.extend(words.iter().cloned());
    quote::line(&line)
}

/// The line for a helper: a constant script with arguments, its output between marks.
pub(super) fn helper(target: &SshTarget, nonce: &str, script: &str, args: &[String]) -> String {
    let mut line = if target.sudo { sudo() } else { Vec::new() };
    line.extend(shell(HELPER));
    line.extend([nonce.to_owned(), script.to_owned()]);
    line.extend(args.iter().cloned());
    quote::line(&line)
}

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

fn sudo() -> Vec<String> {
    ["/usr/bin/sudo", "-n", "--"].map(str::to_owned).to_vec()
}

/// The environment that pct gets: the same as on this side, without anything from the login on the other side.
fn clean(target: &SshTarget, env: &[(String, String)]) -> Vec<String> {
    let mut words = if target.sudo { sudo() } else { Vec::new() };
    words.extend(["/usr/bin/env".to_owned(), "-i".to_owned()]);
    let fixed = [("LC_ALL", "C.UTF-8"), ("PATH", PATH), ("HOME", "/root"), ("TERM", "dumb")];
    let all = fixed.iter().map(|(name, value)| format!("{name}={value}"));
    words.extend(all.chain(env.iter().map(|(name, value)| format!("{name}={value}"))));
    words
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::super::Frame;
    use super::*;

    /// Runs the line as a login shell does, without ssh.
    fn run(program: &str, words: &[&str], input: &[u8]) -> (Frame, Vec<u8>, Option<i32>) {
        let words: Vec<String> = [&[program], words].concat().into_iter().map(str::to_owned).collect();
        let text = marked(&SshTarget::new("h"), "abc", &[("X".into(), "a 'b'".into())], &words);
        let mut child = Command::new("/bin/sh")
            .args(["-c", &text])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A script that does not wait for the line closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let mut frame = Frame::new("abc");
        let body = frame.push(&output.stdout);
        (frame, body, output.status.code())
    }

    #[test]
    fn the_command_runs_only_after_its_line() {
        let (frame, body, status) = run("/bin/sh", &["-c", "echo \"$X\"; cat; exit 7"], b"go\nin\nput");
        assert_eq!(String::from_utf8(body).unwrap(), "a 'b'\nin\nput");
        assert_eq!((frame.closed().unwrap().join(" ").as_str(), status), ("7", Some(7)));
        assert_eq!(frame.opened().unwrap()[2], "ok");
        for input in ["", "g", "no\n"] {
            let (frame, body, _) = run("/bin/echo", &["ran"], input.as_bytes());
            assert_eq!((body.as_slice(), frame.closed().unwrap().join(" ").as_str()), (&b""[..], "125"));
        }
    }

    #[test]
    fn a_missing_program_is_told_before() {
        let state = |program: &str| run(program, &[], b"go\n").0.opened().unwrap()[2].clone();
        assert_eq!(state("/none/pct"), "missing");
        assert_eq!(state("no-such-pct"), "missing");
        assert_eq!(state("/etc/passwd"), "noexec");
        assert_eq!(state("true"), "ok");
    }

    #[test]
    fn the_environment_is_clean() {
        let (_, body, _) = run("/usr/bin/env", &[], b"go\n");
        let text = String::from_utf8(body).unwrap();
        assert_eq!(text, format!("LC_ALL=C.UTF-8\nPATH={PATH}\nHOME=/root\nTERM=dumb\nX=a 'b'\n"));
    }
}
