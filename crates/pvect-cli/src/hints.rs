//! What may fix an error: the next step, named as a command.

use pvect_core::call::shell_quoted;
use pvect_core::error::{Hazard, Subject, Unavailable};
use pvect_core::{Error, ErrorKind};

/// Possible fixes, by kind.
pub fn hints(error: &Error) -> Vec<String> {
    let about =
        |text: &str| error.vmid().map(|vmid| text.replace("{}", &vmid.to_string())).into_iter().collect();
    if let Some(hints) = error.subject().and_then(|subject| of_subject(subject, error, &about)) {
        return hints;
    }
    match (error.kind(), error) {
        (_, Error::Timeout { left, vmid, .. }) => {
            let fix =
                left.fix.as_ref().map(|fix| format!("`{}` fixes that", fix.replacen("pct ", "pvect ", 1)));
            let look = vmid.map(|vmid| format!("`pvect status {vmid} --verbose` shows its state now"));
            fix.or(look).into_iter().collect()
        }
        (_, Error::Refused { hazard, .. }) => refused(hazard, &about),
        (_, Error::ConnectionLost { may_have_run: true, vmid, .. }) => match vmid {
            Some(vmid) => vec![format!("look first, then try again: `pvect status {vmid} --verbose`")],
            None => vec!["look at what was done before you try again".to_owned()],
        },
        (_, Error::ConnectionLost { .. }) => vec!["nothing was done; it can be tried again".to_owned()],
        (_, Error::NotAvailable { reason: Unavailable::Missing, path }) if path.is_relative() => {
            vec!["set ssh.pct_path to where pct is on that node".to_owned()]
        }
        (_, Error::NotAvailable { reason: Unavailable::Missing, .. }) => vec![
            "--standalone runs containers without Proxmox VE; `pvect doctor` says what is missing".to_owned(),
        ],
        (ErrorKind::PctNotAvailable, _) => vec!["`pvect doctor` says what is missing".to_owned()],
        (ErrorKind::PctPermissionDenied, Error::PermissionDenied { .. }) => {
            vec!["run it as root, or with --sudo".to_owned()]
        }
        (ErrorKind::Locked, _) => {
            about("if nothing works on the container any more, `pvect unlock {}` removes the lock")
        }
        (ErrorKind::NotRunning, _) => about("`pvect start {}` starts it"),
        (ErrorKind::AlreadyRunning, _) => about("`pvect stop {}` or `pvect shutdown {}` stops it"),
        (ErrorKind::Protected, _) => about("`pvect set {} --protection 0` takes the protection away"),
        (ErrorKind::Conflict, _) => about("read it again with `pvect config {}` and repeat the change"),
        (ErrorKind::PctInvalidOutput, _) => {
            let argv = error.run().map(|run| shell_quoted(&run.argv));
            argv.map(|argv| format!("`{argv}` shows what it prints")).into_iter().collect()
        }
        (ErrorKind::NoQuorum, _) => vec!["`pvecm status` shows the state of the cluster".to_owned()],
        _ => Vec::new(),
    }
}

/// What helps with what an error is about; `None` if its kind says enough.
fn of_subject(subject: Subject, error: &Error, about: &dyn Fn(&str) -> Vec<String>) -> Option<Vec<String>> {
    let one = |text: &str| Some(vec![text.to_owned()]);
    match subject {
        Subject::Container => one("`pvect list` shows the containers"),
        Subject::Snapshot => {
            let vmid = error.vmid().map_or_else(|| "VMID".to_owned(), |vmid| vmid.to_string());
            one(&format!("`pvect listsnapshot {vmid}` shows the snapshots"))
        }
        Subject::Template => one("`pvect template list` shows the templates"),
        Subject::Number => one("without a number, create and clone take the next free one"),
        Subject::LockFile => one("another command works on the container; try again when it has ended"),
        Subject::ForeignSocket => one("end that process as root; `pvect doctor` shows it, too"),
        Subject::Task => Some(about(
            "`pvect status {} --verbose` shows its state; the task's log is in the node's list of tasks",
        )),
        Subject::FullClone => Some(about(
            "`pvect snapshot {} NAME`, then clone with --snapname NAME; or stop it: `pvect shutdown {}`",
        )),
        Subject::LinkedClone => one("--full 1 copies the volumes"),
        Subject::Snapshots => Some(about(
            "bind mounts and plain directories have no snapshots; `pvect config {}` shows where the volumes are, \
             `pvect move-volume {} rootfs STORAGE` brings one to a storage that has (btrfs, zfspool, lvmthin ...)",
        )),
        _ => None,
    }
}

/// How to do it all the same.
fn refused(hazard: &Hazard, about: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    match hazard {
        Hazard::RebootLocked { .. } => about(
            "`pvect unlock {}` removes a lock that nothing holds any more; --force reboots all the same",
        ),
        Hazard::RollbackRunning => about("`pvect shutdown {}` ends it cleanly; --force kills it"),
        Hazard::DfStopped => about("`pvect df {} --mount` does it; `pvect start {}` starts the container"),
        Hazard::TokenInArgv => vec![
            "--token-file FILE or --token-stdin keeps it out of pvect's own argv and the shell's history; \
             --allow-token-in-argv hands it to pct all the same"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use pvect_core::error::Run;

    use super::*;

    fn failed(kind: ErrorKind, message: &str) -> Error {
        Error::Failed {
            kind,
            message: message.to_owned(),
            vmid: "101".parse().ok(),
            run: Box::new(Run::default()),
        }
    }

    #[test]
    fn hints_name_the_command() {
        assert_eq!(
            hints(&failed(ErrorKind::NotRunning, "CT 101 not running")),
            ["`pvect start 101` starts it"]
        );
        assert_eq!(
            hints(&failed(ErrorKind::Locked, "CT is locked (backup)")),
            ["if nothing works on the container any more, `pvect unlock 101` removes the lock"]
        );
        assert_eq!(hints(&failed(ErrorKind::PctOperationFailed, "x")), Vec::<String>::new());
        let linked = "Linked clone feature for 'local:101/vm-101-disk-0.raw' is not available";
        assert_eq!(hints(&failed(ErrorKind::Unsupported, linked)), ["--full 1 copies the volumes"]);
        let snapshot = &hints(&failed(ErrorKind::Unsupported, "snapshot feature is not available"))[0];
        assert!(snapshot.contains("`pvect move-volume 101 rootfs STORAGE`"), "{snapshot}");
    }
}
