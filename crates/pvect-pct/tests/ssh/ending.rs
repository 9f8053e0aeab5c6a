//! Runs that end before their time: lost connections, time-outs, cancelled and dropped runs.

use std::fs;
use std::time::Duration;

use pvect_core::{Call, Error, ErrorKind, Inspect, Operate, Verb};
use pvect_pct::{CancelHandle, Connection, PctBackend, PctConfig, SshTarget, Transport};

use crate::far::{checked, exec, gone, never, vmid};

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
