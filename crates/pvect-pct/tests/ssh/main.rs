//! pct at the other end of a real ssh: an sshd on the loopback interface, a script instead of pct.

#![allow(clippy::unwrap_used)] // a test may; clippy sees only functions marked as tests

#[macro_use]
mod far;
mod ending;
mod files;

use std::fs;
use std::path::Path;
use std::time::Duration;

use pvect_core::backend::ConfigView;
use pvect_core::{Call, Error, ErrorKind, Inspect, Operate, Verb};
use pvect_pct::{PctBackend, PctConfig, Streams};
use secrecy::SecretString;

use far::{checked, exec, gone, vmid};

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
