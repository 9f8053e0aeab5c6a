//! Files that travel with a call.

use std::fs;
use std::path::Path;

use pvect_core::{Call, ErrorKind, Operate, Verb};

use crate::far::{checked, vmid};

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
async fn a_hostile_node_makes_no_set_user_id_files_here() {
    use std::os::unix::fs::PermissionsExt;
    let far = far_or_skip!("a_hostile_node_makes_no_set_user_id_files_here");
    let here = far.sshd.dir().join("here");
    let pull = Call::on(Verb::Pull, "104".parse().unwrap()).arg("/x").arg(here.display().to_string());
    far.backend().operate(&checked(pull.clone()), &mut ()).await.unwrap();
    assert_eq!(fs::metadata(&here).unwrap().permissions().mode() & 0o7777, 0o755);
}
