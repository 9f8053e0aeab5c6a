//! Whom the node believes: names and files that any local user can make.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use pvect_testkit::{TestNode, node_or_skip};

/// Listens on an abstract socket as nobody, says that the container runs, and names itself as its init.
const SQUATTER: &str = "
import os, socket, struct, sys, threading
s = socket.socket(socket.AF_UNIX)
os.setgid(65534); os.setuid(65534)
s.bind(b'\\0' + sys.argv[1].encode()); s.listen(64)
print('listening', flush=True)
def serve(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    while True:
        data = c.recvmsg(4096, 4096)[0]
        if not data: return
        command = struct.unpack('i', data[:4])[0]
        c.send(struct.pack('iiQ', 0, 0, {3: 2, 4: os.getpid()}.get(command, 0)))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
";

/// Ends the squatter, also when the test fails.
struct Squatter(Child);

impl Squatter {
    fn on(name: &str) -> Self {
        let mut command = Command::new("python3");
        let mut child = command.args(["-c", SQUATTER, name]).stdout(Stdio::piped()).spawn().expect("python3");
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

#[test]
fn who_squats_on_a_monitors_socket_is_not_believed() {
    let node: TestNode = node_or_skip!();
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--rootfs", "local:0.25", "--memory", "64"]).ok();
    let lxc = node.root().join("lib/lxc");
    let vmid = "101".parse().expect("a number of a container");
    let name = String::from_utf8(pvect_native::socket_name(&lxc, vmid)).expect("a UTF-8 name");
    let squatter = Squatter::on(&name);
    let pid = squatter.0.id();
    assert_eq!(node.pct(&["status", "101"]).ok(), "status: stopped\n");
    assert!(node.pct(&["list"]).ok().contains("101        stopped"));
    assert!(node.pvect(&["list", "-o", "json"]).ok().contains("\"stopped\""));
    // What would enter the namespaces of the squatter, or run there, does nothing.
    std::fs::write(node.root().join("secret"), "secret").expect("a file");
    let secret = node.root().join("secret");
    let secret = secret.to_str().expect("a UTF-8 path");
    for words in [
        &["exec", "101", "--", "true"][..],
        &["push", "101", secret, "/tmp/pvect-believed"],
        &["pull", "101", "/etc/hostname", secret],
    ] {
        let refused = node.pct(words);
        assert_ne!(refused.status, 0, "{words:?}");
        assert!(refused.stderr.contains("running"), "{}", refused.stderr);
    }
    assert!(!std::path::Path::new("/tmp/pvect-believed").exists());
    let said = format!("somebody else holds the socket of CT 101 (uid 65534, pid {pid})");
    let refused = node.pct(&["start", "101"]);
    assert_ne!(refused.status, 0);
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
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
