//! What a storage keeps, listed by stand-ins for pveam and pvesm beside a stand-in for pct.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use pvect::{Backup, CancelHandle, Client, ErrorKind, Settings};
use pvect_core::Error;
use pvect_testkit::FakePct;

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).expect("a script can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
}

/// `None` (and a note) without root, which pct needs.
fn node(test: &str, programs: &[(&str, &str)], limit: Option<Duration>) -> Option<(FakePct, Client)> {
    if !rustix::process::geteuid().is_root() {
        pvect_testkit::skipped(test, "pct needs root");
        return None;
    }
    let pct = FakePct::new("");
    for (name, body) in programs {
        script(&pct.dir().join(name), body);
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
    let Some((pct, client)) = node("missing", &[], None) else { return };
    let error = client.run_other("no-such-program", &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "no-such-program is not installed on this node");
    assert_eq!(error.kind(), ErrorKind::PctCommandFailed);
    assert_eq!(error.run().unwrap().argv, ["no-such-program"]);
    if ["/usr/sbin/vzdump", "/usr/bin/vzdump", "/sbin/vzdump", "/bin/vzdump"]
        .iter()
        .any(|path| Path::new(path).exists())
    {
        return;
    }
    let backup = Backup::of(["101".parse().unwrap()]);
    let error = client.back_up(&backup, &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "vzdump is not installed on this node");
    assert_eq!(client.backup_line(&backup), ["vzdump", "101"]);
    // It is the one beside pct when there is one.
    script(&pct.dir().join("vzdump"), "exit 0");
    assert_eq!(client.backup_line(&backup), [pct.dir().join("vzdump").to_str().unwrap(), "101"]);
}

/// Removing a file of gigabytes takes longer than a read may.
#[tokio::test]
async fn a_removal_has_the_time_of_a_change() {
    let pveam = "[ \"$1\" = list ] && exec sleep 600\nexec sleep 1";
    let Some((pct, _)) = node("times", &[("pveam", pveam)], None) else { return };
    let mut settings = Settings::default();
    settings.proxmox.pct_path = Some(pct.path());
    settings.proxmox.timeouts.read = Some(0.2.try_into().unwrap());
    let client = Client::builder(settings).pve(pct.dir().join("pve")).connect().unwrap();
    let error = client.stored_templates("local").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { interrupted: false, .. }), "{error}");
    client.remove_template(&"local:vztmpl/a.tar.zst".parse().unwrap()).await.unwrap();
}

/// A client of a standalone node below `/srv/lab` whose program is a script.
fn standalone(body: &str) -> (FakePct, Client) {
    let pvect = FakePct::new(&format!("echo \"$*\" >> \"$(dirname \"$0\")/asked\"\n{body}"));
    for other in ["pveam", "pvesm"] {
        script(&pvect.dir().join(other), "echo \"$0\" >> \"$(dirname \"$0\")/asked\"");
    }
    let mut settings = Settings::default();
    settings.proxmox.root = Some("/srv/lab".into());
    settings.proxmox.node = Some("lab".parse().expect("a node's name"));
    let client = Client::builder(settings).standalone_program(pvect.path()).connect().expect("it connects");
    (pvect, client)
}

#[tokio::test]
async fn what_a_standalone_node_keeps_is_listed_and_removed_by_its_own_program() {
    let (pvect, client) = standalone(
        r#"case "$2" in
templates) echo '{"Ok":[{"volid":"local:vztmpl/a.tar.zst","size":7}]}' ;;
backups) echo '{"Ok":[{"volid":"local:backup/b.tar","vmid":101,"size":8}]}' ;;
*) echo '{"Ok":null}' ;;
esac"#,
    );
    let templates = client.stored_templates("local").await.unwrap();
    assert_eq!(
        (templates.len(), templates[0].volid.as_str(), templates[0].size),
        (1, "local:vztmpl/a.tar.zst", 7)
    );
    let backups = client.stored_backups("local").await.unwrap();
    assert_eq!((backups.len(), backups[0].vmid, backups[0].size), (1, 101, 8));
    let volume = "local:vztmpl/a.tar.zst".parse().unwrap();
    client.remove_template(&volume).await.unwrap();
    assert_eq!(client.template_table("local").await.unwrap_err().kind(), ErrorKind::Unsupported);
    let asked = fs::read_to_string(pvect.dir().join("asked")).unwrap();
    assert_eq!(
        asked,
        "__node templates /srv/lab lab local\n__node backups /srv/lab lab local\n\
         __node remove-template /srv/lab lab local:vztmpl/a.tar.zst\n"
    );
    let program = pvect.path().display().to_string();
    let line = client.remove_template_line(&volume).unwrap();
    assert_eq!(line, [&program, "--root", "/srv/lab", "template", "remove", volume.as_str()]);
}

#[tokio::test]
async fn a_failure_of_the_standalone_node_has_its_kind_and_its_run() {
    let fails = |kind: &str| {
        let failure = format!(r#"{{"Err":{{"text":"it says so","exit":255,"kind":{kind}}}}}"#);
        standalone(&format!("echo '{failure}'\necho it says so >&2\nexit 1"))
    };
    for (kind, expected) in [
        (r#""operation""#, ErrorKind::PctOperationFailed),
        (r#"{"no-storage":{"storage":"x"}}"#, ErrorKind::NotFound),
    ] {
        let (_pvect, client) = fails(kind);
        let error = client.stored_backups("x").await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (expected, "it says so"));
        let run = error.run().expect("there was a run");
        assert_eq!(run.argv, ["__node", "backups", "/srv/lab", "lab", "x"]);
        assert_eq!(run.stderr, "it says so\n");
    }
}

/// The pveam and pvesm of that machine know nothing of the node.
#[tokio::test]
async fn nothing_is_asked_of_the_machine_of_a_standalone_node_at_the_other_end() {
    let ssh = FakePct::new("echo \"$*\" >> \"$(dirname \"$0\")/asked\"\nexit 255");
    let text = format!(
        r#"{{"node": "lab", "nodes": {{"lab": {{"root": "/srv/lab"}}}}, "ssh": {{"program": {:?}}}}}"#,
        ssh.path().display().to_string()
    );
    let settings = Settings { proxmox: serde_json::from_str(&text).unwrap(), ..Settings::default() };
    let client = Client::builder(settings).connect().unwrap();
    let volume = "local:vztmpl/a.tar.zst".parse().unwrap();
    let templates = client.stored_templates("local").await.unwrap_err();
    assert_eq!(
        templates.to_string(),
        "the templates of a standalone node are managed with 'pvect template' on that node, at root@lab"
    );
    for error in [
        templates,
        client.remove_template(&volume).await.unwrap_err(),
        client.remove_template_line(&volume).unwrap_err(),
        client.stored_backups("local").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    assert!(!ssh.dir().join("asked").exists());
}
