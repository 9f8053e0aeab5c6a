//! The client against servers that do as pmxcfs does, and against those that do not.

use super::peer::{Manner, Peer};
use super::*;
use crate::NativeBackend;
use crate::configs::Configs;

const VERSIONS: &str = "{\n\"starttime\": 1700000000,\n\"clinfo\": 0\n}\n";

/// A server and the directory that it is asked for; the file system itself gives only the versions.
struct Bench {
    _peer: Peer,
    place: Pmxcfs,
    _root: tempfile::TempDir,
}

fn vmids(count: u32) -> Vec<Vmid> {
    (100..100 + count).map(|number| number.to_string().parse().unwrap()).collect()
}

fn text(vmid: Vmid) -> String {
    format!("hostname: web-{vmid}\n#{}\n", "x".repeat(vmid.get() as usize % 50))
}

fn bench(manner: Manner, files: &[(String, Vec<u8>)]) -> Bench {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(".version"), VERSIONS).unwrap();
    let peer = Peer::start(manner, VERSIONS, files);
    // Only those that never answer are waited for to the end.
    let is_late = matches!(manner, Manner::SaysNothing | Manner::StopsAt(_));
    let time = if is_late { Duration::from_millis(200) } else { Duration::from_secs(60) };
    let place = Pmxcfs::below(&root.path().join("nodes/pve1/lxc"), &peer.name, time).unwrap();
    Bench { _peer: peer, place, _root: root }
}

fn files(vmids: &[Vmid]) -> Vec<(String, Vec<u8>)> {
    vmids.iter().map(|vmid| (format!("nodes/pve1/lxc/{vmid}.conf"), text(*vmid).into_bytes())).collect()
}

/// What comes of asking a server of a manner for fifty files.
fn outcome(manner: Manner) -> Result<Together, Unusable> {
    let vmids = vmids(50);
    let bench = bench(manner, &files(&vmids));
    bench.place.read(&vmids)
}

#[test]
fn files_come_in_the_order_in_which_they_are_asked_for() {
    // So many that both rings begin anew.
    let vmids = vmids(30_000);
    let mut given = files(&vmids);
    given.retain(|(name, _)| !name.contains("/117."));
    given.push(("nodes/pve2/lxc/117.conf".to_owned(), b"another node's".to_vec()));
    let empty = given.iter_mut().find(|(name, _)| name.contains("/118."));
    empty.unwrap().1.clear();
    let bench = bench(Manner::Proper, &given);
    let together = bench.place.read(&vmids).unwrap();
    for (place, vmid) in vmids.iter().enumerate() {
        let expected = match vmid.get() {
            117 => None,
            118 => Some(String::new()),
            _ => Some(text(*vmid)),
        };
        assert_eq!(together.get(place), expected.as_ref().map(String::as_bytes), "{vmid}");
    }
    assert_eq!(together.get(vmids.len()), None);
}

#[test]
fn there_is_room_for_the_longest_file_of_pmxcfs() {
    let vmids = vmids(5);
    let mut given = files(&vmids);
    given[1..4].iter_mut().for_each(|(_, text)| text.resize(1 << 20, b'#'));
    let bench = bench(Manner::Proper, &given);
    let together = bench.place.read(&vmids).unwrap();
    for (place, (_, text)) in given.iter().enumerate() {
        assert!(together.get(place) == Some(text.as_slice()), "{place}");
    }
}

#[test]
fn a_file_that_the_ring_has_no_room_for_ends_the_connection() {
    let vmids = vmids(3);
    let mut given = files(&vmids);
    given[1].1.resize(2 << 20, b'#');
    let bench = bench(Manner::Proper, &given);
    assert!(matches!(bench.place.read(&vmids), Err(Unusable::Closed)));
}

#[test]
fn no_files_are_no_question() {
    let bench = bench(Manner::Proper, &[]);
    assert_eq!(bench.place.read(&[]).unwrap().get(0), None);
}

#[test]
fn a_server_of_another_user_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        pvect_testkit::skipped(module_path!(), "only root can listen as somebody else");
        return;
    }
    let pid = std::process::id() as i32;
    match outcome(Manner::OfUser(65534)) {
        Err(Unusable::Foreign { uid: 65534, pid: found }) => assert_eq!(found, pid),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_is_late_is_not_waited_for() {
    for manner in [Manner::SaysNothing, Manner::StopsAt(0), Manner::StopsAt(1), Manner::StopsAt(45)] {
        let came = outcome(manner);
        assert!(matches!(came, Err(Unusable::Late)), "{manner:?}: {came:?}");
    }
}

#[test]
fn a_server_that_closes_gives_nothing() {
    for manner in [Manner::HalfWelcome, Manner::ClosesAt(0), Manner::ClosesAt(1), Manner::ClosesAt(45)] {
        let came = outcome(manner);
        assert!(matches!(came, Err(Unusable::Closed)), "{manner:?}: {came:?}");
    }
    let refused = outcome(Manner::Welcome(16, -13));
    assert!(matches!(refused, Err(Unusable::Refused)), "{refused:?}");
}

#[test]
fn whatever_is_not_as_libqb_has_it_is_refused() {
    let longest = i32::MAX;
    for manner in [
        // Its welcome: another form, kind of connection, length of messages.
        Manner::Welcome(0, 0),
        Manner::Welcome(24, 0),
        Manner::Welcome(28, longest),
        Manner::Welcome(28, -1),
        Manner::Welcome(28, 4096),
        Manner::Rings("/etc/passwd"),
        Manner::Rings("/dev/shm/qb-x/../../../etc/passwd"),
        Manner::OpenRings,
        // A ring that is in use, has another length or other files.
        Manner::Header(0, 1),
        Manner::Header(4, 1),
        Manner::Header(8, 1),
        Manner::Header(8, longest),
        Manner::Header(12 + 8, 1),
        Manner::Header(4108 + 8, 1),
        Manner::Header(8204, 2),
        Manner::Header(8208, 1),
        // Answers without end, and an end that is not one.
        Manner::Extra(1000),
        Manner::EndsAt(u32::MAX),
        Manner::EndsAt(1 << 20),
        Manner::EndsAt(0),
        Manner::EndsAt(50_000),
        // Chunks: their length, that they are whole, their kind, length and error.
        Manner::Chunk(0, longest),
        Manner::Chunk(0, 0),
        Manner::Chunk(0, -1),
        Manner::Chunk(4, 0),
        Manner::Chunk(8, 1),
        Manner::Chunk(16, 24),
        Manner::Chunk(24, 2),
    ] {
        let came = outcome(manner);
        assert!(matches!(came, Err(Unusable::Malformed(_))), "{manner:?}: {came:?}");
    }
}

#[test]
fn a_ring_that_is_a_link_or_shrinks_is_an_error() {
    for manner in [Manner::LinkedRings, Manner::Shrinks] {
        let came = outcome(manner);
        assert!(matches!(came, Err(Unusable::Io(_))), "{manner:?}: {came:?}");
    }
}

#[test]
fn only_the_server_of_this_very_file_system_is_asked() {
    for versions in ["{\n\"starttime\": 1700000001,\n}", "{}", ""] {
        let bench = bench(Manner::Proper, &[]);
        std::fs::write(bench.place.root.join(".version"), versions).unwrap();
        let came = bench.place.read(&vmids(1));
        assert!(matches!(came, Err(Unusable::Another(_))), "{versions}: {came:?}");
    }
    let none = bench(Manner::Proper, &[]);
    std::fs::remove_file(none.place.root.join(".version")).unwrap();
    assert!(matches!(none.place.read(&vmids(1)), Err(Unusable::Another(_))));
}

#[test]
fn nobody_is_there() {
    let place = Pmxcfs::below(Path::new("/r/nodes/pve1/lxc"), b"pvect-test-nobody", Duration::from_secs(1));
    assert!(matches!(place.unwrap().read(&vmids(1)), Err(Unusable::Absent)));
}

#[test]
fn answers_are_bounded() {
    let mut together = Together { bytes: vec![0; LIMIT - 10], ..Together::default() };
    together.add(Answer { error: 0, body: b"xxxxxxxx" }).unwrap();
    assert_eq!(together.get(0), Some(&b"xxxxxxxx"[..]));
    assert!(matches!(together.add(Answer { error: 0, body: b"xxx" }), Err(Unusable::Long)));
}

#[test]
fn only_directories_of_a_node_have_a_place() {
    let place = |path: &str| Pmxcfs::below(Path::new(path), SERVER, TIME).map(|place| place.folder);
    assert_eq!(place("/etc/pve/nodes/pve1/lxc").as_deref(), Some("nodes/pve1/lxc"));
    for path in ["/etc/pve/lxc", "/etc/pve/nodes/pve1/qemu-server", "/nodes/lxc", "lxc", "/"] {
        assert_eq!(place(path), None, "{path}");
    }
    // Not FUSE.
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Pmxcfs::of(&root.path().join("nodes/pve1/lxc")), None);
}

#[test]
fn what_the_server_does_not_give_is_read_as_a_file() {
    let vmids = vmids(50);
    for manner in [Manner::Proper, Manner::ClosesAt(40), Manner::StopsAt(0), Manner::Chunk(4, 0)] {
        // The server has no 117; 118 is nowhere.
        let mut given = files(&vmids);
        given.retain(|(name, _)| !name.contains("/117.") && !name.contains("/118."));
        let bench = bench(manner, &given);
        let directory = bench.place.root.join("nodes/pve1/lxc");
        std::fs::create_dir_all(&directory).unwrap();
        for vmid in vmids.iter().filter(|vmid| vmid.get() != 118) {
            std::fs::write(directory.join(format!("{vmid}.conf")), text(*vmid)).unwrap();
        }
        let mut configs = Configs::through(Some(bench.place.clone()), &directory, &vmids);
        for (place, vmid) in vmids.iter().enumerate() {
            let came = configs.text(place, *vmid).map(<[u8]>::to_vec);
            match vmid.get() {
                118 => assert_eq!(came.unwrap_err().kind(), io::ErrorKind::NotFound),
                _ => assert_eq!(came.unwrap(), text(*vmid).into_bytes(), "{manner:?}: {vmid}"),
            }
        }
    }
}

/// `PVECT_TEST_PMXCFS` names where one is mounted: `/etc/pve`. Nothing is written there.
#[test]
fn a_real_pmxcfs_says_what_its_files_say() {
    let Some(root) = std::env::var_os("PVECT_TEST_PMXCFS").map(PathBuf::from) else {
        pvect_testkit::skipped(module_path!(), "PVECT_TEST_PMXCFS does not name a pmxcfs");
        return;
    };
    let mut compared = 0;
    for node in std::fs::read_dir(root.join("nodes")).unwrap() {
        let directory = node.unwrap().path().join("lxc");
        let backend = NativeBackend::new("/var/lib/lxc", &directory);
        let Ok(vmids) = backend.vmids() else { continue };
        let together = Pmxcfs::of(&directory).unwrap().read(&vmids).unwrap();
        for (place, vmid) in vmids.iter().enumerate() {
            let file = std::fs::read(directory.join(format!("{vmid}.conf"))).unwrap();
            assert_eq!(together.get(place), Some(file.as_slice()), "{vmid}");
            compared += 1;
        }
        // A list of the files alone: of a copy, which is in no pmxcfs.
        let copy = tempfile::tempdir().unwrap();
        for vmid in &vmids {
            let name = format!("{vmid}.conf");
            std::fs::copy(directory.join(&name), copy.path().join(&name)).unwrap();
        }
        let files = NativeBackend::new("/var/lib/lxc", copy.path());
        assert_eq!(backend.survey().unwrap(), files.survey().unwrap());
    }
    assert!(compared > 0, "{} has no container", root.display());
}
