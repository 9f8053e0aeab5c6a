//! A pct that misbehaves: shell scripts that stand in for it, each for one way to go wrong.

#![allow(clippy::unwrap_used)] // a test may; clippy sees only functions marked as tests

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::error::{Exit, Unavailable};
use pvect_core::{Call, CheckedCall, Error, ErrorKind, Events, Inspect, Operate, RunState, Verb, Vmid};
use pvect_pct::{CancelHandle, PctBackend, PctConfig};
use tempfile::TempDir;

/// A directory with a script instead of pct.
struct StandIn {
    dir: TempDir,
}

impl StandIn {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pct"), script).unwrap();
        Self { dir }
    }

    /// The script is an argument of sh, so that a child of another test, which has the file still open for writing,
    /// does not make its execution fail.
    fn config(&self) -> PctConfig {
        PctConfig {
            prefix_args: vec![self.path("pct").display().to_string()],
            env: vec![("DIR".into(), self.dir.path().display().to_string())],
            grace: Duration::from_millis(300),
            require_root: false,
            ..PctConfig::new("/bin/sh")
        }
    }

    fn backend(&self) -> PctBackend {
        PctBackend::new(self.config())
    }

    fn with_timeout(&self, millis: u64) -> PctBackend {
        PctBackend::new(PctConfig { timeout: Some(Duration::from_millis(millis)), ..self.config() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until the script has written its process id to a file.
    async fn pid(&self, name: &str) -> i32 {
        for _ in 0..500 {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            if let Ok(pid) = text.trim().parse() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the script did not write {name}");
    }
}

/// Whether the process is there and no zombie.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

async fn gone(pid: i32) -> bool {
    for _ in 0..300 {
        if !lives(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn vmid() -> Vmid {
    Vmid::try_from(101).unwrap()
}

fn checked(call: Call) -> CheckedCall {
    CheckedCall::check(call).expect("the call is good")
}

fn start() -> Call {
    Call::on(Verb::Start, vmid())
}

#[tokio::test]
async fn a_captured_run_has_neither_our_session_nor_our_files() {
    let stand_in = StandIn::new(
        "read -r pid name state parent group session tty rest </proc/self/stat
         echo $((pid == session)) $((pid == group)) $tty >\"$DIR/ids\"
         ls -l /proc/self/fd >\"$DIR/files\"",
    );
    let file = fs::File::create(stand_in.path("held")).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    stand_in.backend().operate(&checked(start()), &mut ()).await.unwrap();
    // `read` of a shell is not a process of its own.
    assert_eq!(fs::read_to_string(stand_in.path("ids")).unwrap(), "1 1 0\n");
    let files = fs::read_to_string(stand_in.path("files")).unwrap();
    assert!(files.contains("/dev/null") && !files.contains("held"), "{files}");
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Events for Lines {
    fn log(&mut self, line: &str) {
        self.0.push(format!("out {line}"));
    }

    fn warning(&mut self, line: &str) {
        self.0.push(format!("err {line}"));
    }
}

#[tokio::test]
async fn a_missing_pct_is_told_from_one_that_is_no_program() {
    let stand_in = StandIn::new("");
    let backend =
        PctBackend::new(PctConfig { require_root: false, ..PctConfig::new(stand_in.path("nothing")) });
    let error = backend.probe().await.unwrap_err();
    assert!(matches!(&error, Error::NotAvailable { reason: Unavailable::Missing, .. }), "{error:?}");
    let backend = PctBackend::new(PctConfig { require_root: false, ..PctConfig::new(stand_in.path("pct")) });
    let error = backend.list().await.unwrap_err();
    assert!(matches!(&error, Error::NotAvailable { reason: Unavailable::NotExecutable, .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::PctNotAvailable);
    assert!(stand_in.backend().probe().await.is_ok());
}

#[tokio::test]
async fn a_pct_that_hangs_is_stopped_and_what_is_left_is_told() {
    let stand_in = StandIn::new(
        r#"
        if [ "$1" = status ]; then
            printf 'lock: create\nstatus: stopped\nvmid: 101\n'; exit 0
        fi
        trap '' TERM
        setsid sh -c 'trap "" TERM; echo $$ > "$DIR/worker"; while :; do sleep 1; done' &
        echo $$ > "$DIR/leader"
        echo 'half way'
        while :; do sleep 1; done
        "#,
    );
    let started = Instant::now();
    let error = stand_in.with_timeout(500).operate(&checked(start()), &mut ()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let Error::Timeout { interrupted, vmid, left, run, after } = &error else { panic!("{error:?}") };
    assert!(!interrupted && *after >= Duration::from_millis(500));
    assert_eq!(vmid.map(Vmid::get), Some(101));
    assert_eq!(left.status, Some(RunState::Stopped));
    assert_eq!(left.lock.as_ref().map(ToString::to_string).as_deref(), Some("create"));
    assert_eq!(left.fix.as_deref(), Some("pct unlock 101"));
    assert_eq!((run.stdout.as_str(), run.exit), ("half way\n", Some(Exit::Signal(9))));
    assert_eq!(error.kind(), ErrorKind::PctTimeout);
    // The worker is in a session of its own, as that of the real pct is.
    for name in ["leader", "worker"] {
        let pid = stand_in.pid(name).await;
        assert!(gone(pid).await, "{name} {pid} is still running");
    }
}

#[tokio::test]
async fn a_pct_that_obeys_term_is_not_killed_but_its_leftovers_are() {
    let stand_in = StandIn::new(
        r#"
        [ "$1" = status ] && exit 2
        sh -c 'trap "" TERM; echo $$ > "$DIR/stray"; while :; do sleep 1; done' &
        trap 'echo stopping; exit 7' TERM
        while :; do sleep 0.05; done
        "#,
    );
    let error = stand_in.with_timeout(500).operate(&checked(start()), &mut ()).await.unwrap_err();
    let run = error.run().unwrap();
    assert_eq!((run.stdout.as_str(), run.exit), ("stopping\n", Some(Exit::Status(7))));
    assert!(gone(stand_in.pid("stray").await).await);
}

#[tokio::test]
async fn cancelling_stops_as_a_timeout_does_and_twice_at_once() {
    let stand_in = StandIn::new("trap '' TERM\necho $$ > \"$DIR/leader\"\nwhile :; do sleep 0.1; done\n");
    let handle = CancelHandle::new();
    let config = PctConfig { grace: Duration::from_secs(600), ..stand_in.config() };
    let backend = PctBackend::new(config).with_cancel(handle.clone());
    let call = Call::new(Verb::Rescan);
    let run = tokio::spawn(async move { backend.operate(&checked(call.clone()), &mut ()).await });
    let pid = stand_in.pid("leader").await;
    handle.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(lives(pid));
    handle.cancel();
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { interrupted: true, .. }), "{error:?}");
    assert!(gone(pid).await);
    // A cancelled backend starts nothing more.
    let backend = stand_in.backend().with_cancel(handle);
    assert!(matches!(backend.list().await, Err(Error::Timeout { interrupted: true, .. })));
}

#[tokio::test]
async fn a_dropped_run_leaves_no_process() {
    let stand_in = StandIn::new(
        "trap '' TERM\nsetsid sh -c 'echo $$ > \"$DIR/worker\"; sleep 600' &\necho $$ > \"$DIR/leader\"\nsleep 600\n",
    );
    let backend = stand_in.backend();
    let run = tokio::spawn(async move { backend.operate(&checked(start()), &mut ()).await });
    let pids = [stand_in.pid("leader").await, stand_in.pid("worker").await];
    run.abort();
    for pid in pids {
        assert!(gone(pid).await, "{pid} is still running");
    }
}

#[tokio::test]
async fn a_flood_is_stopped_and_takes_no_memory() {
    let stand_in = StandIn::new("echo $$ > \"$DIR/leader\"; exec head -c 1073741824 /dev/zero\n");
    let config = PctConfig { output_limit: 1 << 20, ..stand_in.config() };
    let error = PctBackend::new(config).list().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the output of pct could not be understood: it wrote more than 1048576 bytes and was stopped"
    );
    assert_eq!(error.kind(), ErrorKind::PctInvalidOutput);
    assert_eq!(error.run().unwrap().stdout.len(), 1 << 20);
    assert!(gone(stand_in.pid("leader").await).await);
}

#[tokio::test]
async fn a_task_that_says_much_goes_on_and_tells_of_the_cut() {
    let stand_in = StandIn::new("head -c 3000000 /dev/zero; echo; echo the end\n");
    let config = PctConfig { output_limit: 1000, ..stand_in.config() };
    let mut lines = Lines::default();
    let outcome = PctBackend::new(config).operate(&checked(start()), &mut lines).await.unwrap();
    assert_eq!(outcome.stdout.len(), 1000);
    assert_eq!(outcome.warnings, ["only the first 1000 bytes of the output were kept"]);
    assert_eq!(lines.0.last().unwrap(), "out the end");
}

#[tokio::test]
async fn output_that_is_not_utf8_is_kept_and_told() {
    let stand_in = StandIn::new(
        r#"printf 'VMID       Status     Lock         Name                \n101        running                 w\377b\n'"#,
    );
    let error = stand_in.backend().list().await.unwrap_err();
    assert_eq!(error.to_string(), "the output of pct could not be understood: line 2: it is not UTF-8");
    assert!(error.run().unwrap().stdout.ends_with("w\u{fffd}b\n"));
}

#[tokio::test]
async fn a_pct_killed_midway_is_no_success() {
    let stand_in = StandIn::new("echo begun\nkill -9 $$\n");
    let error = stand_in.backend().operate(&checked(start()), &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "pct could not be run to its end: it was ended by signal 9");
    assert_eq!(error.kind(), ErrorKind::PctCommandFailed);
    let run = error.run().unwrap();
    assert_eq!((run.stdout.as_str(), run.exit), ("begun\n", Some(Exit::Signal(9))));
}

#[tokio::test]
async fn a_pct_that_closes_its_outputs_early_is_waited_for() {
    let stand_in = StandIn::new("exec >&- 2>&-\nsleep 0.3\ntouch \"$DIR/done\"\nexit 3\n");
    let error = stand_in.backend().operate(&checked(start()), &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "pct start failed: exit status 3");
    assert!(stand_in.path("done").exists());
}

#[tokio::test]
async fn a_process_left_behind_with_the_pipe_does_not_hold_us() {
    let stand_in =
        StandIn::new("(trap '' HUP; echo $PPID; exec sleep 600) &\necho $! > \"$DIR/daemon\"\necho done\n");
    let started = Instant::now();
    let outcome = stand_in.backend().operate(&checked(start()), &mut ()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(String::from_utf8(outcome.stdout).unwrap().contains("done\n"));
    // pct ended by itself, so what it started stays: the container's monitor is such a process.
    let pid = stand_in.pid("daemon").await;
    assert!(lives(pid));
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn both_outputs_are_read_at_once() {
    let stand_in = StandIn::new(
        "head -c 200000 /dev/zero | tr '\\0' e >&2\nhead -c 200000 /dev/zero | tr '\\0' o\nhead -c 200000 /dev/zero | tr '\\0' e >&2\n",
    );
    let mut lines = Lines::default();
    let outcome = stand_in.backend().operate(&checked(start()), &mut lines).await.unwrap();
    assert_eq!(outcome.stdout, vec![b'o'; 200_000]);
    assert_eq!(outcome.warnings, ["e".repeat(400_000)]);
}

#[tokio::test]
async fn lines_come_while_it_runs_and_warnings_stay() {
    let stand_in = StandIn::new("echo one\necho two >&2\nsleep 0.05\nprintf three\n");
    let mut lines = Lines::default();
    let outcome = stand_in.backend().operate(&checked(start()), &mut lines).await.unwrap();
    lines.0.sort();
    assert_eq!(lines.0, ["err two", "out one", "out three"]);
    assert_eq!(outcome.warnings, ["two"]);
}

const SECRET: &str = "hunter22 \"ü\t$x";

fn create() -> Call {
    Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar.gz").secret("password", SECRET.into())
}

/// Trap argv-secrets. The way of the real pct: stdin is no terminal, so it reads two lines without asking.
#[tokio::test]
async fn the_password_goes_to_a_pct_that_reads_stdin() {
    let stand_in = StandIn::new(
        r#"IFS= read -r one; IFS= read -r two; [ "$one" = "$two" ] || exit 9
        printf '%s' "$one" > "$DIR/password"; echo "$@"; cat /proc/$$/cmdline | tr '\0' ' '; echo "got $one" >&2"#,
    );
    // As open text it is kept out of argv just the same.
    let open = Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar.gz").option("password", SECRET);
    for call in [create(), open] {
        let outcome = stand_in.backend().operate(&checked(call.clone()), &mut ()).await.unwrap();
        assert_eq!(fs::read_to_string(stand_in.path("password")).unwrap(), SECRET);
        let stdout = String::from_utf8(outcome.stdout).unwrap();
        assert!(stdout.starts_with("create 101 local:vztmpl/x.tar.gz --password\n"), "{stdout}");
        assert!(!stdout.contains("hunter22"), "{stdout}");
        assert_eq!(outcome.warnings, ["got ********"]);
    }
}

#[tokio::test]
async fn the_password_goes_to_a_pct_that_asks_on_its_terminal() {
    let stand_in = StandIn::new(
        r#"exec 3<>/dev/tty || exit 8
        printf 'Enter new password: ' >&3; IFS= read -r one <&3
        printf '\nRetype new password: ' >&3; IFS= read -r two <&3
        [ "$one" = "$two" ] || exit 9
        printf '%s' "$one" > "$DIR/password"; echo made"#,
    );
    let mut lines = Lines::default();
    let backend = stand_in.with_timeout(20_000);
    let outcome = backend.operate(&checked(create()), &mut lines).await.unwrap();
    assert_eq!(fs::read_to_string(stand_in.path("password")).unwrap(), SECRET);
    assert_eq!(
        (outcome.stdout.as_slice(), lines.0.as_slice()),
        (&b"made\n"[..], &["out made".to_owned()][..])
    );
}

#[tokio::test]
async fn a_pct_that_never_likes_the_password_does_not_loop() {
    let stand_in = StandIn::new(
        "trap 'exit 5' HUP\nexec 3<>/dev/tty\nwhile printf 'Password: ' >&3; do read -r x <&3 || exit 4; done\nexit 6\n",
    );
    let error = stand_in.with_timeout(20_000).operate(&checked(create()), &mut ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PctOperationFailed, "{error:?}");
}

#[tokio::test]
async fn secrets_that_cannot_be_kept_are_refused_before_the_start() {
    let stand_in = StandIn::new("touch \"$DIR/started\"\n");
    let backend = stand_in.backend();
    let call = Call::on(Verb::Create, vmid()).arg("x").secret("password", "two\nlines".into());
    let error = backend.operate(&checked(call.clone()), &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "--password: must not contain a line break or NUL");
    let call = Call::on(Verb::Exec, vmid()).command(["a\0b"]);
    let error = backend.operate(&checked(call.clone()), &mut ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = CheckedCall::check(Call::on(Verb::Set, vmid()).option("memory", "8")).unwrap_err();
    assert_eq!(error.to_string(), "--memory: 8 is too small: at least 16");
    assert!(!stand_in.path("started").exists());
}

#[tokio::test]
async fn the_environment_is_clean() {
    let stand_in = StandIn::new("env | sort\n");
    let outcome = stand_in.backend().operate(&checked(Call::new(Verb::Rescan)), &mut ()).await.unwrap();
    let text = String::from_utf8(outcome.stdout).unwrap();
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // PWD is set by the shell itself.
    assert_eq!(names, ["DIR", "HOME", "LC_ALL", "PATH", "PWD", "TERM"]);
    assert!(text.contains("PATH=/usr/sbin:/usr/bin:/sbin:/bin\n") && text.contains("LC_ALL=C.UTF-8\n"));
}

#[tokio::test]
async fn a_captured_exec_hands_bytes_and_status_through() {
    let stand_in = StandIn::new("echo \"$@\" >&2\ncat\nexit 7\n");
    let call = Call::on(Verb::Exec, vmid()).flag("keep-env", false).command(["cat", "-n"]);
    let captured =
        stand_in.backend().exec_captured(&checked(call.clone()), Some(b"a\0\xff\n".to_vec())).await.unwrap();
    assert_eq!(captured.status, 7);
    assert_eq!(captured.stdout, b"a\0\xff\n");
    assert_eq!(captured.stderr, b"exec 101 --keep-env 0 -- cat -n\n");
    let large = vec![b'x'; 3 << 20];
    let captured =
        stand_in.backend().exec_captured(&checked(call.clone()), Some(large.clone())).await.unwrap();
    assert_eq!(captured.stdout, large);
    // Without stdin it sees the end of the file at once.
    assert_eq!(stand_in.backend().exec_captured(&checked(call.clone()), None).await.unwrap().stdout, b"");
}

#[tokio::test]
async fn pcts_own_failure_of_exec_is_an_error() {
    let stand_in =
        StandIn::new("echo \"Configuration file 'nodes/vm/lxc/101.conf' does not exist\" >&2; exit 2\n");
    let call = Call::on(Verb::Exec, vmid()).command(["true"]);
    let error = stand_in.backend().exec_captured(&checked(call.clone()), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Trap exit-zero.
#[tokio::test]
async fn a_copy_that_failed_with_exit_zero_is_an_error() {
    let stand_in = StandIn::new("echo 'failed to open /no/such for reading' >&2\n");
    let call = Call::on(Verb::Push, vmid()).arg("/no/such").arg("/x");
    let error = stand_in.backend().operate(&checked(call.clone()), &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to open /no/such for reading");
    assert_eq!(error.kind(), ErrorKind::PctOperationFailed);
}

#[tokio::test]
async fn an_interactive_command_hands_its_status_through() {
    let call = |word: &str| Call::on(Verb::Exec, vmid()).command([word]);
    let stand_in = StandIn::new("[ \"$4\" = kill ] && kill -9 $$\nexit 42\n");
    assert_eq!(stand_in.backend().interactive(&checked(call("run"))).await.unwrap(), 42);
    assert_eq!(stand_in.backend().interactive(&checked(call("kill"))).await.unwrap(), 137);
}

#[tokio::test]
async fn sudo_stands_in_front_and_its_refusal_is_its_own_error() {
    use std::os::unix::fs::PermissionsExt;
    let stand_in = StandIn::new("echo 'sudo: a password is required' >&2; exit 1\n");
    let sudo = stand_in.path("sudo");
    fs::write(&sudo, "#!/bin/sh\nexec /bin/sh \"$(dirname \"$0\")/pct\"\n").unwrap();
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
    let transport = pvect_pct::Transport::Sudo { program: sudo };
    let backend = PctBackend::new(PctConfig { transport, ..PctConfig::new("/bin/sh") });
    let line = backend.command_line(&start()).join(" ");
    assert!(line.ends_with("sudo -n -- /bin/sh start 101"), "{line}");
    // A child of another test may hold the new file open for writing, and the kernel then refuses to run it.
    let error = loop {
        match backend.operate(&checked(start()), &mut ()).await.unwrap_err() {
            Error::Spawn { source: Some(source), .. }
                if source.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            error => break error,
        }
    };
    assert_eq!(error.to_string(), "sudo cannot run '/bin/sh': a password is required");
    assert_eq!(backend.probe().await.unwrap_err().kind(), ErrorKind::PctNotAvailable);
}

#[tokio::test]
async fn reads_become_values() {
    let stand_in = StandIn::new(
        r#"case "$1 $2 $3" in
        "list  ") printf '%-10s %-10s %-12s %-20s\n' VMID Status Lock Name 101 running '' web1 ;;
        "list --output-format json") echo '[{"vmid":102,"status":"stopped","name":"json"}]' ;;
        "status 101 ") echo 'status: running' ;;
        "status 101 --verbose") printf 'status: running\nvmid: 101\n' ;;
        "config 101 "|"config 101 --current") printf 'arch: amd64\nhostname: web1\n' ;;
        "config 101 --snapshot") printf 'hostname: %s\n' "$4" ;;
        "pending 101 ") printf 'cur arch: amd64\n' ;;
        "listsnapshot 101 ") printf '`-> s1  2023-11-14 22:13:20     %s\n' "$TZ" ;;
        *) echo "400 too many arguments" >&2; exit 2 ;;
        esac"#,
    );
    let backend = stand_in.backend();
    assert_eq!(backend.list().await.unwrap()[0].name, "web1");
    let json = PctBackend::new(PctConfig { json_list: true, ..stand_in.config() });
    assert_eq!(json.list().await.unwrap()[0].name, "json");
    assert_eq!(backend.state(vmid()).await.unwrap(), RunState::Running);
    assert_eq!(backend.status(vmid()).await.unwrap().status, RunState::Running);
    use pvect_core::backend::ConfigView;
    let snapshot = ConfigView::Snapshot("s1".parse().unwrap());
    for (view, name) in [(ConfigView::Pending, "web1"), (ConfigView::Current, "web1"), (snapshot, "s1")] {
        assert_eq!(backend.config(vmid(), &view).await.unwrap().name(vmid()), name);
    }
    assert_eq!(backend.pending(vmid()).await.unwrap()[0].key, "arch");
    let snapshots = backend.snapshots(vmid()).await.unwrap();
    assert_eq!(snapshots[0].snaptime, Some(1_700_000_000));
    assert_eq!(snapshots[0].description.as_deref(), Some("UTC"));
}
