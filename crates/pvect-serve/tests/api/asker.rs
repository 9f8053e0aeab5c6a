//! For whom a change is made: what joe@pve, who has rights on a few containers, cannot do.

use std::fs;

use pvect_testkit::{TestNode, TestServer, node_or_skip};

use crate::raw::request;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

struct Site {
    node: TestNode,
    server: TestServer,
    joe: String,
}

impl Site {
    fn new(node: TestNode) -> Self {
        node.user("joe@pve", "hunter33");
        for (role, path) in
            [("PVEVMAdmin", "/vms/105"), ("PVEVMAdmin", "/vms/106"), ("PVEDatastoreUser", "/storage/local")]
        {
            node.pvect(&["node", "acl", "grant", "joe@pve", role, path]).ok();
        }
        let joe = format!("Authorization: PVEAPIToken={}", node.token("joe@pve!ci", false));
        let server = TestServer::start(&node);
        Self { node, server, joe }
    }

    fn ask(&self, line: &str, body: &str) -> String {
        request(&self.node, &self.server, line, &[&self.joe, FORM], body)
    }

    fn make(&self, vmid: &str) {
        let template = self.node.busybox();
        self.node.pct(&["create", vmid, &template, "--rootfs", "local:0", "--memory", "64"]).ok();
    }

    /// Waits for the task of an answer; returns its log.
    fn log_of(&self, answer: &str) -> String {
        let upid = answer.split('"').find(|word| word.starts_with("UPID:"));
        let upid = upid.unwrap_or_else(|| panic!("no task: {answer}"));
        for _ in 0..200 {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let status = self.ask(&format!("GET /api2/json/nodes/vm/tasks/{upid}/status"), "");
            if status.contains("\"status\":\"stopped\"") {
                return self.ask(&format!("GET /api2/json/nodes/vm/tasks/{upid}/log?limit=500"), "");
            }
        }
        panic!("the task does not end");
    }

    /// An archive with a configuration that acts on the host, as somebody's backup of CT 106.
    fn evil(&self, config: &str) -> String {
        let tree = self.node.root().join("evil");
        fs::create_dir_all(tree.join("etc/vzdump")).unwrap();
        fs::create_dir_all(tree.join("sbin")).unwrap();
        fs::write(tree.join("etc/vzdump/pct.conf"), config).unwrap();
        let name = "vzdump-lxc-106-2026_11_28-12_00_00.tar";
        let archive = self.node.root().join("vz/dump").join(name);
        let made = std::process::Command::new("tar")
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&tree)
            .arg(".")
            .status()
            .unwrap();
        assert!(made.success());
        name.to_owned()
    }
}

const EVIL: &str = "arch: amd64\nhostname: evil\nmemory: 64\nunprivileged: 1\nfeatures: fuse=1\n\
    dev0: /dev/null\nmp0: /etc,mp=/host-etc\nrootfs: local:106/vm-106-disk-0.subvol,size=0\n\
    lxc.hook.pre-start: /bin/sh -c true\n";

#[test]
fn an_archive_gives_no_more_than_its_asker_has() {
    let site = Site::new(node_or_skip!());
    let name = site.evil(EVIL);
    let path = site.node.root().join("vz/dump").join(&name);
    let create = "POST /api2/json/nodes/vm/lxc";
    for archive in [path.to_str().unwrap(), "/etc/shadow"] {
        let answer = site.ask(create, &format!("vmid=106&ostemplate={archive}&restore=1&storage=local"));
        assert!(answer.contains("403 Only root can pass arbitrary filesystem paths."), "{answer}");
        let answer = site.ask(create, &format!("vmid=106&ostemplate={archive}&storage=local"));
        assert!(answer.contains("403 Only root can pass arbitrary filesystem paths."), "{answer}");
    }
    let other = "local:backup/vzdump-lxc-104-2026_11_28-12_00_00.tar";
    fs::copy(&path, site.node.root().join("vz/dump/vzdump-lxc-104-2026_11_28-12_00_00.tar")).unwrap();
    let answer = site.ask(create, &format!("vmid=106&ostemplate={other}&restore=1&storage=local"));
    assert!(answer.contains("403 Permission check failed (/vms/104, VM.Backup)"), "{answer}");
    let given = "rootfs=local:0";
    let answer = site.ask(create, &format!("vmid=106&ostemplate=local:backup/{name}&restore=1&{given}"));
    let log = site.log_of(&answer);
    let config = fs::read_to_string(site.node.config_file(106)).unwrap_or_else(|_| panic!("{log}"));
    for word in ["lxc.", "dev0", "/etc", "fuse"] {
        assert!(!config.contains(word), "{word}: {config}");
    }
    assert!(config.contains("hostname: evil"), "{config}");
    assert!(log.contains("skipping the raw LXC options of the backup"), "{log}");
    // Root at the command line gets all of it, and is told.
    let done = site.node.pct(&["restore", "107", path.to_str().unwrap(), "--rootfs", "local:0"]);
    let told = format!("{}{}", done.stdout, done.stderr);
    for word in ["dev0: /dev/null", "mp0: /etc,mp=/host-etc", "lxc.hook.pre-start: /bin/sh -c true"] {
        assert!(told.lines().any(|line| line.contains("WARN") && line.contains(word)), "{word}: {told}");
    }
}

#[test]
fn another_containers_volume_is_neither_mounted_nor_removed() {
    let site = Site::new(node_or_skip!());
    site.make("105");
    site.make("102");
    let volume = "local:102/subvol-102-disk-0.subvol";
    let config = fs::read_to_string(site.node.config_file(102)).unwrap();
    assert!(config.contains(volume), "{config}");
    let set = "PUT /api2/json/nodes/vm/lxc/105/config";
    for body in [format!("mp0={volume},mp=/mnt/a"), format!("unused5={volume}")] {
        let answer = site.ask(set, &body);
        assert!(answer.contains("403 Permission check failed (/vms/102, VM.Config.Disk)"), "{answer}");
    }
    // Root may; what is not the container's own stays all the same.
    site.node.pct(&["set", "105", "--mp0", &format!("{volume},mp=/mnt/a")]).ok();
    site.node.pct(&["set", "105", "--delete", "mp0"]).ok();
    let deleted = site.node.pct(&["set", "105", "--delete", "unused0"]);
    let words = format!("ignore deletion of '{volume}', CT 105 isn't the owner!");
    assert!(deleted.stderr.contains(&words), "{}", deleted.stderr);
    assert!(site.node.root().join("vz/images/102/subvol-102-disk-0.subvol/bin").exists());
}

#[test]
fn rights_end_with_their_container() {
    let site = Site::new(node_or_skip!());
    site.make("105");
    site.node.pct(&["destroy", "105"]).ok();
    site.make("105");
    let answer = site.ask("GET /api2/json/nodes/vm/lxc/105/config", "");
    assert!(answer.contains(" 403 "), "{answer}");
    let list = site.node.pvect(&["node", "acl", "list"]).ok();
    assert!(!list.contains("/vms/105") && list.contains("/vms/106"), "{list}");
    site.node.pvect(&["node", "acl", "revoke", "joe@pve", "/vms/106"]).ok();
    assert!(!site.node.pvect(&["node", "acl", "list"]).ok().contains("/vms/106"));
    site.node.pvect(&["node", "acl", "revoke", "joe@pve", "/vms/106"]).fails(3);
}

#[test]
fn privileged_containers_are_roots_where_the_setting_says_so() {
    let site = Site::new(node_or_skip!());
    let template = site.node.busybox();
    let create = "POST /api2/json/nodes/vm/lxc";
    let body = format!("vmid=106&ostemplate={template}&rootfs=local:0&unprivileged=0");
    let setting = site.node.root().join("etc/pve/datacenter.cfg");
    fs::write(&setting, "privileged-containers: root\n").unwrap();
    let answer = site.ask(create, &body);
    assert!(answer.contains(" 403 ") && answer.contains("privileged-containers: all"), "{answer}");
    assert!(!site.node.config_file(106).exists());
    fs::write(&setting, "privileged-containers: all\n").unwrap();
    let answer = site.ask(create, &body);
    site.log_of(&answer);
    assert!(site.node.config_file(106).exists(), "{answer}");
    fs::write(&setting, "privileged-containers: root\n").unwrap();
    let answer = site.ask("POST /api2/json/nodes/vm/lxc/106/clone", "newid=105");
    assert!(answer.contains(" 403 ") && answer.contains("privileged-containers: all"), "{answer}");
    assert!(!site.node.config_file(105).exists());
}
