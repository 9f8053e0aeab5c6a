//! What a storage keeps, listed by stand-ins for pveam and pvesm beside a stand-in for pct.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pvect::{CancelHandle, Client, ErrorKind, Settings};
use pvect_core::Error;
use pvect_testkit::FakePct;

/// `None` (and a note) without root, which pct needs.
fn node(test: &str, programs: &[(&str, &str)], limit: Option<Duration>) -> Option<(FakePct, Client)> {
    if !rustix::process::geteuid().is_root() {
        pvect_testkit::skipped(test, "pct needs root");
        return None;
    }
    let pct = FakePct::new("");
    for (name, body) in programs {
        let path = pct.dir().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
    }
    let mut settings = Settings::default();
    settings.proxmox.pct_path = Some(pct.path());
    let builder = Client::builder(settings).pve(pct.dir().join("pve")).timeout(limit);
    let client = builder.cancel_handle(CancelHandle::new()).connect().expect("it connects");
    Some((pct, client))
}

#[tokio::test]
async fn templates_and_backups_are_listed_by_the_nodes_programs() {
    let pveam = r#"echo "$*" >> "$(dirname "$0")/asked"
[ "$2" = local ] || [ "$1" = remove ] || { echo "storage '$2' does not exist" >&2; exit 2; }
printf 'NAME SIZE\nlocal:vztmpl/a.tar.zst 1.00MB\n'"#;
    let pvesm = r#"echo "$*" >> "$(dirname "$0")/asked"
printf 'local:backup/vzdump-lxc-101-2026_01_01-00_00_00.tar.zst tar.zst backup 7 101\n'"#;
    let Some((pct, client)) = node("templates", &[("pveam", pveam), ("pvesm", pvesm)], None) else { return };
    let templates = client.stored_templates("local").await.unwrap();
    assert_eq!(
        templates.iter().map(|one| (one.volid.as_str(), one.size)).collect::<Vec<_>>(),
        [("local:vztmpl/a.tar.zst", 1 << 20)]
    );
    let missing = client.stored_templates("other").await.unwrap_err();
    assert_eq!(
        (missing.kind(), missing.to_string().as_str()),
        (ErrorKind::NotFound, "storage 'other' does not exist")
    );
    client.remove_template(&"local:vztmpl/a.tar.zst".parse().unwrap()).await.unwrap();
    let backups = client.stored_backups("local").await.unwrap();
    assert_eq!((backups.len(), backups[0].vmid, backups[0].size), (1, 101, 7));
    let asked = fs::read_to_string(pct.dir().join("asked")).unwrap();
    assert_eq!(asked, "list local\nlist other\nremove local:vztmpl/a.tar.zst\nlist local --content backup\n");
}

#[tokio::test]
async fn a_program_that_hangs_or_floods_is_stopped() {
    let limit = Some(Duration::from_millis(100));
    let Some((_pct, client)) = node("limits", &[("pveam", "sleep 600"), ("pvesm", "yes")], limit) else {
        return;
    };
    let error = client.stored_templates("local").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { interrupted: false, .. }), "{error}");
    let Some((_pct, client)) = node("limits", &[("pveam", "sleep 600"), ("pvesm", "yes")], None) else {
        return;
    };
    let flood = client.stored_backups("local").await.unwrap_err();
    assert_eq!(flood.kind(), ErrorKind::PctInvalidOutput, "{flood}");
    client.cancel_handle().cancel();
    let error = client.stored_templates("local").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { interrupted: true, .. }), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let Some((_pct, client)) = node("missing", &[], None) else { return };
    let error = client.run_other("no-such-program", &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "pct could not be run to its end: no-such-program did not start");
}
