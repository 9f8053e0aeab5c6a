use std::fs;

use pvect_core::ContainerConfig;
use pvect_core::config::ParseMode;
use pvect_native::Names;

use super::*;
use crate::{creation, lock_files, store};

struct Place {
    _dir: tempfile::TempDir,
    node: Node,
    host: Host,
}

/// A node with an empty `/proc` and `/sys`.
fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let node = crate::fixture::node(root.join("node"));
    store::ensure_root(&node).unwrap();
    let host = Host { proc: root.join("proc"), sys: root.join("sys"), patience: Duration::ZERO };
    put(&host.proc.join("thread-self/mountinfo"), "");
    Place { _dir: dir, node, host }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn id(text: &str) -> Vmid {
    text.parse().unwrap()
}

impl Place {
    fn config(&self, vmid: &str, text: &str) {
        let (config, _) = ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap();
        store::save(&self.node, id(vmid), &config).unwrap();
    }

    fn volume(&self, vmid: &str, name: &str) -> PathBuf {
        let path = self.node.layout.local_storage().join("images").join(vmid).join(name);
        put(&path, "data");
        path
    }

    fn found(&self) -> Vec<Finding> {
        inspect(&self.node, &self.host).unwrap()
    }

    fn kinds(&self) -> Vec<(Kind, bool)> {
        self.found().into_iter().map(|finding| (finding.kind, finding.automatic)).collect()
    }

    fn repair(&self, finding: &Finding) -> NodeResult<Repaired> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        repair(&self.node, &self.host, finding, &mut Output::new(&mut out, &mut err))
    }

    /// Repairs all that can be, and shows that it is gone.
    fn repair_all(&self) {
        for finding in self.found().iter().filter(|finding| finding.automatic) {
            assert!(matches!(self.repair(finding), Ok(Repaired::Done | Repaired::Gone)), "{finding:?}");
        }
        assert!(self.kinds().iter().all(|(_, automatic)| !automatic), "{:?}", self.found());
    }
}

const ROOTFS: &str = "rootfs: local:101/vm-101-disk-0.raw,size=4\n";

#[test]
fn a_new_node_has_nothing_to_repair() {
    assert_eq!(place().found(), []);
}

#[test]
fn lock_values_that_nobody_holds_are_named() {
    let place = place();
    place.volume("101", "vm-101-disk-0.raw");
    for (lock, kind, automatic) in [
        ("mounted", Kind::StaleLock, true),
        ("fstrim", Kind::StaleLock, true),
        ("disk", Kind::StaleLock, true),
        ("backup", Kind::StaleLock, true),
        ("snapshot", Kind::StaleLock, true),
        ("snapshot-delete", Kind::StaleLock, true),
        ("rollback", Kind::StaleLock, false),
        ("create", Kind::StaleLock, false),
        ("migrate", Kind::StaleLock, false),
        ("quux", Kind::StaleLock, false),
        ("destroyed", Kind::UnfinishedDestroy, true),
    ] {
        place.config("101", &format!("lock: {lock}\n{ROOTFS}"));
        assert_eq!(place.kinds(), [(kind, automatic)], "{lock}");
    }
    assert_eq!(place.found()[0].what, "CT 101 was being destroyed when the command ended");
    place.config("101", &format!("lock: backup\n{ROOTFS}"));
    place.repair_all();
    assert_eq!(store::load(&place.node, id("101")).unwrap().config.lock(), None);
}

#[test]
fn what_is_under_way_is_left_alone() {
    let place = place();
    place.volume("101", "vm-101-disk-0.raw");
    place.config("101", &format!("lock: backup\n{ROOTFS}"));
    let finding = place.found().remove(0);
    for path in [place.node.layout.config_lock(id("101")), place.node.layout.operation_lock(id("101"))] {
        let held = lock_files::take(&path, 0, &mut |_| {}).unwrap();
        assert_eq!(place.found(), [], "{}", path.display());
        assert_eq!(place.repair(&finding), Ok(Repaired::Busy));
        drop(held);
    }
    // A lock file that cannot be opened does not mean that somebody is at work.
    let file = place.node.layout.config_lock(id("101"));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let text = format!("can't lock file '{}' - can't open file - Is a directory", file.display());
    assert_eq!(place.repair(&finding).map_err(|failure| failure.text), Err(text));
    fs::remove_dir(&file).unwrap();
    // A task whose process lives: same id, same start.
    let active = place.node.layout.tasks().join("active");
    put(&active, "UPID:vm:00000007:00067932:65540AF0:vzdump:101:root@pam: 0\n");
    let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 1 1\n";
    put(&place.host.proc.join("7/stat"), stat);
    assert_eq!(place.found(), []);
    assert_eq!(place.repair(&finding), Ok(Repaired::Busy));
    // Another process has its number now; or it has ended and nobody has waited for it.
    for other in [stat.replace("424242", "424243"), stat.replace(" S ", " Z ")] {
        put(&place.host.proc.join("7/stat"), &other);
        assert_eq!(place.kinds(), [(Kind::StaleTask, true), (Kind::StaleLock, true)]);
    }
    place.repair_all();
    assert_eq!(place.repair(&finding), Ok(Repaired::Gone));
    assert!(
        fs::read_to_string(place.node.layout.tasks().join("index")).unwrap().contains("unexpected status")
    );
}

#[test]
fn an_unfinished_create_is_undone_and_older_volumes_stay() {
    let place = place();
    let old = place.volume("101", "vm-101-disk-0.raw");
    let other = place.volume("102", "vm-102-disk-0.raw");
    let mut config = ContainerConfig::default();
    config.main.set("lock", "create");
    store::create(&place.node, id("101"), &config).unwrap();
    let made = place.volume("101", "vm-101-disk-1.raw");
    // It names an older volume and one of another container.
    config.main.set("mp0", "local:101/vm-101-disk-0.raw,mp=/a");
    config.main.set("mp1", "local:102/vm-102-disk-0.raw,mp=/b");
    store::save(&place.node, id("101"), &config).unwrap();
    assert!(place.kinds().contains(&(Kind::UnfinishedCreate, true)));
    place.repair_all();
    assert!(old.exists() && other.exists() && !made.exists());
    assert!(!place.node.layout.config(id("101")).exists());
    assert_eq!(creation::note(&place.node, id("101")).unwrap(), None);
    // What remains may be somebody's data.
    assert_eq!(place.kinds(), [(Kind::OwnerlessVolume, false); 2]);
}

#[test]
fn a_restore_over_a_container_is_undone_and_the_container_stays() {
    let place = place();
    let old = place.volume("101", "vm-101-disk-0.raw");
    creation::begin_over(&place.node, id("101")).unwrap();
    place.config("101", &format!("lock: create\n{ROOTFS}"));
    let made = place.volume("101", "vm-101-disk-1.raw");
    assert_eq!(place.kinds(), [(Kind::UnfinishedCreate, true)]);
    place.repair_all();
    assert!(old.exists() && !made.exists());
    assert_eq!(fs::read_to_string(place.node.layout.config(id("101"))).unwrap(), ROOTFS);
    assert_eq!(place.found(), []);
}

#[test]
fn lines_that_pct_does_not_take_are_named() {
    let place = place();
    let text = "hostname: x\nrootfs: local:101/vm-101-disk-0.raw,size=8G\n  cores: 2\nmp0: bogus\n";
    put(&place.node.layout.config(id("101")), text);
    place.config("102", "memory: 0\nrootfs: /srv\n");
    let found = place.found();
    let of = |vmid: &str| -> Vec<(String, String)> {
        let is_of = |finding: &&Finding| finding.vmid == Some(id(vmid)) && finding.kind == Kind::BadConfig;
        found.iter().filter(is_of).map(|finding| (finding.what.clone(), finding.fix.clone())).collect()
    };
    let repair = |vmid: &str| format!("correct the line in {}", place.node.layout.config(id(vmid)).display());
    assert_eq!(
        of("101"),
        [
            ("vm 101 - unable to parse config:   cores: 2".to_owned(), repair("101")),
            (
                "vm 101 - unable to parse value of 'mp0' - format error; mp: property is missing and it is not optional"
                    .to_owned(),
                repair("101")
            ),
        ]
    );
    let unfit = "pct config 102 fails: memory: value must have a minimum value of 16".to_owned();
    assert_eq!(of("102"), [(unfit, repair("102"))]);
    let missing = found.iter().find(|finding| finding.kind == Kind::MissingVolume).unwrap();
    // pct refuses to delete it.
    assert!(missing.fix.ends_with("or: pvect destroy 101"), "{missing:?}");
}

#[test]
fn volumes_and_options_are_brought_together() {
    let place = place();
    let disk = place.volume("101", "vm-101-disk-0.raw");
    fs::hard_link(&disk, disk.with_file_name("base-101-disk-0.raw")).unwrap();
    place.volume("101", "vm-101-disk-1.raw");
    place.config(
        "101",
        &format!(
            "arch: amd64\nostype: alpine\n{ROOTFS}mp0: local:101/vm-101-disk-8.raw,mp=/a\n\
             unused0: local:101/vm-101-disk-9.raw\n"
        ),
    );
    assert_eq!(
        place.kinds(),
        [
            (Kind::MissingVolume, false),
            (Kind::MissingVolume, true),
            (Kind::SecondName, true),
            (Kind::UnusedVolume, true)
        ]
    );
    place.repair_all();
    let text = fs::read_to_string(place.node.layout.config(id("101"))).unwrap();
    assert!(text.contains("unused0: local:101/vm-101-disk-1.raw\n") && !text.contains("disk-9"), "{text}");
    assert!(disk.exists() && !disk.with_file_name("base-101-disk-0.raw").exists());
    assert_eq!(place.kinds(), [(Kind::MissingVolume, false)]);
}

#[test]
fn a_storage_that_is_away_is_no_finding() {
    let place = place();
    let cfg = place.node.layout.storage_cfg();
    fs::write(&cfg, "dir: usb\n\tpath /none/usb\n\tcontent rootdir\n").unwrap();
    place.config("101", "rootfs: usb:101/vm-101-disk-0.raw,size=4\n");
    assert_eq!(place.found(), []);
}

#[test]
fn storages_that_this_node_may_not_use_are_left_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let path = place.host.sys.with_file_name("st");
    for name in ["images", "dump", "images/102"] {
        fs::create_dir_all(path.join(name)).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    put(&path.join("images/101/vm-101-disk-0.raw"), "data");
    for (keys, count) in [("nodes pve2", 0), ("disable", 0), ("is_mountpoint 1", 0), ("nodes vm,pve2", 4)] {
        let text = format!("dir: st\n\tpath {}\n\tcontent rootdir,backup\n\t{keys}\n", path.display());
        fs::write(place.node.layout.storage_cfg(), text).unwrap();
        assert_eq!(place.found().len(), count, "{keys}: {:?}", place.found());
    }
}

#[test]
fn volumes_that_nobody_could_see_when_a_create_began_stay() {
    let place = place();
    let path = place.host.sys.with_file_name("st");
    put(&path.join("images/101/vm-101-disk-0.raw"), "data");
    let storages = |mounted: &str| {
        let text = format!("dir: st\n\tpath {}\n\tcontent rootdir\n{mounted}", path.display());
        fs::write(place.node.layout.storage_cfg(), text).unwrap();
    };
    storages("\tis_mountpoint 1\n");
    let mut config = ContainerConfig::default();
    config.main.set("lock", "create");
    store::create(&place.node, id("101"), &config).unwrap();
    let made = place.volume("101", "vm-101-disk-0.raw");
    storages("");
    place.repair_all();
    assert!(!made.exists() && path.join("images/101/vm-101-disk-0.raw").exists());
}

#[test]
fn volumes_on_a_storage_that_changed_after_a_create_began_stay() {
    let place = place();
    let path = |name: &str| place.host.sys.with_file_name(name);
    let old = ["one", "two", "new"].map(|name| path(name).join("images/101/vm-101-disk-0.raw"));
    old.iter().for_each(|file| put(file, "data"));
    let storages = |lines: &str| fs::write(place.node.layout.storage_cfg(), lines).unwrap();
    let section = |name: &str, at: &str, content: &str| {
        format!("dir: {name}\n\tpath {}\n\tcontent {content}\n", path(at).display())
    };
    // One holds no containers yet, one will lie elsewhere, one is not known at all.
    storages(&(section("a", "one", "backup") + &section("b", "other", "rootdir")));
    fs::create_dir_all(path("other")).unwrap();
    let mut config = ContainerConfig::default();
    config.main.set("lock", "create");
    store::create(&place.node, id("101"), &config).unwrap();
    let made = place.volume("101", "vm-101-disk-0.raw");
    storages(
        &["a one", "b two", "c new"]
            .map(|words| {
                let (name, at) = words.split_once(' ').unwrap();
                section(name, at, "rootdir")
            })
            .concat(),
    );
    place.repair_all();
    assert!(!made.exists() && old.iter().all(|file| file.exists()));
}

#[test]
fn temporary_files_on_a_shared_storage_are_left_to_people() {
    let place = place();
    let path = place.host.sys.with_file_name("st");
    let text = format!("dir: st\n\tpath {}\n\tcontent backup,vztmpl\n\tshared 1\n", path.display());
    fs::write(place.node.layout.storage_cfg(), text).unwrap();
    let files = [
        path.join("dump/vzdump-lxc-101-2026_01_01-00_00_00.tar.dat"),
        path.join("template/cache/.building-8-debian.tar.zst"),
        path.join("template/cache/.tmp-a1b2c3"),
    ];
    files.iter().for_each(|file| put(file, "x"));
    let mut found = place.found();
    found.retain(|finding| finding.kind == Kind::TemporaryFile);
    assert_eq!(found.iter().map(|finding| finding.automatic).collect::<Vec<_>>(), [false; 3]);
    assert_eq!(found[0].fix, format!("if no other node is writing it: rm '{}'", files[0].display()));
    for finding in &found {
        place.repair(finding).unwrap();
    }
    assert!(files.iter().all(|file| file.exists()));
}

#[test]
fn things_outside_the_node_are_found_by_their_names() {
    let place = place();
    let names = Names::new(place.node.layout.lxc());
    let sys = &place.host.sys;
    let disk = place.volume("101", "vm-101-disk-0.raw");
    place.config("101", ROOTFS);
    put(&sys.join("fs/cgroup/cgroup.controllers"), "memory\n");
    fs::create_dir_all(sys.join("fs/cgroup").join(names.cgroup(id("101")))).unwrap();
    fs::create_dir_all(sys.join("class/net").join(names.device(id("101"), 0))).unwrap();
    put(&sys.join("block/loop7/loop/backing_file"), &format!("{}\n", disk.display()));
    // Another root's, another program's.
    let other = Names::new("/another/lib/lxc");
    fs::create_dir_all(sys.join("fs/cgroup").join(other.cgroup(id("102")))).unwrap();
    fs::create_dir_all(sys.join("class/net").join(other.device(id("102"), 0))).unwrap();
    put(&sys.join("block/loop8/loop/backing_file"), "/another/images/101/vm-101-disk-0.raw\n");
    let places: Vec<_> = place.found().into_iter().map(|finding| (finding.kind, finding.place)).collect();
    assert_eq!(
        places,
        [
            (Kind::Cgroup, sys.join("fs/cgroup").join(names.cgroup(id("101"))).display().to_string()),
            (Kind::Device, names.device(id("101"), 0)),
            (Kind::LoopDevice, "/dev/loop7".to_owned()),
        ]
    );
}

#[test]
fn mounts_belong_to_the_lock_value_mounted() {
    let place = place();
    place.volume("101", "vm-101-disk-0.raw");
    place.config("101", ROOTFS);
    let rootfs = place.node.layout.rootfs(id("101"));
    fs::create_dir_all(&rootfs).unwrap();
    let line = format!("36 35 7:0 / {} rw - ext4 /dev/loop0 rw\n", rootfs.display());
    put(&place.host.proc.join("thread-self/mountinfo"), &line);
    assert_eq!(place.kinds(), [(Kind::Mount, true)]);
    place.config("101", &format!("lock: mounted\n{ROOTFS}"));
    assert_eq!(place.found(), []);
    put(&place.host.proc.join("thread-self/mountinfo"), "");
    assert_eq!(place.kinds(), [(Kind::StaleLock, true)]);
}

#[test]
fn temporary_files_that_nobody_has_open_are_removed() {
    let place = place();
    let layout = &place.node.layout;
    let cache = layout.local_storage().join("template/cache");
    let stale = [
        layout.configs().join(".tmp-a1b2c3"),
        cache.join(".building-8-debian.tar.zst"),
        layout.local_storage().join("dump/vzdump-lxc-101-2026_01_01-00_00_00.tar.dat"),
    ];
    let kept = [
        layout.configs().join(".tmp-open"),
        cache.join(".building-7-busybox.tar.zst"),
        cache.join("debian.tar.zst"),
        layout.local_storage().join("dump/vzdump-lxc-101-2026_01_01-00_00_00.tar"),
    ];
    for path in stale.iter().chain(&kept) {
        put(path, "x");
    }
    fs::create_dir_all(place.host.proc.join("7/fd")).unwrap();
    std::os::unix::fs::symlink(&kept[0], place.host.proc.join("7/fd/3")).unwrap();
    assert_eq!(place.kinds(), [(Kind::TemporaryFile, true); 3]);
    place.repair_all();
    assert!(kept.iter().all(|path| path.exists()) && !stale.iter().any(|path| path.exists()));
}

#[test]
fn the_directory_of_no_container_goes_unless_something_is_in_it() {
    let place = place();
    let rootfs = place.node.layout.rootfs(id("101"));
    put(&rootfs.join("file"), "data");
    put(&place.node.layout.container(id("101")).join("config"), "x");
    let finding = place.found().remove(0);
    assert_eq!((finding.kind, finding.automatic), (Kind::Directory, true));
    assert!(place.repair(&finding).is_err() && rootfs.join("file").exists());
    fs::remove_file(rootfs.join("file")).unwrap();
    assert_eq!(place.repair(&finding), Ok(Repaired::Done));
    let images = place.node.layout.local_storage().join("images/103");
    fs::create_dir_all(&images).unwrap();
    assert_eq!(place.kinds(), [(Kind::Directory, true)]);
    place.repair_all();
    assert!(!images.exists());
    assert_eq!(place.found(), []);
}

#[test]
fn half_a_template_and_a_bad_configuration_are_named() {
    let place = place();
    place.volume("101", "base-101-disk-0.raw");
    place.config("101", "rootfs: local:101/base-101-disk-0.raw,size=4\n");
    place.config("102", "memory: 512\n");
    assert_eq!(place.kinds(), [(Kind::BadConfig, false), (Kind::UnfinishedTemplate, true)]);
    place.config("101", "rootfs: local:101/base-101-disk-0.raw,size=4\ntemplate: 1\n");
    assert_eq!(place.kinds(), [(Kind::BadConfig, false)]);
}

#[test]
fn unfinished_snapshots_are_named_with_their_lock() {
    let place = place();
    place.volume("101", "vm-101-disk-0.raw");
    for (lock, state, automatic) in [
        ("lock: snapshot\n", "prepare", true),
        ("lock: snapshot-delete\n", "delete", true),
        ("", "delete", true),
    ] {
        place.config("101", &format!("{lock}{ROOTFS}\n[one]\n{ROOTFS}snapstate: {state}\n"));
        assert_eq!(place.kinds(), [(Kind::UnfinishedSnapshot, automatic)], "{lock}");
    }
    place.config("101", &format!("lock: backup\n{ROOTFS}\n[one]\n{ROOTFS}snapstate: prepare\n"));
    assert_eq!(place.kinds(), [(Kind::StaleLock, true), (Kind::UnfinishedSnapshot, false)]);
    assert_eq!(place.found()[1].fix, "pvect unlock 101; pvect delsnapshot 101 one --force 1");
}
