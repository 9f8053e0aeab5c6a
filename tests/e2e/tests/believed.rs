//! Whom the node believes: names and files that any local user can make.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pvect_testkit::{TestNode, node_or_skip};

/// How each of the monitors below answers: the container runs, and `child` is its init.
const ANSWERS: &str = "
def serve(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    while True:
        data = c.recvmsg(4096, 4096)[0]
        if not data: return
        command = struct.unpack('i', data[:4])[0]
        c.send(struct.pack('iiQ', 0, 0, {3: 2, 4: child}.get(command, 0)))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
";

/// Listens on an abstract socket as nobody, says that the container runs, and names itself as its init.
const SQUATTER: &str = "
import os, socket, struct, sys, threading
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.bind(b'\\0' + sys.argv[1].encode()); s.listen(64)
print('listening', flush=True)
child = os.getpid()
";

/// Ends the squatter, also when the test fails.
struct Squatter(Child);

impl Squatter {
    fn on(program: &str, name: &str, how: &str) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", program, name, how]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let mut word = [0; 9];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut word).expect("it listens");
        Self(child)
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Binds an abstract socket as nobody: `taken` does not listen, `full` fills its own queue, `root` listens as root.
const HOLDER: &str = "
import os, socket, sys
if sys.argv[2] != 'root': os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.bind(b'\\0' + sys.argv[1].encode())
waiting = []
if sys.argv[2] == 'full':
    s.listen(1)
    while True:
        c = socket.socket(socket.AF_UNIX); c.setblocking(False)
        try: c.connect(b'\\0' + sys.argv[1].encode())
        except BlockingIOError: break
        waiting.append(c)
print('listening', flush=True)
os.read(0, 1)
";

/// As root: a monitor that names a process of anybody's as the container's init.
const LIAR: &str = "
import os, socket, struct, sys, threading
s = socket.socket(socket.AF_UNIX)
s.bind(b'\\0' + sys.argv[1].encode()); s.listen(64)
child = os.fork()
if child == 0:
    s.close(); os.setgid(65534); os.setuid(65534)
    os.read(0, 1); os._exit(0)
print('listening', flush=True)
";

/// As root: a monitor whose init, in the container's cgroup, has a root file system that answers all but how full it is.
const SILENT: &str = "
import ctypes, os, socket, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
name, place, cgroup = sys.argv[1], sys.argv[2] + '/root', sys.argv[2] + '/cgroup'
def must(result):
    if result: raise OSError(ctypes.get_errno())
must(libc.unshare(0x20000))
must(libc.mount(b'none', b'/', None, 0x44000, None))
os.mkdir(place)
fuse = os.open('/dev/fuse', os.O_RDWR)
options = b'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % fuse
must(libc.mount(b'silent', place.encode(), b'fuse', 0, options))
def files():
    while True:
        length, opcode, unique = struct.unpack('<IIQ', os.read(fuse, 1 << 20)[:16])
        if opcode == 17: continue
        error, body = 0, b''
        if opcode == 26: body = struct.pack('<IIIIHHIIHHI28x', 7, 31, 0, 0, 16, 12, 4096, 1, 1, 0, 0)
        elif opcode == 3: body = struct.pack('<QII6Q3I7I', 0, 0, 0, 1, *[0] * 8, 0o40755, 2, 0, 0, 0, 4096, 0)
        else: error = -38
        os.write(fuse, struct.pack('<IiQ', 16 + len(body), error, unique) + body)
threading.Thread(target=files, daemon=True).start()
ready, told = os.pipe()
child = os.fork()
if child == 0:
    os.chroot(place); os.write(told, b'x'); os.read(0, 1); os._exit(0)
os.read(ready, 1)
with open(cgroup + '/cgroup.procs', 'w') as file: file.write(str(child))
s = socket.socket(socket.AF_UNIX)
s.bind(b'\\0' + name.encode()); s.listen(64)
print('listening', flush=True)
";

fn socket_of(node: &TestNode, vmid: &str) -> String {
    let vmid = vmid.parse().expect("a number of a container");
    let name = pvect_native::socket_name(&node.root().join("lib/lxc"), vmid);
    String::from_utf8(name).expect("a UTF-8 name")
}

fn made(node: &TestNode) {
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--rootfs", "local:0.25", "--memory", "64"]).ok();
}

/// Every verb that acts on a container, or says whether it runs.
fn verbs(secret: &str) -> Vec<Vec<&str>> {
    let words = [
        "start 101",
        "stop 101",
        "shutdown 101",
        "reboot 101",
        "suspend 101",
        "resume 101",
        "exec 101 -- true",
        "enter 101",
        "console 101",
        "push 101 SECRET /tmp/pvect-believed",
        "pull 101 /etc/hostname SECRET",
        "set 101 --memory 96",
        "resize 101 rootfs +64M",
        "df 101",
        "fsck 101",
        "fstrim 101",
        "mount 101",
        "snapshot 101 one",
        "clone 101 102",
        "template 101",
        "destroy 101",
        "destroy 101 --force 1",
        "status 101",
        "status 101 --verbose",
        "status 101 --output-format json",
    ];
    let split = |line: &'static str| {
        line.split(' ').map(|word| if word == "SECRET" { secret } else { word }).collect::<Vec<_>>()
    };
    words.into_iter().map(split).collect()
}

#[test]
fn who_squats_on_a_monitors_socket_is_not_believed() {
    let node: TestNode = node_or_skip!();
    made(&node);
    let squatter = Squatter::on(&[SQUATTER, ANSWERS].concat(), &socket_of(&node, "101"), "");
    let pid = squatter.0.id();
    let said = format!("somebody else holds the socket of CT 101 (uid 65534, pid {pid})");
    let listed = node.pct(&["list"]);
    assert!(listed.stdout.contains("101        stopped"));
    assert!(listed.stderr.contains(&said), "{}", listed.stderr);
    let listed = node.pvect(&["list", "-o", "json"]);
    assert!(listed.stdout.contains("\"stopped\""));
    assert!(listed.stderr.contains(&said), "{}", listed.stderr);
    assert!(node.pvect(&["config", "101"]).ok().contains("memory: 64"));
    // What would enter the namespaces of the squatter, or run there, does nothing.
    std::fs::write(node.root().join("secret"), "secret").expect("a file");
    let secret = node.root().join("secret");
    let secret = secret.to_str().expect("a UTF-8 path");
    for words in verbs(secret) {
        let refused = node.pct(&words);
        assert_eq!(refused.status, 255, "{words:?}: {}", refused.stderr);
        assert_eq!(refused.stderr, format!("{said}; end that process\n"), "{words:?}");
    }
    for words in [
        &["status", "101"][..],
        &["status", "101", "-o", "json"],
        &["exec", "101", "--", "true"],
        &["push", "101", secret, "/tmp/pvect-believed"],
        &["stop", "101"],
        &["set", "101", "--memory", "96"],
        &["destroy", "101", "--yes"],
    ] {
        let refused = node.pvect(words);
        // What fails before the command of exec is 125.
        let status = if words[0] == "exec" { 125 } else { 1 };
        assert_eq!(refused.status, status, "{words:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(&said), "{words:?}: {}", refused.stderr);
        assert!(!refused.stderr.contains("not running"), "{words:?}: {}", refused.stderr);
    }
    assert!(!Path::new("/tmp/pvect-believed").exists());
    let doctor = node.pvect(&["doctor"]);
    assert!(doctor.stdout.contains(&said), "{}", doctor.stdout);
    // Without it everything is as before.
    drop(squatter);
    node.pct(&["start", "101"]).ok();
    assert_eq!(node.pct(&["status", "101"]).ok(), "status: running\n");
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

/// Who takes the name without listening, or fills the queue so that nobody can ask who he is.
#[test]
fn who_cannot_be_asked_is_not_believed() {
    let node: TestNode = node_or_skip!();
    made(&node);
    for how in ["taken", "full"] {
        let holder = Squatter::on(HOLDER, &socket_of(&node, "101"), how);
        let said = format!("somebody else holds the socket of CT 101 (uid 65534, pid {})", holder.0.id());
        let listed = node.pvect(&["list"]);
        assert!(listed.stdout.contains("stopped"));
        assert!(!listed.stdout.contains("running"), "{how}");
        for words in
            [&["status", "101"][..], &["start", "101"], &["exec", "101", "--", "true"], &["stop", "101"]]
        {
            let refused = node.pct(words);
            assert_eq!(refused.stderr, format!("{said}; end that process\n"), "{how}: {words:?}");
        }
        drop(holder);
    }
    assert_eq!(node.pct(&["status", "101"]).ok(), "status: stopped\n");
    node.pct(&["destroy", "101"]).ok();
}

/// A monitor that is root's, and an init that is in none of the container's cgroups.
#[test]
fn an_init_outside_of_the_containers_cgroups_is_not_believed() {
    let node: TestNode = node_or_skip!();
    made(&node);
    let liar = Squatter::on(&[LIAR, ANSWERS].concat(), &socket_of(&node, "101"), "");
    std::fs::write(node.root().join("secret"), "secret").expect("a file");
    let secret = node.root().join("secret");
    let secret = secret.to_str().expect("a UTF-8 path");
    for words in [
        &["push", "101", secret, "/tmp/pvect-believed"][..],
        &["pull", "101", "/etc/passwd", secret],
        &["set", "101", "--mp0", "local:0.1,mp=/data"],
        &["set", "101", "--net0", "name=eth0"],
        &["df", "101"],
        &["exec", "101", "--", "true"],
        &["enter", "101"],
        &["console", "101"],
    ] {
        let refused = node.pct(words);
        assert!(!refused.stderr.is_empty(), "{words:?}: {}", refused.stdout);
    }
    for words in [&["push", "101", secret, "/tmp/pvect-believed"][..], &["exec", "101", "--", "true"]] {
        let refused = node.pct(words);
        assert!(refused.stderr.contains("is not in its cgroup"), "{}", refused.stderr);
    }
    assert!(!Path::new("/tmp/pvect-believed").exists());
    assert_eq!(std::fs::read_to_string(secret).expect("a file"), "secret");
    drop(liar);
    node.pct(&["destroy", "101"]).ok();
}

/// A guest's own program answers for its root file system, or does not.
#[test]
fn a_root_that_does_not_answer_holds_nobody_up() {
    let node: TestNode = node_or_skip!();
    if !Path::new("/dev/fuse").exists() {
        pvect_testkit::skipped("fuse", "the kernel has none");
        return;
    }
    made(&node);
    let vmid = "101".parse().expect("a number of a container");
    let names = pvect_native::Names::new(node.root().join("lib/lxc"));
    let hierarchies = pvect_native::Cgroups::new("/sys/fs/cgroup").hierarchies();
    // A cpuset takes nobody before it has CPUs.
    let hierarchy = hierarchies.iter().find(|path| !path.ends_with("cpuset")).expect("a hierarchy");
    let cgroup = hierarchy.join(names.cgroup(vmid));
    std::fs::create_dir_all(&cgroup).expect("a cgroup");
    let place = node.root().join("silent");
    std::fs::create_dir(&place).expect("a directory");
    std::os::unix::fs::symlink(&cgroup, place.join("cgroup")).expect("a symlink");
    let silent = Squatter::on(
        &[SILENT, ANSWERS].concat(),
        &socket_of(&node, "101"),
        place.to_str().expect("a UTF-8 path"),
    );
    let begun = Instant::now();
    let status = node.pct(&["status", "101", "--verbose"]).ok();
    let json = node.pvect(&["status", "101", "--verbose", "-o", "json"]).ok();
    let full = node.pct(&["df", "101"]);
    let took = begun.elapsed();
    drop(silent);
    let until = Instant::now() + Duration::from_secs(20);
    while std::fs::remove_dir(&cgroup).is_err() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(status.contains("status: running\n") && status.contains("\ndisk: 0\n"), "{status}");
    assert!(json.contains("\"disk\":0") || json.contains("\"disk\": 0"), "{json}");
    assert_eq!((full.stderr.as_str(), full.status), ("can't measure '/' - got timeout\n", 0));
    assert!(took < Duration::from_secs(60), "{took:?}");
    node.pct(&["destroy", "101"]).ok();
}

/// Mounts go into a running container by descriptors: no symlink of the guest is followed, and what is taken away again is
/// the mount that was brought in.
#[test]
fn mounts_are_brought_into_a_container_and_taken_away() {
    let node: TestNode = node_or_skip!();
    made(&node);
    node.pct(&["start", "101"]).ok();
    let mounts = || node.pct(&["exec", "101", "--", "cat", "/proc/mounts"]).ok();
    node.pct(&["exec", "101", "--", "ln", "-s", "/etc", "/link"]).ok();
    let refused = node.pct(&["set", "101", "--mp0", "local:0.1,mp=/link/data"]);
    assert!(refused.stderr.contains("symlink encountered at: //link"), "{}", refused.stderr);
    node.pct(&["set", "101", "--mp0", "local:0.1,mp=/new/data"]).ok();
    assert!(mounts().contains(" /new/data "), "{}", mounts());
    // The second cannot be had, so the first is taken away again.
    let refused =
        node.pct(&["set", "101", "--mp1", "local:0.1,mp=/more", "--net0", "name=eth0,bridge=nosuch"]);
    assert_ne!(refused.status, 0);
    assert!(!mounts().contains(" /more "), "{}", mounts());
    assert!(!node.pct(&["config", "101"]).ok().contains("mp1"));
    node.pct(&["set", "101", "--mp1", "local:0.1,mp=/more"]).ok();
    assert!(mounts().contains(" /more "), "{}", mounts());
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
