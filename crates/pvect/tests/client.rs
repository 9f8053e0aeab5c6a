//! The library against a stand-in for pct that notes what it was asked.

use std::fs;
use std::path::PathBuf;

use pvect::options::{
    CloneOptions, ContainerOptions, ContainerValues, CreateOptions, DestroyOptions, FsckOptions,
    MigrateOptions, MoveOptions, RebootOptions, RemoteMigrateOptions, RescanOptions, SetOptions,
    StartOptions, StopOptions, TransferOptions,
};
use pvect::{Client, Create, ErrorKind, Inspect, Manner, RemoteEndpoint, Settings};
use pvect_core::backend::ConfigView;
use pvect_core::{Call, CheckedCall, Verb, Vmid};
use pvect_testkit::FakePct;

const SCRIPT: &str = r#"
dir=$(dirname "$0")
printf '%s\n' "$*" >> "$dir/asked"
case "$1" in
status) printf 'status: %s\nvmid: 101\n' "$(cat "$dir/state" 2>/dev/null || echo stopped)" ;;
config) printf 'template: 1\nrootfs: local:101/d.raw,size=%sG\n' "$(wc -l < "$dir/asked")" ;;
mount) echo "mounted CT 101 in '/var/lib/lxc/101/rootfs'" ;;
df) printf 'MP     Volume  Size Used Avail Use%% Path\nrootfs local:x 1.0G  512  1.0K  0.0 /\n' ;;
cpusets) printf -- '---\n101:  0 1\n---\n' ;;
help) echo "USAGE: pct $2" ;;
exec) while [ "$1" != -- ]; do shift; done
    case "$2" in sha256sum) sha256sum < "$dir/file" ;; esac ;;
pull) cp "$dir/file" "$4" ;;
set|create) printf 'memory: 512\nlxc.environment.runtime: A=1\n' > "$dir/pve/lxc/101.conf" ;;
esac
"#;

struct Node {
    pct: FakePct,
    client: Client,
}

/// `None` (and a note) without root, which pct needs.
fn node(test: &str) -> Option<Node> {
    if !rustix::process::geteuid().is_root() {
        pvect_testkit::skipped(test, "pct needs root");
        return None;
    }
    let pct = FakePct::new(SCRIPT);
    fs::create_dir_all(pct.dir().join("pve/lxc")).expect("a directory can be made");
    fs::write(pct.dir().join("file"), "content").expect("a file can be written");
    let mut settings = Settings::default();
    settings.proxmox.pct_path = Some(pct.path());
    let client = Client::builder(settings)
        .pve(pct.dir().join("pve"))
        .locks(pct.dir().join("locks"))
        .connect()
        .expect("it connects");
    Some(Node { pct, client })
}

impl Node {
    fn path(&self, name: &str) -> PathBuf {
        self.pct.dir().join(name)
    }

    /// What was asked since the last time, reads of the state left out.
    fn asked(&self) -> String {
        let text = fs::read_to_string(self.path("asked")).unwrap_or_default();
        let _ = fs::remove_file(self.path("asked"));
        let reads = ["status ", "config ", "exec "];
        let lines = text.lines().filter(|line| !reads.iter().any(|read| line.starts_with(read)));
        lines.collect::<Vec<_>>().join("\n").replace(&*self.pct.dir().to_string_lossy(), "DIR")
    }
}

fn id(number: u32) -> Vmid {
    Vmid::try_from(number).expect("a number of three digits")
}

macro_rules! asks {
    ($node:ident: $($call:expr => $asked:literal),* $(,)?) => {
        $(
            let done = $call.await;
            assert!(done.is_ok(), "{}: {done:?}", $asked);
            assert_eq!($node.asked(), $asked);
        )*
    };
}

#[tokio::test]
async fn every_method_asks_for_its_verb() {
    let Some(node) = node("every_method_asks_for_its_verb") else { return };
    let (client, ct) = (&node.client, id(101));
    let file = node.path("file").display().to_string();
    let back = node.path("back").display().to_string();
    let snapshot = "before".parse().expect("a name");
    let storage = "local".parse().expect("a storage");
    let text = |text: &str| Some(text.to_owned());
    let swap = ContainerOptions {
        values: ContainerValues { swap: Some(0), ..Default::default() },
        ..Default::default()
    };
    asks! { node:
        client.stop_with(ct, &StopOptions { overrule_shutdown: Some(true), skip_lock: Some(false) })
            => "stop 101 --overrule-shutdown 1 --skiplock 0",
        client.shutdown(ct, Some(5), true) => "shutdown 101 --forceStop 1 --timeout 5",
        client.suspend(ct) => "suspend 101",
        client.resume(ct) => "resume 101",
        client.destroy_with(ct, &DestroyOptions { purge: Some(true), ..Default::default() })
            => "destroy 101 --purge 1",
        client.clone_container(
            ct,
            id(102),
            &CloneOptions { full: Some(true), bwlimit: Some(1.5), ..Default::default() },
        ) => "clone 101 102 --bwlimit 1.5 --full 1",
        client.template(ct) => "template 101",
        client.snapshot(ct, &snapshot, Some("why not")) => "snapshot 101 before --description why not",
        client.rollback(ct, &snapshot, true) => "rollback 101 before --start 1",
        client.delete_snapshot(ct, &snapshot, true) => "delsnapshot 101 before --force 1",
        client.set(ct, [("memory", "512")]) => "set 101 --memory 512",
        client.set_with(
            ct,
            &swap,
            &SetOptions { delete: Some(vec!["tags".into(), "net1".into()]), ..Default::default() },
        ) => "set 101 --swap 0 --delete tags,net1",
        client.unlock(ct) => "unlock 101",
        client.push_with(ct, &file, "/file", &TransferOptions { perms: text("600"), ..Default::default() })
            => "push 101 DIR/file /file --perms 600",
        client.pull(ct, "/file", &back) => "pull 101 /file DIR/back",
        client.resize(ct, "rootfs", "+8G", None) => "resize 101 rootfs +8G",
        client.move_volume(ct, "mp0", &storage, &MoveOptions { delete: Some(true), ..Default::default() })
            => "move-volume 101 mp0 local --delete 1",
        client.reassign_volume(ct, "mp0", id(102), Some("mp1"), &MoveOptions::default())
            => "move-volume 101 mp0 --target-vmid 102 --target-volume mp1",
        client.unmount(ct) => "unmount 101",
        client.fsck(ct, &FsckOptions { device: text("mp0"), force: Some(true) })
            => "fsck 101 --device mp0 --force 1",
        client.fstrim(ct, true) => "fstrim 101 --ignore-mountpoints 1",
        client.rescan(&RescanOptions { dry_run: Some(true), vmid: Some(ct) }) => "rescan --dryrun 1 --vmid 101",
    }
    fs::write(node.path("state"), "running").expect("the state can be set");
    asks! { node:
        client.start_with(ct, &StartOptions { debug: Some(true), skip_lock: None }) => "start 101 --debug 1",
        client.reboot_with(ct, &RebootOptions { timeout: Some(7) }) => "reboot 101 --timeout 7",
        client.migrate(
            ct,
            &"pve2".parse().expect("a node"),
            &MigrateOptions { restart: Some(true), ..Default::default() },
        ) => "migrate 101 pve2 --restart 1",
    }
    assert_eq!(client.mount(ct).await.expect("it says where"), "/var/lib/lxc/101/rootfs");
    let full = client.df(ct, false).await.expect("a table");
    assert_eq!((full[0].size, full[0].used, full[0].path.as_str()), (1 << 30, 512, "/"));
    assert_eq!(client.cpusets().await.expect("a table")[&ct], [0, 1]);
    assert_eq!(client.help(Verb::Start).await.expect("help"), "USAGE: pct start\n");
    assert_eq!(node.asked(), "mount 101\ndf 101\ncpusets\nhelp start --verbose 1");
}

#[tokio::test]
async fn trap_argv_secrets_of_typed_calls() {
    let Some(node) = node("trap_argv_secrets_of_typed_calls") else { return };
    let endpoint = RemoteEndpoint {
        host: "pve9".into(),
        port: None,
        token: "root@pam!x=hunter22".to_owned().into(),
        fingerprint: None,
    };
    assert!(!format!("{endpoint:?} {endpoint}").contains("hunter22"));
    let options = RemoteMigrateOptions {
        target_bridge: Some(vec!["vmbr0".into()]),
        target_storage: Some(vec!["local".into()]),
        ..Default::default()
    };
    node.client.remote_migrate(id(101), None, &endpoint, &options).await.expect("it runs");
    assert_eq!(
        node.asked(),
        "remote-migrate 101 101 apitoken=PVEAPIToken=root@pam!x=hunter22,host=pve9 --target-bridge vmbr0 \
         --target-storage local"
    );
    let call = Call::on(Verb::RemoteMigrate, id(101)).arg("102").arg("host=a1,apitoken=PVEAPIToken=x");
    let call = call.option("target-bridge", "vmbr0").option("target-storage", "local");
    let error = node.client.carry_out(&call, &Manner::default(), &mut ()).await.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(node.asked(), "");
}

/// The file of a real node is changed under pct's lock file, and only where pct stored the first variable.
#[tokio::test]
async fn trap_env_one_var_on_a_real_node() {
    let Some(node) = node("trap_env_one_var_on_a_real_node") else { return };
    let config = node.path("pve/lxc/101.conf");
    let options = ContainerOptions {
        env: vec![("A".into(), "1".into()), ("B".into(), "2".into())],
        ..Default::default()
    };
    node.client.set_with(id(101), &options, &SetOptions::default()).await.expect("both are set");
    assert_eq!(node.asked(), "set 101 --env A=1\npending 101");
    assert_eq!(
        fs::read_to_string(&config).expect("the configuration"),
        "memory: 512\nlxc.environment.runtime: A=1\nlxc.environment.runtime: B=2\n"
    );
    assert!(node.path("locks/pve-config-101.lock").exists());
    // It starts only when all are there.
    let create = Create::new("local:vztmpl/x.tar.zst")
        .vmid(id(101))
        .container(&options)
        .with(&CreateOptions { start: Some(true), ..Default::default() });
    node.client.create(&create, &mut ()).await.expect("it is made");
    assert_eq!(node.asked(), "create 101 local:vztmpl/x.tar.zst --env A=1 --unprivileged 1\nstart 101");
    // Somebody else was there in between.
    let error = node.client.set(id(101), [("env", "X=1\0Y=2")]).await.expect_err("it is told");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (
            ErrorKind::Conflict,
            "only the first environment variable is set: the configuration was changed by somebody else meanwhile"
        )
    );
}

#[tokio::test]
async fn wrong_values_start_nothing() {
    let Some(node) = node("wrong_values_start_nothing") else { return };
    let error = node.client.resize(id(101), "rootfs", "8", None).await.expect_err("bytes are not meant");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = node.client.set(id(101), [("memory", "8")]).await.expect_err("too little");
    assert_eq!(error.to_string(), "--memory: 8 is too small: at least 16");
    let error = node.client.reassign_volume(id(101), "mp999", id(102), None, &MoveOptions::default()).await;
    assert_eq!(error.expect_err("no volume").kind(), ErrorKind::InvalidArgument);
    assert!(!node.path("asked").exists());
    let config = node.client.config(id(101), &ConfigView::Current).await.expect("it is read");
    assert_eq!(config.main.get("template").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_session_is_checked_as_every_call_is() {
    let Some(node) = node("session") else { return };
    let call = CheckedCall::unchecked(Call::on(Verb::Enter, Vmid::MIN).option("no-such-option", "1"));
    let error = node.client.interactive(&call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(!node.path("asked").exists(), "pct was not started");
}
