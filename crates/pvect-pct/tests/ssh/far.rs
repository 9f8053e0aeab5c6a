//! The other end: an sshd on the loopback interface, and a script instead of pct.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pvect_core::{Call, CheckedCall, Error, Verb, Vmid};
use pvect_pct::{Connection, PctBackend, PctConfig, SshTarget, Transport};
use pvect_testkit::TestSshd;

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

pub(crate) struct Far {
    pub(crate) sshd: TestSshd,
    pub(crate) pct: PathBuf,
}

/// Starts one, or says why it cannot.
macro_rules! far_or_skip {
    ($name:literal) => {
        match crate::far::Far::start() {
            Ok(far) => far,
            Err(reason) => {
                pvect_testkit::skipped($name, &reason);
                return;
            }
        }
    };
}

impl Far {
    pub(crate) fn start() -> Result<Self, String> {
        let sshd = TestSshd::start()?;
        let pct = sshd.script("pct", SCRIPT)?;
        Ok(Self { sshd, pct })
    }

    pub(crate) fn target(&self) -> SshTarget {
        SshTarget {
            user: self.sshd.user().to_owned(),
            port: Some(self.sshd.port()),
            identity_file: Some(self.sshd.key()),
            options: self.sshd.options(),
            control_dir: self.sshd.dir().join("control"),
            ..SshTarget::new("127.0.0.1")
        }
    }

    pub(crate) fn config(&self) -> PctConfig {
        PctConfig {
            transport: Transport::Ssh(Connection::new(self.target())),
            grace: Duration::from_millis(500),
            ..PctConfig::new(&self.pct)
        }
    }

    pub(crate) fn backend(&self) -> PctBackend {
        PctBackend::new(self.config())
    }

    pub(crate) fn to(&self, change: impl FnOnce(&mut SshTarget)) -> PctBackend {
        let mut target = self.target();
        change(&mut target);
        let transport = Transport::Ssh(Connection::new(target));
        PctBackend::new(PctConfig { transport, ..self.config() })
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.sshd.dir().join(name)).unwrap_or_default()
    }

    /// Waits until the script has written its process id to a file.
    pub(crate) async fn pid(&self, name: &str) -> i32 {
        for _ in 0..1000 {
            if let Ok(pid) = self.read(name).trim().parse() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the script did not write {name}");
    }
}

pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

pub(crate) async fn gone(pid: i32) -> bool {
    for _ in 0..500 {
        if !lives(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

pub(crate) fn vmid() -> Vmid {
    "101".parse().unwrap()
}

pub(crate) fn checked(call: Call) -> CheckedCall {
    CheckedCall::check(call).expect("the call is good")
}

pub(crate) fn exec(words: &[&str]) -> Call {
    Call::on(Verb::Exec, vmid()).flag("keep-env", false).command(words.iter().copied())
}

pub(crate) fn never(error: &Error) -> bool {
    matches!(error, Error::ConnectionLost { may_have_run: false, .. })
}
