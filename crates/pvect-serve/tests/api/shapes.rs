//! Answers and errors, byte for byte.

use pvect_testkit::{TestNode, TestServer, node_or_skip};

use crate::raw::request;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

struct Site {
    node: TestNode,
    server: TestServer,
    token: String,
}

impl Site {
    fn new(node: TestNode) -> Self {
        let token = format!("Authorization: PVEAPIToken={}", node.token("root@pam!ci", false));
        let server = TestServer::start(&node);
        Self { node, server, token }
    }

    fn ask(&self, line: &str, body: &str) -> String {
        request(&self.node, &self.server, line, &[&self.token, FORM], body)
    }

    fn ask_as(&self, headers: &[&str], line: &str, body: &str) -> String {
        request(&self.node, &self.server, line, headers, body)
    }

    fn config(&self, vmid: u32, text: &str) {
        std::fs::write(self.node.config_file(vmid), text).unwrap();
    }
}

#[test]
fn a_configuration_is_shown_as_it_is_stored() {
    let site = Site::new(node_or_skip!());
    site.config(101, "arch: amd64\nmemory: abc\n");
    insta::assert_snapshot!(site.ask("GET /api2/json/nodes/vm/lxc/101/config", ""), @r##"
    HTTP/1.1 200 OK
    {"data":{"arch":"amd64","memory":"abc","digest":"3691bf2c265d0f5a55d0e1aec65432451b06a2e7"}}
    "##);
}

#[test]
fn reads_have_the_real_shapes() {
    let site = Site::new(node_or_skip!());
    site.config(
        101,
        "#two\n#lines\narch: amd64\ncores: 2\nhostname: web\nmemory: 64\nonboot: 1\nparent: s1\n\
         rootfs: local:101/vm-101-disk-0.raw,size=1G\nswap: 0\nunprivileged: 1\n\
         lxc.idmap: u 0 100000 65536\n\n[pve:pending]\nmemory: 128\ndelete: onboot\n\n\
         [s1]\n#before\nhostname: old\nmemory: 32\nsnaptime: 1795394667\n",
    );
    let ask = |line: &str| site.ask(&format!("GET /api2/json{line}"), "");
    insta::assert_snapshot!(ask("/version"), @r#"
    HTTP/1.1 200 OK
    {"data":{"version":"9.1.0","release":"9.1","repoid":"pvect-0.1.0"}}
    "#);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/config"), @r##"
    HTTP/1.1 200 OK
    {"data":{"arch":"amd64","cores":2,"description":"two\nlines\n","hostname":"web","memory":128,"parent":"s1","rootfs":"local:101/vm-101-disk-0.raw,size=1G","swap":0,"unprivileged":1,"digest":"0e672220ea3a996b048336aa4a03813c71651697","lxc":[["lxc.idmap","u 0 100000 65536"]]}}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/config?current=1"), @r##"
    HTTP/1.1 200 OK
    {"data":{"arch":"amd64","cores":2,"description":"two\nlines\n","hostname":"web","memory":64,"onboot":1,"parent":"s1","rootfs":"local:101/vm-101-disk-0.raw,size=1G","swap":0,"unprivileged":1,"digest":"0e672220ea3a996b048336aa4a03813c71651697","lxc":[["lxc.idmap","u 0 100000 65536"]]}}
    "##);
    insta::assert_snapshot!(ask("/nodes/localhost/lxc/101/pending"), @r##"
    HTTP/1.1 200 OK
    {"data":[{"key":"arch","value":"amd64"},{"key":"cores","value":2},{"key":"description","value":"two\nlines\n"},{"key":"hostname","value":"web"},{"key":"memory","value":64,"pending":128},{"key":"onboot","value":1,"delete":1},{"key":"parent","value":"s1"},{"key":"rootfs","value":"local:101/vm-101-disk-0.raw,size=1G"},{"key":"swap","value":0},{"key":"unprivileged","value":1},{"key":"digest","value":"0e672220ea3a996b048336aa4a03813c71651697"}]}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/snapshot"), @r##"
    HTTP/1.1 200 OK
    {"data":[{"name":"s1","description":"before\n","snaptime":1795394667},{"name":"current","description":"You are here!","digest":"0e672220ea3a996b048336aa4a03813c71651697","running":0,"parent":"s1"}]}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/snapshot/s1/config"), @r##"
    HTTP/1.1 200 OK
    {"data":{"description":"before\n","hostname":"old","memory":32,"snaptime":1795394667}}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/status/current"), @r##"
    HTTP/1.1 200 OK
    {"data":{"vmid":101,"status":"stopped","name":"web","cpus":2,"mem":0,"maxmem":67108864,"swap":0,"maxswap":0,"disk":0,"maxdisk":1073741824,"diskread":0,"diskwrite":0,"netin":0,"netout":0,"uptime":0,"type":"lxc","cpu":0,"ha":{"managed":0}}}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/interfaces"), @r##"
    HTTP/1.1 200 OK
    {"data":null}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/feature?feature=snapshot"), @r##"
    HTTP/1.1 200 OK
    {"data":{"hasFeature":false}}
    "##);
    insta::assert_snapshot!(ask("/cluster/nextid"), @r##"
    HTTP/1.1 200 OK
    {"data":"100"}
    "##);
    insta::assert_snapshot!(ask("/cluster/resources?type=vm"), @r##"
    HTTP/1.1 200 OK
    {"data":[{"vmid":101,"status":"stopped","name":"web","uptime":0,"mem":0,"maxmem":67108864,"cpu":0,"type":"lxc","disk":0,"maxdisk":1073741824,"diskread":0,"diskwrite":0,"netin":0,"netout":0,"maxcpu":2,"id":"lxc/101","node":"vm","template":0}]}
    "##);
    insta::assert_snapshot!(ask("/cluster/status"), @r##"
    HTTP/1.1 200 OK
    {"data":[{"type":"node","id":"node/vm","name":"vm","nodeid":0,"local":1,"online":1,"ip":"127.0.0.1","level":""}]}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/storage/local/content"), @r##"
    HTTP/1.1 200 OK
    {"data":[]}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/tasks"), @r##"
    HTTP/1.1 200 OK
    {"data":[],"total":0}
    "##);
    insta::assert_snapshot!(ask("/access/users?full=1"), @r##"
    HTTP/1.1 200 OK
    {"data":[{"userid":"root@pam","enable":1,"expire":0,"realm-type":"pam","tokens":[{"tokenid":"ci","expire":0,"privsep":0}]}]}
    "##);
    insta::assert_snapshot!(ask("/nodes/vm/lxc/101/status"), @r##"
    HTTP/1.1 200 OK
    {"data":[{"name":"current","subdir":"current"},{"name":"reboot","subdir":"reboot"},{"name":"resume","subdir":"resume"},{"name":"shutdown","subdir":"shutdown"},{"name":"start","subdir":"start"},{"name":"stop","subdir":"stop"},{"name":"suspend","subdir":"suspend"}]}
    "##);
    insta::assert_snapshot!(ask("/"), @r##"
    HTTP/1.1 200 OK
    {"data":[{"name":"access","subdir":"access"},{"name":"cluster","subdir":"cluster"},{"name":"nodes","subdir":"nodes"},{"name":"pools","subdir":"pools"},{"name":"storage","subdir":"storage"},{"name":"version","subdir":"version"}]}
    "##);
}

#[test]
fn errors_have_the_real_shapes() {
    let site = Site::new(node_or_skip!());
    site.config(101, "arch: amd64\nhostname: web\nmemory: 64\nswap: 0\nunprivileged: 1\n");
    insta::assert_snapshot!(site.ask("GET /api2/json/nodes/vm/lxc/999/config", ""), @r##"
    HTTP/1.1 500 Configuration file 'nodes/vm/lxc/999.conf' does not exist
    {"data":null,"message":"Configuration file 'nodes/vm/lxc/999.conf' does not exist\n"}
    "##);
    insta::assert_snapshot!(site.ask("GET /api2/json/nodes/vm/lxc/abc/config", ""), @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"vmid":"type check ('integer') failed - got 'abc'"}}
    "##);
    insta::assert_snapshot!(site.ask("GET /api2/json/nodes/other/lxc", ""), @r##"
    HTTP/1.1 500 hostname lookup 'other' failed - failed to get address info for: other: Name or service not known
    {"data":null,"message":"hostname lookup 'other' failed - failed to get address info for: other: Name or service not known\n"}
    "##);
    insta::assert_snapshot!(site.ask("GET /api2/json/nodes/vm/qemu", ""), @r##"
    HTTP/1.1 501 Method 'GET /nodes/vm/qemu' not implemented
    {"data":null,"message":"Method 'GET /nodes/vm/qemu' not implemented"}
    "##);
    insta::assert_snapshot!(site.ask("POST /api2/json/nodes/vm/lxc/101/vncproxy", "a=1"), @r##"
    HTTP/1.1 501 Method 'POST /nodes/vm/lxc/101/vncproxy' not implemented
    {"data":null,"message":"Method 'POST /nodes/vm/lxc/101/vncproxy' not implemented"}
    "##);
    insta::assert_snapshot!(site.ask("GET /api2/extjs/version", ""), @r##"
    HTTP/1.1 501 Method 'GET /api2/extjs/version' not implemented
    {"data":null,"message":"Method 'GET /api2/extjs/version' not implemented"}
    "##);
    insta::assert_snapshot!(site.ask("GET /api2/json/version?bogus=1", ""), @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"bogus":"property is not defined in schema and the schema does not allow additional properties"}}
    "##);
}

#[test]
fn errors_of_changes_have_the_real_shapes() {
    let site = Site::new(node_or_skip!());
    site.config(101, "arch: amd64\nhostname: web\nmemory: 64\nswap: 0\nunprivileged: 1\n");
    site.config(102, "arch: amd64\nlock: backup\nunprivileged: 1\n");
    insta::assert_snapshot!(
        site.ask("PUT /api2/json/nodes/vm/lxc/101/config", "memory=1&net0=bridge%3Dvmbr0&onboot=maybe&x=1"),
        @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"memory":"value must have a minimum value of 16","net0":"invalid format - format error\nnet0.name: property is missing and it is not optional\n","onboot":"type check ('boolean') failed - got 'maybe'","x":"property is not defined in schema and the schema does not allow additional properties"}}
    "##
    );
    insta::assert_snapshot!(site.ask("PUT /api2/json/nodes/vm/lxc/101/config", "hostname=a&delete=hostname"), @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"delete":"you can't use '-hostname' and -delete hostname' at the same time"}}
    "##);
    insta::assert_snapshot!(site.ask("PUT /api2/json/nodes/vm/lxc/101/config", "hostname=b&digest=00"), @r##"
    HTTP/1.1 500 detected modified configuration - file changed by other user? Try again.
    {"data":null,"message":"detected modified configuration - file changed by other user? Try again.\n"}
    "##);
    insta::assert_snapshot!(site.ask("PUT /api2/json/nodes/vm/lxc/102/config", "hostname=b"), @r##"
    HTTP/1.1 500 CT is locked (backup)
    {"data":null,"message":"CT is locked (backup)\n"}
    "##);
    insta::assert_snapshot!(site.ask("POST /api2/json/nodes/vm/lxc", "vmid=101"), @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"ostemplate":"property is missing and it is not optional"}}
    "##);
    insta::assert_snapshot!(
        site.ask("POST /api2/json/nodes/vm/lxc", "vmid=101&ostemplate=local:vztmpl/x.tar.zst&storage=nosuch"),
        @r##"
    HTTP/1.1 500 CT 101 already exists on node 'vm'
    {"data":null,"message":"CT 101 already exists on node 'vm'\n"}
    "##
    );
    insta::assert_snapshot!(site.ask("POST /api2/json/nodes/vm/lxc/101/status/stop", ""), @r##"
    HTTP/1.1 500 CT 101 not running
    {"data":null,"message":"CT 101 not running\n"}
    "##);
    insta::assert_snapshot!(site.ask("POST /api2/json/nodes/vm/lxc/101/status/start", "skiplock=1"), @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"skiplock":"Only root may use this option."}}
    "##);
}

#[test]
fn errors_of_what_is_not_there_and_of_json_have_the_real_shapes() {
    let site = Site::new(node_or_skip!());
    site.config(101, "arch: amd64\nostype: alpine\nrootfs: local:101/vm-101-disk-0.raw,size=1G\nhostname: web\nmemory: 64\nswap: 0\nunprivileged: 1\n");
    insta::assert_snapshot!(site.ask("GET /api2/json/nodes/vm/tasks/UPID:x/status", ""), @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"upid":"unable to parse worker upid"}}
    "##);
    insta::assert_snapshot!(
        site.ask("GET /api2/json/nodes/vm/tasks/UPID:vm:00000001:00000001:65540AF0:vzstart:101:root@pam:/log", ""),
        @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"upid":"no such task"}}
    "##
    );
    insta::assert_snapshot!(site.ask("GET /api2/json/cluster/nextid?vmid=101", ""), @r##"
    HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"vmid":"VM 101 already exists"}}
    "##);
    insta::assert_snapshot!(site.ask("GET /api2/json/nodes/vm/storage/nosuch/status", ""), @r##"
    HTTP/1.1 500 storage 'nosuch' does not exist
    {"data":null,"message":"storage 'nosuch' does not exist\n"}
    "##);
    let json = [site.token.as_str(), "Content-Type: application/json"];
    insta::assert_snapshot!(site.ask_as(&json, "PUT /api2/json/nodes/vm/lxc/101/config", "{\"memory\": 64"), @r##"
    HTTP/1.1 400 malformed JSON body: EOF while parsing an object at line 1 column 13
    {"data":null,"message":"malformed JSON body: EOF while parsing an object at line 1 column 13\n"}
    "##);
    insta::assert_snapshot!(
        site.ask_as(&json, "PUT /api2/json/nodes/vm/lxc/101/config", "{\"memory\": 96, \"onboot\": true}"),
        @r##"
    HTTP/1.1 200 OK
    {"data":null}
    "##
    );
    assert!(std::fs::read_to_string(site.node.config_file(101)).unwrap().contains("memory: 96\nonboot: 1\n"));
    let long = format!("description={}", "x".repeat(70_000));
    let answer = site.ask("PUT /api2/json/nodes/vm/lxc/101/config", &long);
    assert!(
        answer.trim().is_empty() || answer.contains("413 the body broke off or is longer than 65536 bytes"),
        "{answer}"
    );
}

#[test]
fn what_only_root_may_is_refused_to_tokens() {
    let site = Site::new(node_or_skip!());
    site.config(101, "arch: amd64\nostype: alpine\nrootfs: local:101/vm-101-disk-0.raw,size=1G\nhostname: web\nmemory: 64\nunprivileged: 1\n");
    site.config(102, "arch: amd64\nostype: alpine\nrootfs: local:101/vm-101-disk-0.raw,size=1G\nhostname: web\nmemory: 64\n");
    let set = |vmid: u32, body: &str| {
        let answer = site.ask(&format!("PUT /api2/json/nodes/vm/lxc/{vmid}/config"), body);
        answer.lines().next().unwrap_or_default().to_owned()
    };
    for (vmid, body, expected) in [
        (
            101,
            "mp0=/srv,mp=/srv",
            "403 Permission check failed (mount point type bind is only allowed for root@pam)",
        ),
        (
            101,
            "mp0=/dev/sda,mp=/x",
            "403 Permission check failed (mount point type device is only allowed for root@pam)",
        ),
        (
            101,
            "dev0=/dev/null",
            "403 Permission check failed (configuring device passthrough is only allowed for root@pam)",
        ),
        (
            101,
            "delete=dev0",
            "403 Permission check failed (configuring device passthrough is only allowed for root@pam)",
        ),
        (
            101,
            "hookscript=local:snippets/x",
            "403 Permission check failed (changing the hookscript is only allowed for root@pam)",
        ),
        (
            101,
            "features=keyctl%3D1",
            "403 Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)",
        ),
        (
            102,
            "features=nesting%3D1",
            "403 Permission check failed (changing feature flags for privileged container is only allowed for root@pam)",
        ),
        (101, "features=nesting%3D1", "200 OK"),
        (101, "lxc.cap.drop=x", "400 Parameter verification failed."),
        (101, "memory=128", "200 OK"),
    ] {
        assert_eq!(set(vmid, body), format!("HTTP/1.1 {expected}"), "{body}");
    }
}

#[test]
fn a_separated_token_may_what_it_was_granted() {
    let site = Site::new(node_or_skip!());
    site.config(101, "arch: amd64\nostype: alpine\nrootfs: local:101/vm-101-disk-0.raw,size=1G\nhostname: web\nunprivileged: 1\n");
    site.config(102, "arch: amd64\nostype: alpine\nrootfs: local:102/vm-102-disk-0.raw,size=1G\nhostname: db\nunprivileged: 1\n");
    let token = format!("Authorization: PVEAPIToken={}", site.node.token("root@pam!few", true));
    let ask = |line: &str, body: &str| site.ask_as(&[&token, FORM], line, body);
    insta::assert_snapshot!(ask("GET /api2/json/nodes/vm/lxc", ""), @r##"
    HTTP/1.1 200 OK
    {"data":[]}
    "##);
    insta::assert_snapshot!(ask("GET /api2/json/nodes/vm/lxc/101/config", ""), @r##"
    HTTP/1.1 403 Permission check failed (/vms/101, VM.Audit)
    {"data":null,"message":"Permission check failed (/vms/101, VM.Audit)\n"}
    "##);
    site.node.pvect(&["node", "acl", "grant", "root@pam!few", "PVEVMUser", "/vms/101"]).ok();
    assert!(ask("GET /api2/json/nodes/vm/lxc/101/config", "").starts_with("HTTP/1.1 200 OK"));
    let list = ask("GET /api2/json/nodes/vm/lxc", "");
    assert!(list.contains("\"vmid\":101") && !list.contains("\"vmid\":102"), "{list}");
    insta::assert_snapshot!(ask("PUT /api2/json/nodes/vm/lxc/101/config", "memory=64"), @r##"
    HTTP/1.1 403 Permission check failed (/vms/101, VM.Config.Disk|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.Options)
    {"data":null,"message":"Permission check failed (/vms/101, VM.Config.Disk|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.Options)\n"}
    "##);
    insta::assert_snapshot!(ask("POST /api2/json/nodes/vm/lxc", "vmid=103&ostemplate=local:vztmpl/x.tar"), @r##"
    HTTP/1.1 403 Permission check failed
    {"data":null,"message":"Permission check failed\n"}
    "##);
    insta::assert_snapshot!(ask("DELETE /api2/json/nodes/vm/lxc/101", ""), @r##"
    HTTP/1.1 403 Permission check failed (/vms/101, VM.Allocate)
    {"data":null,"message":"Permission check failed (/vms/101, VM.Allocate)\n"}
    "##);
    insta::assert_snapshot!(ask("GET /api2/json/nodes/vm/status", ""), @r##"
    HTTP/1.1 403 Permission check failed (/nodes/vm, Sys.Audit)
    {"data":null,"message":"Permission check failed (/nodes/vm, Sys.Audit)\n"}
    "##);
    insta::assert_snapshot!(ask("GET /api2/json/access/permissions", ""), @r##"
    HTTP/1.1 200 OK
    {"data":{"/vms/101":{"VM.Audit":1,"VM.Backup":1,"VM.Config.CDROM":1,"VM.Config.Cloudinit":1,"VM.Console":1,"VM.GuestAgent.Audit":1,"VM.PowerMgmt":1}}}
    "##);
}

#[test]
fn nobody_comes_in_without_proof() {
    let site = Site::new(node_or_skip!());
    site.node.user("root@pam", "hunter22");
    let login = |body: &str| site.ask_as(&[FORM], "POST /api2/json/access/ticket", body);
    let answer = login("username=root@pam&password=hunter22");
    let field = |name: &str| {
        let rest = answer.split(&format!("\"{name}\":\"")).nth(1).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let cookie = format!("Cookie: a=b; PVEAuthCookie={}", field("ticket").replace(':', "%3A"));
    let csrf = format!("CSRFPreventionToken: {}", field("CSRFPreventionToken"));
    let delete = "DELETE /api2/json/nodes/vm/lxc/101";
    // Each refusal waits three seconds, all of them at a time.
    let cases: Vec<(&str, Vec<&str>, &str)> = vec![
        ("none", vec![], "GET /api2/json/version"),
        ("bad ticket", vec!["Cookie: PVEAuthCookie=PVE:root@pam:65540AF0::00"], "GET /api2/json/version"),
        ("no csrf", vec![&cookie], delete),
        ("bad csrf", vec![&cookie, "CSRFPreventionToken: 00:00"], delete),
        ("bad token", vec!["Authorization: PVEAPIToken=root@pam!ci=x"], "GET /api2/json/version"),
        ("no token", vec!["Authorization: PVEAPIToken=root@pam!other=x"], "GET /api2/json/version"),
        ("odd token", vec!["Authorization: PVEAPIToken=x"], "GET /api2/json/version"),
    ];
    let mut texts: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = cases
            .iter()
            .map(|(name, headers, line)| {
                let site = &site;
                scope.spawn(move || format!("{name}: {}", site.ask_as(headers, line, "").trim_end()))
            })
            .collect();
        let wrong =
            scope.spawn(|| format!("login: {}", login("username=root@pam&password=wrong22").trim_end()));
        let nobody =
            scope.spawn(|| format!("nobody: {}", login("username=x@pve&password=wrong22").trim_end()));
        asked.into_iter().chain([wrong, nobody]).map(|one| one.join().unwrap()).collect()
    });
    texts.push(format!("good: {}", site.ask_as(&[&cookie], "GET /api2/json/version", "").trim_end()));
    texts.push(format!("delete: {}", site.ask_as(&[&cookie, &csrf], delete, "").trim_end()));
    texts.push(format!("login without a name: {}", login("password=x").trim_end()));
    insta::assert_snapshot!(texts.join("\n"), @r##"
    none: HTTP/1.1 401 No ticket
    bad ticket: HTTP/1.1 401 permission denied - invalid PVE ticket
    no csrf: HTTP/1.1 401 Permission denied - invalid csrf token
    bad csrf: HTTP/1.1 401 Permission denied - invalid csrf token
    bad token: HTTP/1.1 401 invalid token value!
    no token: HTTP/1.1 401 no such token 'other' for user 'root@pam'
    odd token: HTTP/1.1 401 no tokenid specified
    login: HTTP/1.1 401 authentication failure
    {"data":null,"message":"authentication failure\n"}
    nobody: HTTP/1.1 401 authentication failure
    {"data":null,"message":"authentication failure\n"}
    good: HTTP/1.1 200 OK
    {"data":{"version":"9.1.0","release":"9.1","repoid":"pvect-0.1.0"}}
    delete: HTTP/1.1 500 Configuration file 'nodes/vm/lxc/101.conf' does not exist
    {"data":null,"message":"Configuration file 'nodes/vm/lxc/101.conf' does not exist\n"}
    login without a name: HTTP/1.1 400 Parameter verification failed.
    {"data":null,"message":"Parameter verification failed.\n","errors":{"username":"property is missing and it is not optional"}}
    "##);
    // A ticket stands for the password.
    let again = login(&format!("username=root@pam&password={}", field("ticket")));
    assert!(again.starts_with("HTTP/1.1 200 OK") && again.contains("\"ticket\":\"PVE:root@pam:"), "{again}");
    // What is removed ends at once.
    site.node.pvect(&["node", "token", "remove", "root@pam!ci"]).ok();
    assert!(
        site.ask("GET /api2/json/version", "")
            .starts_with("HTTP/1.1 401 no such token 'ci' for user 'root@pam'")
    );
}
