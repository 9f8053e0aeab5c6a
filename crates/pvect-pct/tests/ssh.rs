//! pct at the other end of a real ssh: an sshd on the loopback interface, a script instead of pct.

#![allow(clippy::unwrap_used)] // a test may; clippy sees only functions marked as tests

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pvect_core::backend::ConfigView;
use pvect_core::{Call, CheckedCall, Error, ErrorKind, Inspect, Operate, Verb, Vmid};
use pvect_pct::{CancelHandle, Connection, PctBackend, PctConfig, SshTarget, Streams, Transport};
use pvect_testkit::TestSshd;
use secrecy::SecretString;

/// Answers in the words of the real pct, notes its process and what it was asked.
const SCRIPT: &str = r#"#!/bin/sh
dir=$(dirname "$0")
printf '%s\n' $$ > "$dir/pid"
printf '%s\0' "$@" > "$dir/asked"
tr '\0' '\n' < /proc/$$/cmdline > "$dir/cmdline"
env > "$dir/env"
case "$1 $2" in
"list "*)
    printf '%-10s %-10s %-12s %-20s\n' VMID Status Lock Name
    printf '%-10s %-10s %-12s %-20s\n' 101 running '' web1
    ;;
"config 101") printf 'cores: 2\nhostname: web1\nmemory: 512\n' ;;
"exec 101") shift 5; exec "$@" ;;
"exec 255") printf 'all mine\n' >&2; exit 255 ;;
"create 102") cp "$5" "$dir/keys" ;;
"create 101") cat > "$dir/stdin"; echo 'extracting archive' ;;
"start 101") echo "task UPID" ; setsid sh -c 'echo $$ > "$0/worker"; exec sleep 300' "$dir" & exec sleep 300 ;;
"start 102") trap '' TERM; setsid sh -c 'trap "" TERM; echo $$ > "$0/worker"; sleep 300; sleep 300' "$dir" & wait; wait ;;
"start 103") echo 'before'; echo 'warned' >&2; (exec sleep 2 &) ; exit 0 ;;
"push 101") cp "$3" "$dir/pushed"; stat -c %a "$3" > "$dir/mode"; printf '%s' "$3" > "$dir/place" ;;
"pull 104") echo data > "$4"; chmod 6755 "$4" ;;
"pull 101") head -c 300000 /dev/zero > "$4"; chmod 640 "$4"; printf '%s' "$4" > "$dir/place" ;;
*) echo "Configuration file 'nodes/vm/lxc/$2.conf' does not exist" >&2; exit 2 ;;
esac
"#;

struct Far {
    sshd: TestSshd,
    pct: PathBuf,
}

/// Starts one, or says why it cannot.
macro_rules! far_or_skip {
    ($name:literal) => {
        match Far::start() {
            Ok(far) => far,
            Err(reason) => {
                pvect_testkit::skipped($name, &reason);
                return;
            }
        }
    };
}

impl Far {
    fn start() -> Result<Self, String> {
        let sshd = TestSshd::start()?;
        let pct = sshd.script("pct", SCRIPT)?;
        Ok(Self { sshd, pct })
    }

    fn target(&self) -> SshTarget {
        SshTarget {
            user: self.sshd.user().to_owned(),
            port: Some(self.sshd.port()),
            identity_file: Some(self.sshd.key()),
            options: self.sshd.options(),
            control_dir: self.sshd.dir().join("control"),
            ..SshTarget::new("127.0.0.1")
        }
    }

    fn config(&self) -> PctConfig {
        PctConfig {
            transport: Transport::Ssh(Connection::new(self.target())),
            grace: Duration::from_millis(500),
            ..PctConfig::new(&self.pct)
        }
    }

    fn backend(&self) -> PctBackend {
        PctBackend::new(self.config())
    }

    fn to(&self, change: impl FnOnce(&mut SshTarget)) -> PctBackend {
        let mut target = self.target();
        change(&mut target);
        let transport = Transport::Ssh(Connection::new(target));
        PctBackend::new(PctConfig { transport, ..self.config() })
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.sshd.dir().join(name)).unwrap_or_default()
    }

    /// Waits until the script has written its process id to a file.
    async fn pid(&self, name: &str) -> i32 {
        for _ in 0..1000 {
            if let Ok(pid) = self.read(name).trim().parse() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the script did not write {name}");
    }
}

fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

async fn gone(pid: i32) -> bool {
    for _ in 0..500 {
        if !lives(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn vmid() -> Vmid {
    "101".parse().unwrap()
}

fn checked(call: Call) -> CheckedCall {
    CheckedCall::check(call).expect("the call is good")
}

fn exec(words: &[&str]) -> Call {
    Call::on(Verb::Exec, vmid()).flag("keep-env", false).command(words.iter().copied())
}

#[tokio::test]
async fn reads_work_and_share_one_connection() {
    let far = far_or_skip!("reads_work_and_share_one_connection");
    let backend = far.backend();
    let list = backend.list().await.unwrap();
    assert_eq!((list.len(), list[0].vmid, list[0].name.as_str()), (1, vmid(), "web1"));
    let config = backend.config(vmid(), &ConfigView::Current).await.unwrap();
    assert_eq!(config.main.get("hostname").as_deref(), Some("web1"));
    // Another process of the same user would make another backend.
    let other = far.backend();
    let mut runs = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let other = other.clone();
        runs.spawn(async move { other.list().await });
    }
    for list in runs.join_all().await {
        assert_eq!(list.unwrap().len(), 1);
    }
    assert_eq!(far.sshd.logins(), 1, "{}", far.sshd.log());
    let env = far.read("env");
    // The shell that runs the script adds these.
    let mut env: Vec<&str> = env
        .lines()
        .filter(|line| !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)))
        .collect();
    env.sort_unstable();
    assert_eq!(env, ["HOME=/root", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"]);
}

#[tokio::test]
async fn odd_words_and_statuses_come_through() {
    let far = far_or_skip!("odd_words_and_statuses_come_through");
    let backend = far.backend();
    let words =
        ["", " ", "'", "\"", "\\", "$HOME", "`id`", "a\nb\n", "é日本", "-n", "--", "*", "!x", "\u{1e}", "~"];
    let call = exec(&[&["printf", r"%s\0"][..], &words].concat());
    let done = backend.exec_captured(&checked(call.clone()), None).await.unwrap();
    assert_eq!(done.stdout, words.join("\0").into_bytes().into_iter().chain([0]).collect::<Vec<_>>());
    for status in [0, 7, 255] {
        let call = exec(&["sh", "-c", &format!("cat; echo out; printf err >&2; exit {status}")]);
        let done = backend.exec_captured(&checked(call.clone()), Some(b"go\nin".to_vec())).await.unwrap();
        assert_eq!(
            (done.status, done.stdout.as_slice(), done.stderr.as_slice()),
            (status, &b"go\ninout\n"[..], &b"err"[..])
        );
    }
    let killed = backend.exec_captured(&checked(exec(&["sh", "-c", "kill -KILL $$"])), None).await.unwrap();
    assert_eq!(killed.status, 137);
}

#[tokio::test]
async fn big_output_is_whole_and_bounded() {
    let far = far_or_skip!("big_output_is_whole_and_bounded");
    let call = exec(&["sh", "-c", "head -c 8000000 /dev/zero; head -c 300000 /dev/zero >&2"]);
    let done = far.backend().exec_captured(&checked(call.clone()), None).await.unwrap();
    assert_eq!((done.stdout.len(), done.stderr.len()), (8_000_000, 300_000));
    let input = vec![b'x'; 5_000_000];
    let done = far.backend().exec_captured(&checked(exec(&["cat"])), Some(input.clone())).await.unwrap();
    assert!(done.stdout == input);
    let backend = PctBackend::new(PctConfig { output_limit: 1 << 20, ..far.config() });
    let call = exec(&["sh", "-c", "echo $$ >&2; exec cat /dev/zero"]);
    let error = backend.exec_captured(&checked(call.clone()), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PctInvalidOutput);
    assert!(gone(error.run().unwrap().stderr.trim().parse().unwrap()).await);
}

#[tokio::test]
async fn a_password_is_in_no_argv_and_the_dry_run_can_be_typed() {
    let far = far_or_skip!("a_password_is_in_no_argv_and_the_dry_run_can_be_typed");
    let password = SecretString::from("hunter22 'x'");
    let call = Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar").secret("password", password);
    let done = far.backend().operate(&checked(call.clone()), &mut ()).await.unwrap();
    assert_eq!(done.stdout, b"extracting archive\n");
    assert_eq!(far.read("stdin"), "hunter22 'x'\nhunter22 'x'\n");
    assert!(far.read("asked").contains("--password"));
    assert!(!far.read("cmdline").contains("hunter22"));
    let port = far.sshd.port().to_string();
    let line = far.backend().command_line(&exec(&["echo", "a b"]));
    assert_eq!(
        line[line.len() - 6..],
        [
            port.as_str(),
            "-i",
            &far.sshd.key().display().to_string(),
            "--",
            &format!("{}@127.0.0.1", far.sshd.user()),
            &format!("{} exec 101 --keep-env 0 -- echo 'a b'", far.pct.display()),
        ]
    );
}

fn never(error: &Error) -> bool {
    matches!(error, Error::ConnectionLost { may_have_run: false, .. })
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_says_why() {
    let far = far_or_skip!("a_node_that_cannot_be_reached_says_why");
    let text = async |backend: PctBackend| {
        let error = backend.list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PctNotAvailable, "{error}");
        error.to_string()
    };
    let user = far.sshd.user().to_owned();
    let front = format!("the node cannot be reached to run '{user}@127.0.0.1:pct': ");
    // A key that is not the host's own: ssh is not told to accept it.
    far.sshd.know("other").unwrap();
    let found = text(far.backend()).await;
    let known = far.sshd.dir().join("known_hosts");
    assert_eq!(
        found,
        format!(
            "{front}the host's key is not the one that is known; Offending ED25519 key in {}:1; \
         Host key for [127.0.0.1]:{} has changed and you have requested strict checking.; \
         Host key verification failed.",
            known.display(),
            far.sshd.port()
        )
    );
    fs::write(&known, "").unwrap();
    let found = text(far.backend()).await;
    assert!(found.contains("Host key verification failed."), "{found}");
    assert_eq!(far.sshd.logins(), 0);
    far.sshd.know("host").unwrap();
    let found = text(far.to(|target| target.port = Some(1))).await;
    assert_eq!(found, format!("{front}ssh: connect to host 127.0.0.1 port 1: Connection refused"));
    let found = text(far.to(|target| target.identity_file = Some("/none/key".into()))).await;
    assert!(found.contains("Permission denied (publickey)."), "{found}");
    let found = text(far.to(|target| target.program = "/none/ssh".into())).await;
    assert_eq!(found, format!("{front}there is no '/none/ssh'"));
    let config = PctConfig { program: "/none/pct".into(), ..far.config() };
    assert_eq!(
        text(PctBackend::new(config)).await,
        format!("there is no pct at '{user}@127.0.0.1:/none/pct'")
    );
}

#[tokio::test]
async fn a_connection_cut_while_pct_runs_may_have_run() {
    let far = far_or_skip!("a_connection_cut_while_pct_runs_may_have_run");
    let backend = far.backend();
    let call = Call::on(Verb::Start, vmid());
    let run = tokio::spawn(async move { backend.operate(&checked(call.clone()), &mut ()).await });
    let pid = far.pid("pid").await;
    let worker = far.pid("worker").await;
    far.sshd.cut();
    let error = run.await.unwrap().unwrap_err();
    let user = far.sshd.user();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert!(
        error.to_string().starts_with(&format!("the connection to '{user}@127.0.0.1' was lost: ")),
        "{error}"
    );
    assert!(error.to_string().ends_with("; the command may have run"), "{error}");
    assert_eq!(error.vmid(), Some(vmid()));
    for pid in [pid, worker] {
        let _ = rustix::process::Pid::from_raw(pid)
            .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
    }
    // The next run connects again.
    assert_eq!(far.backend().list().await.unwrap().len(), 1);
    assert_eq!(far.sshd.logins(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_does_not_answer_is_replaced_and_nothing_runs_twice() {
    let far = far_or_skip!("a_kept_connection_that_does_not_answer_is_replaced_and_nothing_runs_twice");
    let connection = Connection::new(SshTarget { patience: Duration::from_secs(3), ..far.target() });
    let config = PctConfig { transport: Transport::Ssh(connection.clone()), ..far.config() };
    let backend = PctBackend::new(config);
    backend.list().await.unwrap();
    // A process that takes every connection and says nothing stands in for one whose network is gone.
    connection.close().await.unwrap();
    let socket = connection.socket();
    let deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    backend.list().await.unwrap();
    assert_eq!(far.sshd.logins(), 2);
    drop(deaf);
    let error = far
        .to(|target| {
            target.patience = Duration::from_millis(300);
            target.options.push("ProxyCommand=/bin/sleep 100".into());
        })
        .list()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no answer within 0.3 s"), "{error}");
    assert!(!never(&error));
}

#[tokio::test]
async fn a_time_out_ends_what_runs_at_the_other_end() {
    let far = far_or_skip!("a_time_out_ends_what_runs_at_the_other_end");
    let quick = |config: PctConfig| {
        PctBackend::new(PctConfig { timeout: Some(Duration::from_millis(1500)), ..config })
    };
    // The time is for pct, not for the first connection on a busy machine.
    far.backend().list().await.unwrap();
    for vmid in ["101", "102"] {
        let _ = fs::remove_file(far.sshd.dir().join("worker"));
        let call = Call::on(Verb::Start, vmid.parse().unwrap());
        let error = quick(far.config()).operate(&checked(call.clone()), &mut ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PctTimeout, "{error}");
        assert!(error.to_string().contains("pct was stopped"), "{error}");
        for name in ["pid", "worker"] {
            // The look at what was left overwrites the number of pct itself.
            let pid = far.pid(name).await;
            assert!(gone(pid).await, "{name} of {vmid} still runs");
        }
    }
}

#[tokio::test]
async fn cancelling_and_dropping_end_what_runs_at_the_other_end() {
    let far = far_or_skip!("cancelling_and_dropping_end_what_runs_at_the_other_end");
    let cancel = CancelHandle::new();
    let backend = far.backend().with_cancel(cancel.clone());
    let call = exec(&[
        "sh",
        "-c",
        "echo $$ > \"$0\"; exec sleep 300",
        &far.sshd.dir().join("sleeper").display().to_string(),
    ]);
    let (copy, own) = (call.clone(), backend.clone());
    let run = tokio::spawn(async move { own.exec_captured(&checked(copy.clone()), None).await });
    let pid = far.pid("sleeper").await;
    cancel.cancel();
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { interrupted: true, .. }), "{error}");
    assert!(gone(pid).await);
    let _ = fs::remove_file(far.sshd.dir().join("sleeper"));
    let other = far.backend();
    let run = tokio::spawn(async move { other.exec_captured(&checked(call.clone()), None).await });
    let pid = far.pid("sleeper").await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    assert!(gone(pid).await);
}

#[tokio::test]
async fn a_process_that_holds_the_streams_does_not_hold_the_run() {
    let far = far_or_skip!("a_process_that_holds_the_streams_does_not_hold_the_run");
    let done = far
        .backend()
        .operate(&checked(Call::on(Verb::Start, "103".parse().unwrap())), &mut ())
        .await
        .unwrap();
    assert_eq!((done.stdout.as_slice(), done.warnings.join("|").as_str()), (&b"before\n"[..], "warned"));
}

/// What of this test's files was left at the other side.
fn left_there(place: &str) -> bool {
    assert!(place.starts_with("/tmp/pvect.") && place.ends_with("/file"), "{place:?}");
    Path::new(place).parent().unwrap().exists()
}

#[tokio::test]
async fn files_travel_and_nothing_is_left_of_them() {
    use std::os::unix::fs::PermissionsExt;
    let far = far_or_skip!("files_travel_and_nothing_is_left_of_them");
    let backend = far.backend();
    let own = far.sshd.dir().join("own it's");
    let name = own.display().to_string();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 31 + n / 256) as u8).collect();
    fs::write(&own, &content).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o640)).unwrap();
    let push = Call::on(Verb::Push, vmid()).arg(&name).arg("/root/x");
    backend.operate(&checked(push.clone()), &mut ()).await.unwrap();
    assert!(fs::read(far.sshd.dir().join("pushed")).unwrap() == content);
    assert_eq!(far.read("mode"), "640\n");
    assert!(!left_there(&far.read("place")));
    let keys =
        Call::on(Verb::Create, "102".parse().unwrap()).arg("t:vztmpl/x").option("ssh-public-keys", &name);
    backend.operate(&checked(keys.clone()), &mut ()).await.unwrap();
    assert!(fs::read(far.sshd.dir().join("keys")).unwrap() == content);

    let pull = |to: &str| Call::on(Verb::Pull, vmid()).arg("/root/x").arg(to);
    let fresh = far.sshd.dir().join("fresh");
    backend.operate(&checked(pull(&fresh.display().to_string())), &mut ()).await.unwrap();
    assert!(fs::read(&fresh).unwrap() == vec![0; 300_000]);
    assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o7777, 0o640);
    assert!(!left_there(&far.read("place")));
    // A file that is there keeps its mode, and a link is followed.
    fs::write(&own, "old").unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o604)).unwrap();
    let link = far.sshd.dir().join("link");
    std::os::unix::fs::symlink(&own, &link).unwrap();
    backend.operate(&checked(pull(&link.display().to_string())), &mut ()).await.unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o7777, 0o604);
    assert_eq!(fs::metadata(&own).unwrap().len(), 300_000);
    backend.operate(&checked(pull(&name).option("perms", "0600")), &mut ()).await.unwrap();
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o7777, 0o600);
    let parts = fs::read_dir(far.sshd.dir()).unwrap();
    assert!(!parts.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with('.')));
}

#[tokio::test]
async fn a_file_that_cannot_travel_starts_no_pct() {
    let far = far_or_skip!("a_file_that_cannot_travel_starts_no_pct");
    let error = async |call: Call| {
        let error = far.backend().operate(&checked(call.clone()), &mut ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(far.read("asked"), "");
        error.to_string()
    };
    let dir = far.sshd.dir().display().to_string();
    let push = |file: &str| Call::on(Verb::Push, vmid()).arg(file).arg("/x");
    assert_eq!(error(push("/none/file")).await, "cannot read '/none/file'");
    assert_eq!(error(push(&dir)).await, format!("cannot read '{dir}'"));
    let pull = Call::on(Verb::Pull, vmid()).arg("/x").arg(&dir);
    assert_eq!(error(pull).await, format!("cannot write '{dir}'"));
    // What pct refuses leaves no file, neither here nor there.
    let here = far.sshd.dir().join("here").display().to_string();
    let pull = Call::on(Verb::Pull, "999".parse().unwrap()).arg("/x").arg(&here);
    let error = far.backend().operate(&checked(pull.clone()), &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "Configuration file 'nodes/vm/lxc/999.conf' does not exist");
    assert!(!Path::new(&here).exists());
    assert!(!left_there(far.read("asked").split('\0').nth(3).unwrap()));
}

#[tokio::test]
async fn the_noise_of_a_login_shell_is_left_out() {
    let far = far_or_skip!("the_noise_of_a_login_shell_is_left_out");
    let noise = r#"#!/bin/sh
echo 'Welcome to this node!'; printf 'no newline \036abc' ; echo 'rc: line 3: oops' >&2
/bin/sh -c "$SSH_ORIGINAL_COMMAND"
status=$?
echo 'Good bye'; echo 'logout' >&2
exit $status
"#;
    far.sshd.script("forced.sh", noise).unwrap();
    let backend = far.to(|target| target.identity_file = Some(far.sshd.forced_key()));
    assert_eq!(backend.list().await.unwrap().len(), 1);
    let done = backend.exec_captured(&checked(exec(&["printf", "a"])), None).await.unwrap();
    assert_eq!((done.status, done.stdout.as_slice(), done.stderr.as_slice()), (0, &b"a"[..], &b""[..]));
    let here = far.sshd.dir().join("here").display().to_string();
    let pull = Call::on(Verb::Pull, vmid()).arg("/x").arg(&here);
    backend.operate(&checked(pull.clone()), &mut ()).await.unwrap();
    assert_eq!(fs::metadata(&here).unwrap().len(), 300_000);
}

#[tokio::test]
async fn a_hostile_node_makes_no_set_user_id_files_here() {
    use std::os::unix::fs::PermissionsExt;
    let far = far_or_skip!("a_hostile_node_makes_no_set_user_id_files_here");
    let here = far.sshd.dir().join("here");
    let pull = Call::on(Verb::Pull, "104".parse().unwrap()).arg("/x").arg(here.display().to_string());
    far.backend().operate(&checked(pull.clone()), &mut ()).await.unwrap();
    assert_eq!(fs::metadata(&here).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn a_node_that_says_too_much_says_nothing() {
    let far = far_or_skip!("a_node_that_says_too_much_says_nothing");
    let here = far.sshd.dir().join("here");
    let pull = Call::on(Verb::Pull, vmid()).arg("/x").arg(here.display().to_string());
    let backend = far.to(|target| target.identity_file = Some(far.sshd.forced_key()));
    for (script, words) in [
        ("case $SSH_ORIGINAL_COMMAND in *'tr -d'*) exec yes ;; esac", "sent more than 16 MiB"),
        ("case $SSH_ORIGINAL_COMMAND in *'tr -d'*) exec yes >&2 ;; esac", "sent more than 16 MiB"),
        (
            "SSH_ORIGINAL_COMMAND=$(printf %s \"$SSH_ORIGINAL_COMMAND\" | sed 's/exec cat .*file\"/yes/')",
            "sent more than the 300000 bytes that it had announced",
        ),
        (
            "SSH_ORIGINAL_COMMAND=$(printf %s \"$SSH_ORIGINAL_COMMAND\" | sed 's/stat -c/echo/')",
            "did not report the hash, mode and length",
        ),
        (
            "SSH_ORIGINAL_COMMAND=$(printf %s \"$SSH_ORIGINAL_COMMAND\" | sed 's/mktemp -d [^ ]*/echo \\/etc\\/x/')",
            "did not report the name of a directory",
        ),
    ] {
        far.sshd
            .script("forced.sh", &format!("#!/bin/sh\n{script}\n/bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n"))
            .unwrap();
        let began = std::time::Instant::now();
        let error = backend.operate(&checked(pull.clone()), &mut ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PctInvalidOutput, "{script}: {error}");
        assert!(error.to_string().contains(words), "{script}: {error}");
        assert!(began.elapsed() < Duration::from_secs(8), "{script}: {:?}", began.elapsed());
        assert!(!here.exists());
    }
}

#[tokio::test]
async fn a_connection_lost_before_the_start_was_never_sent() {
    let far = far_or_skip!("a_connection_lost_before_the_start_was_never_sent");
    let forced = |millis: u64| {
        far.to(|target| {
            target.identity_file = Some(far.sshd.forced_key());
            target.patience = Duration::from_millis(millis);
        })
    };
    let destination = format!("{}@127.0.0.1", far.sshd.user());
    let text = async |backend: PctBackend| {
        let error = backend.operate(&checked(Call::on(Verb::Start, vmid())), &mut ()).await.unwrap_err();
        assert!(never(&error), "{error}");
        assert_eq!((error.kind(), error.vmid()), (ErrorKind::ConnectionLost, Some(vmid())));
        assert_eq!(far.read("asked"), "");
        error.to_string()
    };
    // A login that is not for commands.
    far.sshd.script("forced.sh", "#!/bin/sh\necho 'This account is not available.' >&2; exit 1\n").unwrap();
    assert_eq!(
        text(forced(5000)).await,
        format!(
            "the connection to '{destination}' was lost: This account is not available.; \
             the command was never sent"
        )
    );
    far.sshd.script("forced.sh", "#!/bin/sh\nexec sleep 100\n").unwrap();
    let silent = text(forced(2500)).await;
    assert!(
        silent.starts_with(&format!("the connection to '{destination}' was lost: no answer within 2.")),
        "{silent}"
    );
    far.sshd.script("forced.sh", "#!/bin/sh\nkill -KILL $PPID\n").unwrap();
    assert!(text(forced(5000)).await.ends_with("; the command was never sent"));
}

#[tokio::test]
async fn an_unknown_host_is_taken_where_ssh_is_told_to() {
    let far = far_or_skip!("an_unknown_host_is_taken_where_ssh_is_told_to");
    let known = far.sshd.dir().join("known_hosts");
    fs::write(&known, "").unwrap();
    let backend = far.to(|target| target.options.push("StrictHostKeyChecking=accept-new".into()));
    assert_eq!(backend.list().await.unwrap().len(), 1);
    assert!(fs::read_to_string(&known).unwrap().contains("ssh-ed25519"));
}

#[tokio::test]
async fn streams_of_any_length_are_carried() {
    use std::io::{Read, Write};
    let far = far_or_skip!("streams_of_any_length_are_carried");
    let backend = far.backend();
    let (reader, mut writer) = pvect_testkit::pipe();
    let (mut back, sink) = pvect_testkit::pipe();
    let writing = std::thread::spawn(move || {
        (0..400_u32).try_for_each(|n| writer.write_all(&[n as u8; 50_000])).map(|()| drop(writer))
    });
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        back.read_to_end(&mut all).map(|_| all)
    });
    let streams = Streams { stdin: Some(reader.into()), stdout: Some(sink.into()), stderr: None };
    let done = backend.exec_piped(&checked(exec(&["sh", "-c", "cat; exit 3"])), streams).await.unwrap();
    assert_eq!((done.status, done.stdout.len()), (3, 0));
    writing.join().unwrap().unwrap();
    let all = reading.join().unwrap().unwrap();
    assert_eq!(all.len(), 20_000_000);
    assert!(all.chunks(50_000).enumerate().all(|(n, part)| part.iter().all(|byte| *byte == n as u8)));
    // A reader that goes ends what writes; a command that does not read lets the writer go.
    let (back, sink) = pvect_testkit::pipe();
    drop(back);
    let streams = Streams { stdout: Some(sink.into()), ..Streams::default() };
    let done = backend.exec_piped(&checked(exec(&["cat", "/dev/zero"])), streams).await.unwrap();
    assert_ne!(done.status, 0);
    let (reader, mut writer) = pvect_testkit::pipe();
    let writing = std::thread::spawn(move || {
        loop {
            if let Err(error) = writer.write_all(&[0; 50_000]) {
                return error.kind();
            }
        }
    });
    let streams = Streams { stdin: Some(reader.into()), ..Streams::default() };
    let done = backend.exec_piped(&checked(exec(&["true"])), streams).await.unwrap();
    assert_eq!(done.status, 0);
    assert_eq!(writing.join().unwrap(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn sudo_at_the_other_end() {
    if !Path::new("/usr/bin/sudo").exists() {
        return pvect_testkit::skipped("sudo_at_the_other_end", "sudo is not installed");
    }
    let far = far_or_skip!("sudo_at_the_other_end");
    let backend = far.to(|target| target.sudo = true);
    match backend.list().await {
        Ok(list) => assert_eq!(list.len(), 1),
        Err(Error::NotAvailable { reason: pvect_core::error::Unavailable::Sudo(why), .. }) => {
            return pvect_testkit::skipped("sudo_at_the_other_end", &why);
        }
        Err(error) => panic!("{error}"),
    }
    let here = far.sshd.dir().join("here").display().to_string();
    let pull = Call::on(Verb::Pull, vmid()).arg("/x").arg(&here);
    backend.operate(&checked(pull.clone()), &mut ()).await.unwrap();
    assert_eq!(fs::metadata(&here).unwrap().len(), 300_000);
    // Without sudo's own terminal nothing is asked: a missing program is sudo's own error.
    let config = PctConfig { program: "/none/pct".into(), ..backend.pct_config().clone() };
    let error = PctBackend::new(config).list().await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    let config = PctConfig { timeout: Some(Duration::from_secs(2)), ..backend.pct_config().clone() };
    let start = Call::on(Verb::Start, vmid());
    let error = PctBackend::new(config).operate(&checked(start.clone()), &mut ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PctTimeout, "{error}");
    assert!(gone(far.pid("worker").await).await);
}
