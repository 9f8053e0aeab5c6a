//! Whole commands against a stand-in for pct: a script that answers a few verbs as the real one does, and notes
//! what it was asked. No container runs here.

use std::path::Path;
use std::process::{Command, Stdio};

use pvect_testkit::FakePct;

/// Answers in the words of the real pct.
const SCRIPT: &str = r#"
dir=$(dirname "$0")
printf '%s\n' "$*" >> "$dir/asked"
case "$1 $2" in
"list "*)
    printf '%-10s %-10s %-12s %-20s\n' VMID Status Lock Name
    printf '%-10s %-10s %-12s %-20s\n' 101 running '' web1
    printf '%-10s %-10s %-12s %-20s\n' 102 stopped backup db
    printf '%-10s %-10s %-12s %-20s\n' 103 stopped snapshot-delete db
    ;;
"status 101") echo 'status: running' ;;
"config 101") printf 'cores: 2\nhostname: web1\nmemory: 512\nonboot: 1\n' ;;
"start 101") echo 'CT 101 already running' >&2; exit 255 ;;
"start 102") echo 'CT is locked (backup)' >&2; exit 255 ;;
"exec 101") exit 7 ;;
"create 100") echo "CT 100 already exists on node 'vm'" >&2; exit 2 ;;
"create 104") cat > "$dir/stdin"; echo 'extracting archive' ;;
*) echo "Configuration file 'nodes/vm/lxc/$2.conf' does not exist" >&2; exit 2 ;;
esac
"#;

struct Pvect {
    pct: FakePct,
}

impl Pvect {
    fn new() -> Self {
        Self { pct: FakePct::new(SCRIPT) }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pvect"));
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.pct.dir())
            .env("PVECT_PCT_PATH", self.pct.path())
            .env("COLUMNS", "100")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end; status, stdout and stderr in one text, the stand-in's path as PCT.
    fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("pvect starts");
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*self.pct.path().to_string_lossy(), "PCT");
        let mut shown = format!("[{}]\n", output.status.code().unwrap_or(-1));
        for (name, bytes) in [("", &output.stdout), ("!", &output.stderr)] {
            shown.extend(text(bytes).lines().map(|line| format!("{name}{line}\n")));
        }
        shown.replace(&*self.pct.dir().to_string_lossy(), "DIR")
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.pct.dir().join("asked")).unwrap_or_default()
    }
}

/// pct is for root, and pvect says so before it starts it.
fn root_or_skip(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        pvect_testkit::skipped(test, "pct needs root");
    }
    root
}

#[test]
fn list_in_every_form() {
    if !root_or_skip("list_in_every_form") {
        return;
    }
    let pvect = Pvect::new();
    insta::assert_snapshot!(pvect.run(&["list"]), @r"
    [0]
    VMID  STATUS   LOCK             NAME
    101   running                   web1
    102   stopped  backup           db
    103   stopped  snapshot-delete  db
    ");
    insta::assert_snapshot!(pvect.run(&["list", "-o", "json", "--columns", "vmid,lock"]), @r#"
    [0]
    [
      {
        "vmid": 101
      },
      {
        "vmid": 102,
        "lock": "backup"
      },
      {
        "vmid": 103,
        "lock": "snapshot-delete"
      }
    ]
    "#);
    insta::assert_snapshot!(pvect.run(&["list", "-ocsv", "--sort", "-vmid", "--no-header"]), @r"
    [0]
    103,stopped,snapshot-delete,db
    102,stopped,backup,db
    101,running,,web1
    ");
    insta::assert_snapshot!(pvect.run(&["list", "--output=yaml", "--columns=name"]), @r"
    [0]
    - name: web1
    - name: db
    - name: db
    ");
    insta::assert_snapshot!(pvect.run(&["list", "--columns", "nam"]), @r"
    [2]
    !error: --columns: there is no column 'nam'; did you mean 'name'? The columns are: vmid, status, lock, name, node, ip, ip6, tags, memory, maxmemory, cpu, cpus, disk, maxdisk, uptime, os, arch, unprivileged, template, onboot, protection, pool, ha, description
    ");
    let plain = pvect.command(&["list", "-o", "plain"]).output().unwrap().stdout;
    let pct = Command::new(pvect.pct.path()).arg("list").output().unwrap().stdout;
    assert_eq!(plain, pct);
}

#[test]
fn one_container() {
    if !root_or_skip("one_container") {
        return;
    }
    let pvect = Pvect::new();
    insta::assert_snapshot!(pvect.run(&["status", "web1"]), @r"
    [0]
    status: running
    ");
    insta::assert_snapshot!(pvect.run(&["config", "web1", "-o", "json"]), @r#"
    [0]
    {
      "cores": 2,
      "hostname": "web1",
      "memory": 512,
      "onboot": true
    }
    "#);
    insta::assert_snapshot!(pvect.run(&["config", "101", "-o", "table"]), @r"
    [0]
    KEY       VALUE
    cores     2
    hostname  web1
    memory    512
    onboot    true
    ");
    insta::assert_snapshot!(pvect.run(&["status", "db"]), @r"
    [3]
    !error: the name 'db' means more than one container: 102 (stopped), 103 (stopped)
    ");
    insta::assert_snapshot!(pvect.run(&["status", "wbe1"]), @r"
    [3]
    !error: there is no container named 'wbe1'; did you mean 'web1'? There are: 101 web1 running, 102 db stopped, 103 db stopped
    ");
    insta::assert_snapshot!(pvect.run(&["status", "999"]), @r"
    [3]
    !error: there is no container 999
    !  pct: Configuration file 'nodes/vm/lxc/999.conf' does not exist
    !hint: `pvect list` shows the containers
    ");
}

#[test]
fn bad_values_stop_before_pct_starts() {
    let pvect = Pvect::new();
    for (words, snapshot) in [
        (["set", "101", "--memory", "8"].as_slice(), "error: --memory: 8 is too small: at least 16"),
        (&["set", "web1", "--memory", "-5"], "error: --memory: -5 is too small: at least 16"),
        (&["start", "99"], "error: <vmid>: '99' is not allowed: a whole number from 100 to 999999999"),
        (&["start"], "error: <vmid>: is missing and required"),
        (&["exec", "101"], "error: <command>: is missing and required"),
        (&["strat", "101"], "error: <command>: there is no command 'strat'; did you mean 'start'?"),
        (
            &["set", "101", "--onboot", "maybe"],
            "error: --onboot: 'maybe' is not a boolean (1/yes/on/true or 0/no/off/false)",
        ),
        (
            &["snapshot", "101", "vzdump"],
            "error: <snapname>: 'vzdump' is reserved: no snapshot may be named current or vzdump",
        ),
        (&["resize", "101", "mp256", "1G"], "error: <disk>: 'mp256' is not one of: rootfs, mp0 ... mp255"),
        (&["set", "101", "--delete", "memory"], "error: --delete: 'memory' cannot be removed, only changed"),
        (
            &["start", "101", "--skiplck"],
            "error: --skiplck: pvect start has no such option; did you mean --skiplock?",
        ),
    ] {
        let status = if words[0] == "exec" { 125 } else { 2 };
        assert_eq!(pvect.run(words), format!("[{status}]\n!{snapshot}\n"), "{words:?}");
    }
    assert_eq!(pvect.asked(), "");
}

#[test]
fn unchecked_values_and_unknown_options_go_through() {
    if !root_or_skip("unchecked_values_and_unknown_options_go_through") {
        return;
    }
    let pvect = Pvect::new();
    for (words, asked) in [
        (["--no-check", "set", "101", "--memory", "8"].as_slice(), "set 101 --memory 8\n"),
        (&["set", "101", "--", "--newer", "1"], "set 101 --newer 1\n"),
        (&["set", "101", "--memory", "64", "--", "--newer"], "set 101 --memory 64 --newer\n"),
        (&["--no-check", "clone", "101", "99", "--full", "0"], "clone 101 99 --full 0\n"),
    ] {
        let _ = std::fs::remove_file(pvect.pct.dir().join("asked"));
        pvect.run(words);
        assert_eq!(pvect.asked(), asked, "{words:?}");
    }
}

#[test]
fn a_missing_container_has_hints() {
    let Ok(node) = pvect_testkit::TestNode::new() else {
        return pvect_testkit::skipped("a_missing_container_has_hints", "containers need root");
    };
    let config = node.config_file(101);
    std::fs::create_dir_all(config.parent().expect("it has one")).expect("a directory can be made");
    std::fs::write(&config, "hostname: web1\n").expect("a configuration can be written");
    let error = node.pvect(&["start", "110"]).fails(3);
    insta::assert_snapshot!(error, @r"
    error: there is no container 110
      pct: Configuration file 'nodes/vm/lxc/110.conf' does not exist
    hint: `pvect list` shows the containers
    hint: similar numbers: 101 web1
    ");
    let error = node.pvect(&["start", "999", "-o", "json"]).fails(3);
    assert!(error.contains(r#""hint":"`pvect list` shows the containers""#), "{error}");
    let other = node.root().join("etc/pve/nodes/pve2/lxc");
    std::fs::create_dir_all(&other).expect("a directory can be made");
    std::fs::write(other.join("300.conf"), "").expect("a configuration can be written");
    let error = node.pvect(&["start", "300"]).fails(3);
    assert!(error.contains("hint: 300 is on node pve2: add --node pve2"), "{error}");
}

#[test]
fn every_verb_has_help() {
    let pvect = Pvect::new();
    for verb in pvect_core::Verb::ALL {
        let spec = verb.spec();
        let help = pvect.run(&["help", verb.name()]);
        if *verb == pvect_core::Verb::Help {
            assert!(help.starts_with("[0]\n"), "{help}");
            continue;
        }
        assert!(help.starts_with(&format!("[0]\n{}\n\nUsage: pvect {verb}", spec.text)), "{help}");
        for arg in spec.args {
            assert!(
                help.contains(&format!("[{}]", arg.name))
                    || help.contains(&format!("<{}>", arg.name))
                    || arg.rest,
                "{help}"
            );
        }
        for option in spec.all_options() {
            let name = format!("--{}", option.display_name());
            assert!(help.contains(&name) || option.secret, "{name}: {help}");
        }
    }
}

#[test]
fn dry_run_shows_and_runs_nothing() {
    if !root_or_skip("dry_run_shows_and_runs_nothing") {
        return;
    }
    let pvect = Pvect::new();
    let words =
        ["--dry-run", "create", "104", "local:vztmpl/x.tar", "--description", "it's", "--password-stdin"];
    insta::assert_snapshot!(pvect.run(&words), @r#"
    [0]
    PCT create 104 local:vztmpl/x.tar --description 'it'\''s' --password --unprivileged 1
    "#);
    insta::assert_snapshot!(pvect.run(&["exec", "101", "--dry-run", "--", "sh", "-c", "echo $HOME"]), @r"
    [0]
    PCT exec 101 --keep-env 0 -- sh -c 'echo $HOME'
    ");
    insta::assert_snapshot!(pvect.run(&["set", "101", "-mem", "512", "--onboot", "--dry-run"]), @r"
    [0]
    PCT set 101 --memory 512 --onboot 1
    ");
    assert_eq!(pvect.asked(), "");
}

#[test]
fn create_takes_the_next_number_and_hides_the_password() {
    if !root_or_skip("create_takes_the_next_number") {
        return;
    }
    let pvect = Pvect::new();
    let secret = pvect.pct.dir().join("secret");
    std::fs::write(&secret, "hunter22\n").unwrap();
    set_mode(&secret, 0o600);
    // 100 was taken by somebody else meanwhile; 101 to 103 are there.
    let file = secret.to_string_lossy().into_owned();
    insta::assert_snapshot!(pvect.run(&["create", "local:vztmpl/x.tar", "--password-file", &file]), @r"
    [0]
    104
    !extracting archive
    ");
    insta::assert_snapshot!(pvect.asked(), @r"
    list
    create 100 local:vztmpl/x.tar --password --unprivileged 1
    create 104 local:vztmpl/x.tar --password --unprivileged 1
    ");
    let stdin = std::fs::read_to_string(pvect.pct.dir().join("stdin")).unwrap();
    assert_eq!(stdin, "hunter22\nhunter22\n");
    insta::assert_snapshot!(pvect.run(&["create", "105", "t", "--password", "hunter22"]), @r"
    [2]
    !error: --password: takes no value, because others could read it in the process list: put --password last to be asked for it, or use --password-file FILE or --password-stdin
    ");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the mode can be set");
}

#[test]
fn errors_for_people_and_programs() {
    if !root_or_skip("errors_for_people_and_programs") {
        return;
    }
    let pvect = Pvect::new();
    insta::assert_snapshot!(pvect.run(&["start", "101"]), @r"
    [4]
    !error: CT 101 already running
    !hint: `pvect stop 101` or `pvect shutdown 101` stops it
    ");
    insta::assert_snapshot!(pvect.run(&["start", "102", "-o", "json"]), @r#"
    [4]
    !{"kind":"locked","message":"CT is locked (backup)","vmid":102,"argv":["PCT","start","102"],"exit":255,"stdout":"","stderr":"CT is locked (backup)\n","hint":"if nothing works on the container any more, `pvect unlock 102` removes the lock"}
    "#);
    insta::assert_snapshot!(pvect.run(&["set", "101", "--memory", "8", "-o", "json"]), @r#"
    [2]
    !{"kind":"invalid_argument","message":"--memory: 8 is too small: at least 16","vmid":null,"argv":null,"exit":null,"stdout":null,"stderr":null,"hint":null}
    "#);
    insta::assert_snapshot!(pvect.run(&["xyzzyx", "-o", "json"]), @r#"
    [2]
    !{"kind":"invalid_argument","message":"<command>: there is no command 'xyzzyx'; `pvect help` lists them","vmid":null,"argv":null,"exit":null,"stdout":null,"stderr":null,"hint":null}
    "#);
    insta::assert_snapshot!(pvect.run(&["qm", "list"]), @r"
    [9]
    !error: pct manages containers only, and so does pvect; virtual machines are qm's
    ");
}

#[test]
fn exec_hands_the_status_through() {
    if !root_or_skip("exec_hands_the_status_through") {
        return;
    }
    let pvect = Pvect::new();
    assert_eq!(pvect.run(&["exec", "101", "--", "sh", "-c", "exit 7"]), "[7]\n");
    assert_eq!(pvect.asked(), "exec 101 --keep-env 0 -- sh -c exit 7\n");
    insta::assert_snapshot!(pvect.run(&["exec", "999", "--", "true"]), @r"
    [125]
    !Configuration file 'nodes/vm/lxc/999.conf' does not exist
    !error: there is no container 999
    !hint: `pvect list` shows the containers
    ");
}

#[test]
fn a_missing_pct() {
    let pvect = Pvect::new();
    insta::assert_snapshot!(pvect.run(&["--pct-path", "/none/pct", "list"]), @r"
    [7]
    !error: there is no pct at '/none/pct'
    !hint: --standalone runs containers without Proxmox VE; `pvect doctor` says what is missing
    ");
}

#[test]
fn the_settings() {
    let pvect = Pvect::new();
    let file = pvect.pct.dir().join("config.json");
    let path = file.to_string_lossy().into_owned();
    let old = r#"{"proxmox": {"hosts": ["pve1"], "token": "root@pam!x=hunter22", "node": "pve1"}}"#;
    std::fs::write(&file, old).unwrap();
    set_mode(&file, 0o644);
    insta::assert_snapshot!(pvect.run(&["--settings", &path, "settings", "check"]), @r"
    [2]
    error: DIR/config.json: proxmox.hosts: this is the old form; `pvect settings migrate` moves it to proxmox.legacy_api
    error: DIR/config.json: proxmox.token: this is the old form; `pvect settings migrate` moves it to proxmox.legacy_api
    warning: DIR/config.json: proxmox.legacy_api.token: holds a token and can be read by others; chmod 600 DIR/config.json
    ");
    insta::assert_snapshot!(pvect.run(&["--settings", &path, "list"]), @r"
    [2]
    !error: DIR/config.json: proxmox.hosts: this is the old form; `pvect settings migrate` moves it to proxmox.legacy_api
    !error: DIR/config.json: proxmox.token: this is the old form; `pvect settings migrate` moves it to proxmox.legacy_api
    ");
    insta::assert_snapshot!(pvect.run(&["--settings", &path, "settings", "migrate"]), @r"
    [0]
    proxmox.hosts -> proxmox.legacy_api.hosts
    proxmox.token -> proxmox.legacy_api.token
    DIR/config.json: migrated; the old file is DIR/config.json.bak
    ");
    insta::assert_snapshot!(pvect.run(&["--settings", &path, "settings", "migrate"]), @r"
    [0]
    DIR/config.json: already has the present form
    ");
    insta::assert_snapshot!(pvect.run(&["--settings", &path, "settings", "check"]), @r"
    [0]
    warning: DIR/config.json: proxmox.legacy_api.token: holds a token and can be read by others; chmod 600 DIR/config.json
    ");
    the_settings_shown(&pvect, &path);
    let schema = pvect.command(&["settings", "schema"]).output().unwrap().stdout;
    let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
    assert_eq!(schema["title"], "Settings");
}

fn the_settings_shown(pvect: &Pvect, path: &str) {
    insta::assert_snapshot!(pvect.run(&["settings", "show", "-ocsv", "--settings", path, "--root", "/r"]), @r#"
    [0]
    key,value,origin
    proxmox.pct_path,PCT,PVECT_PCT_PATH
    proxmox.vzdump_path,,default
    proxmox.node,pve1,DIR/config.json
    proxmox.timeout,,default
    proxmox.timeouts.read,,default
    proxmox.timeouts.quick,,default
    proxmox.timeouts.long,,default
    proxmox.sudo,false,default
    proxmox.standalone,false,default
    proxmox.root,/r,--root
    proxmox.transport,auto,default
    proxmox.ssh.host,,default
    proxmox.ssh.user,,default
    proxmox.ssh.port,,default
    proxmox.ssh.identity_file,,default
    proxmox.ssh.options,[],default
    proxmox.ssh.sudo,,default
    proxmox.ssh.pct_path,,default
    proxmox.ssh.root,,default
    proxmox.ssh.connect_timeout,,default
    proxmox.ssh.control_dir,,default
    proxmox.ssh.program,,default
    proxmox.nodes,,default
    proxmox.backend,auto,default
    proxmox.context,,default
    proxmox.legacy_api.hosts,"[""pve1""]",DIR/config.json
    proxmox.legacy_api.port,,default
    proxmox.legacy_api.token,********,DIR/config.json
    proxmox.legacy_api.token_file,,default
    proxmox.legacy_api.token_command,,default
    proxmox.legacy_api.user,,default
    proxmox.legacy_api.password_file,,default
    proxmox.legacy_api.password_command,,default
    proxmox.legacy_api.fingerprint,,default
    proxmox.legacy_api.ca_file,,default
    proxmox.legacy_api.node_cache_duration,,default
    proxmox.legacy_api.verify_ssl,,default
    proxmox.legacy_api.timeout,,default
    proxmox.fast_path.token_file,,default
    proxmox.fast_path.port,,default
    proxmox.contexts,,default
    runtime.log_level,warn,default
    runtime.log_path,,default
    runtime.log_format,text,default
    runtime.journald,false,default
    "#);
}

#[test]
fn help_and_what_is_made_of_it() {
    let pvect = Pvect::new();
    insta::assert_snapshot!(pvect.run(&["help", "errors"]), @r"
    [0]
    KIND                   EXIT  WHEN
    pct_not_available      7     no pct at pct_path, or the node cannot be reached
    connection_lost        7     the connection to the node was lost; the error says whether the command may have run
    api_unreachable        7     no host of the API could be reached; nothing was sent
    api_untrusted          7     the API's certificate is not trusted, or the port does not speak TLS
    api_unauthenticated    5     the API refuses the token, the ticket or the password
    node_unreachable       7     the API answered, but could not reach the node (595, 596, 599)
    pct_command_failed     1     pct could not be run to its end (signal, spawn error), or failed for a reason not listed here
    pct_operation_failed   1     the task ended in an error; its text and log are in the error
    pct_invalid_output     8     what pct printed could not be understood; the raw text is kept
    pct_timeout            6     the time-out passed; the error says what was left behind
    pct_permission_denied  5     not root, or 403 of Proxmox
    not_found              3     no such container, snapshot, volume or template
    already_exists         4     the id or name is taken
    already_running        4     the container is already running
    not_running            4     the container is not running
    locked                 4     the configuration is locked, or another command holds its lock file
    protected              4     protection is on for the container
    conflict               4     the configuration was changed by somebody else meanwhile (digest)
    no_quorum              7     the cluster cannot decide: no quorum
    invalid_argument       2     a value breaks the schema: found before pct is started
    unsupported            9     virtual machines (pct manages containers only), or a verb the backend cannot do
    partial                10    some containers of a bulk run failed
    invalid_settings       2     the settings file cannot be read or understood
    io                     1     a file or stream on this side failed

    exec, enter and console hand the command's own status through; pvect's own failure there is 125.
    ");
    insta::assert_snapshot!(pvect.run(&["snapshot", "--help", "--no-header"]).lines().take(12).collect::<Vec<_>>().join("\n"), @r"
    [0]
    Record the state of a container.

    Usage: pvect snapshot [OPTIONS] <vmid> <snapname>

    Arguments:
      <vmid>      The number of the container.
      <snapname>  The snapshot's name.

    Options:
          --description <TEXT>  What the snapshot is for.
    ");
    for shell in ["bash", "zsh", "fish"] {
        let text = pvect.run(&["completion", shell]);
        assert!(
            text.starts_with("[0]\n") && text.contains("listsnapshot") && text.contains("net0"),
            "{shell}"
        );
    }
    let dir = pvect.pct.dir().join("man");
    assert_eq!(pvect.run(&["man", "--dir", &dir.to_string_lossy()]), "[0]\n");
    let page = std::fs::read_to_string(dir.join("pvect-set.1")).unwrap();
    assert!(page.contains(r"\-\-net[n]"), "{page}");
    insta::assert_snapshot!(pvect.run(&["completion", "tcsh"]), @r"
    [2]
    !error: <shell>: 'tcsh' is not one of: bash, zsh, fish
    ");
    insta::assert_snapshot!(pvect.run(&["settings"]), @r"
    [2]
    !error: <command>: is missing; it is one of: show, check, schema, migrate
    ");
    insta::assert_snapshot!(pvect.run(&["completion"]), @r"
    [2]
    !error: <shell>: is missing and required
    ");
}

#[test]
fn logging_goes_where_the_settings_say() {
    if !root_or_skip("logging_goes_where_the_settings_say") {
        return;
    }
    let pvect = Pvect::new();
    let log = pvect.pct.dir().join("log/pvect.log");
    let env = [
        ("PVECT_LOG_PATH", log.to_string_lossy().into_owned()),
        ("PVECT_LOG_LEVEL", "info".to_owned()),
        ("PVECT_LOG_FORMAT", "json".to_owned()),
    ];
    let output = pvect.command(&["status", "101"]).envs(env).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = std::fs::read_to_string(&log).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(line["span"]["verb"], "status");
    assert_eq!(line["span"]["exit"], "exit status 0");
    assert_eq!(line["span"]["argv"], "status 101");
}

#[test]
fn a_closed_pipe_is_no_error() {
    if !root_or_skip("a_closed_pipe_is_no_error") {
        return;
    }
    let pvect = Pvect::new();
    let (reader, writer) = pvect_testkit::pipe();
    drop(reader);
    let output = pvect.command(&["list"]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn another_node_is_reached_through_ssh() {
    let pvect = Pvect::new();
    insta::assert_snapshot!(pvect.run(&["--node", "pve2", "--dry-run", "list"]), @r"
    [0]
    /usr/bin/ssh -- root@pve2 'PCT list'
    ");
    let file = pvect.pct.dir().join("config.json");
    let text = r#"{"proxmox": {"nodes": {"pve3": {"host": "10.0.0.3", "user": "admin", "port": 2222,
        "pct_path": "/usr/sbin/pct"}}, "ssh": {"options": ["Compression=yes"]}}}"#;
    std::fs::write(&file, text).unwrap();
    let settings = file.to_string_lossy();
    let words = ["--settings", &settings, "--node", "pve3", "--dry-run", "exec", "101", "--", "echo", "a b"];
    insta::assert_snapshot!(pvect.run(&words), @r"
    [0]
    /usr/bin/ssh -o Compression=yes -p 2222 -- admin@10.0.0.3 'sudo -n -- /usr/sbin/pct exec 101 --keep-env 0 -- echo '\''a b'\'''
    ");
    insta::assert_snapshot!(pvect.run(&["--node", "-x", "list"]), @r"
    [2]
    !error: --node: '-x' is not a valid node name: letters, digits and inner hyphens
    ");
    assert_eq!(pvect.asked(), "");
}
