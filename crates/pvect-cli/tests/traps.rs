//! The traps of pct, each closed: whole commands against a stand-in that falls into them. What needs a real container
//! is in tests/e2e; `docs/traps.md` lists all of them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pvect_testkit::FakePct;

/// A stand-in, and pvect on top of it.
struct Pvect {
    pct: FakePct,
}

impl Pvect {
    /// `None` (and a note) without root, which pct needs.
    fn new(test: &str, script: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            pvect_testkit::skipped(test, "pct needs root");
            return None;
        }
        let head = "dir=$(dirname \"$0\")\nprintf '%s\\n' \"$*\" >> \"$dir/asked\"\n";
        Some(Self { pct: FakePct::new(&format!("{head}{script}")) })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pvect"));
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.pct.dir())
            .env("PVECT_PCT_PATH", self.pct.path())
            .current_dir(self.pct.dir())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end; status, stdout and stderr (marked with `!`) in one text. The stand-in forgets what it was
    /// asked.
    fn run(&self, words: &[&str]) -> String {
        let _ = fs::remove_file(self.pct.dir().join("asked"));
        let output = self.command(words).output().expect("pvect starts");
        let mut shown = format!("[{}]\n", output.status.code().unwrap_or(-1));
        for (mark, bytes) in [("", &output.stdout), ("!", &output.stderr)] {
            shown.extend(String::from_utf8_lossy(bytes).lines().map(|line| format!("{mark}{line}\n")));
        }
        shown
            .replace(&*self.pct.path().to_string_lossy(), "PCT")
            .replace(&*self.pct.dir().to_string_lossy(), "DIR")
    }

    /// What the stand-in was asked in the last run.
    fn asked(&self) -> String {
        fs::read_to_string(self.pct.dir().join("asked")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.pct.dir().join(name)
    }
}

/// A guest whose files are below `$dir/guest`; push and pull copy well unless the file `fault` says how not to.
const GUEST: &str = r#"
fault=$(cat "$dir/fault" 2>/dev/null)
case "$1" in
status) printf 'status: running\nvmid: 101\n' ;;
push)
    case "$fault" in
    said) echo "failed to open $4 for writing: No space left on device" >&2 ;;
    short) head -c 3 "$3" > "$dir/guest$4" ;;
    *) cp "$3" "$dir/guest$4" ;;
    esac ;;
pull)
    case "$fault" in
    said) : > "$4"; echo "failed to open $3 for reading: Input/output error" >&2 ;;
    short) head -c 3 "$dir/guest$3" > "$4" ;;
    *) cp "$dir/guest$3" "$4" ;;
    esac ;;
exec)
    while [ "$1" != -- ]; do shift; done
    case "$2" in
    sha256sum) [ "$fault" = bare ] && exit 127
        [ -d "$dir/guest$3" ] && { echo "sha256sum: $3: Is a directory" >&2; exit 1; }
        [ -e "$dir/guest$3" ] || { echo "sha256sum: $3: No such file or directory" >&2; exit 1; }
        sha256sum "$dir/guest$3" ;;
    esac ;;
esac
"#;

fn guest(test: &str) -> Option<Pvect> {
    let pvect = Pvect::new(test, GUEST)?;
    fs::create_dir_all(pvect.file("guest/etc")).expect("the directory can be made");
    fs::write(pvect.file("here"), "content\n").expect("the file can be written");
    fs::write(pvect.file("guest/there"), "other content\n").expect("the file can be written");
    Some(pvect)
}

#[test]
fn trap_exit_zero_push_and_pull() {
    let Some(pvect) = guest("trap_exit_zero_push_and_pull") else { return };
    fs::write(pvect.file("fault"), "said").unwrap();
    insta::assert_snapshot!(pvect.run(&["push", "101", "here", "/x"]), @r"
    [1]
    !error: failed to open /x for writing: No space left on device
    ");
    insta::assert_snapshot!(pvect.run(&["pull", "101", "/there", "copy"]), @r"
    [1]
    !error: failed to open /there for reading: Input/output error
    ");
}

#[test]
fn trap_silent_copy_is_compared() {
    let Some(pvect) = guest("trap_silent_copy_is_compared") else { return };
    assert_eq!(pvect.run(&["push", "101", "here", "/x"]), "[0]\n");
    assert_eq!(fs::read_to_string(pvect.file("guest/x")).unwrap(), "content\n");
    assert_eq!(pvect.asked(), "push 101 here /x\nexec 101 --keep-env 0 -- sha256sum /x\n");
    assert_eq!(pvect.run(&["pull", "101", "/there", "copy"]), "[0]\n");
    assert_eq!(fs::read_to_string(pvect.file("copy")).unwrap(), "other content\n");
    // Without a program to look with, the copy is pulled back.
    fs::write(pvect.file("fault"), "bare").unwrap();
    assert_eq!(pvect.run(&["push", "101", "here", "/x"]), "[0]\n");
    assert!(pvect.asked().contains("\npull 101 /x /tmp/"), "{}", pvect.asked());

    fs::write(pvect.file("fault"), "short").unwrap();
    insta::assert_snapshot!(pvect.run(&["push", "101", "here", "/x"]), @r"
    [1]
    !error: pct reports success, but the copy differs: here 8 bytes, sha256 434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53; in the container sha256 1143da2bc54c495c4be31d3868785d39ffdfd56df5668f0645d8f14d47647952 (--no-verify leaves the comparison out)
    ");
    assert!(pvect.run(&["pull", "101", "/there", "copy"]).contains("the copy differs"));
    assert_eq!(pvect.run(&["pull", "101", "/there", "copy", "--no-verify"]), "[0]\n");
    assert_eq!(pvect.asked(), "pull 101 /there copy\n");
}

#[test]
fn trap_silent_copy_of_directories_is_refused() {
    let Some(pvect) = guest("trap_silent_copy_of_directories_is_refused") else { return };
    fs::create_dir(pvect.file("tree")).unwrap();
    insta::assert_snapshot!(pvect.run(&["push", "101", "tree", "/x"]), @r"
    [2]
    !error: <file>: 'tree' is a directory: add --recursive to copy what is in it
    ");
    assert_eq!(pvect.asked(), "");
    fs::write(pvect.file("copy"), "kept").unwrap();
    insta::assert_snapshot!(pvect.run(&["pull", "101", "/etc", "copy"]), @r"
    [2]
    !error: <path>: '/etc' is a directory: add --recursive to copy what is in it
    ");
    insta::assert_snapshot!(pvect.run(&["pull", "101", "/none", "copy"]), @r"
    [3]
    !error: there is no '/none' in container 101
    ");
    // pct would have emptied it.
    assert_eq!(fs::read_to_string(pvect.file("copy")).unwrap(), "kept");
}

/// A container whose configuration a resize or template changes, unless the file `fault` is there.
const CONFIG: &str = r#"
case "$1" in
config) cat "$dir/config" ;;
status) printf 'status: stopped\nvmid: 101\n' ;;
resize) [ -e "$dir/fault" ] || printf 'rootfs: local:101/d.raw,size=8G\n' > "$dir/config" ;;
template) [ -e "$dir/fault" ] || printf 'template: 1\n' >> "$dir/config" ;;
esac
"#;

#[test]
fn trap_exit_zero_resize_and_template() {
    let Some(pvect) = Pvect::new("trap_exit_zero_resize_and_template", CONFIG) else { return };
    fs::write(pvect.file("config"), "rootfs: local:101/d.raw,size=4G\n").unwrap();
    fs::write(pvect.file("fault"), "").unwrap();
    insta::assert_snapshot!(pvect.run(&["resize", "101", "rootfs", "8G"]), @r"
    [1]
    !error: pct reports success, but the size of rootfs is 4G as before
    ");
    insta::assert_snapshot!(pvect.run(&["template", "101"]), @r"
    [1]
    !error: pct reports success, but 101 is not a template: its configuration does not say so
    ");
    assert_eq!(pvect.run(&["resize", "101", "rootfs", "8G", "--no-verify"]), "[0]\n");
    fs::remove_file(pvect.file("fault")).unwrap();
    assert_eq!(pvect.run(&["resize", "101", "rootfs", "8G"]), "[0]\n");
    assert_eq!(pvect.run(&["template", "101"]), "[0]\n");
    assert_eq!(pvect.asked(), "template 101\nconfig 101 --current 1\n");
}

#[test]
fn trap_bytes_vs_gib() {
    let Some(pvect) = Pvect::new("trap_bytes_vs_gib", CONFIG) else { return };
    fs::write(pvect.file("config"), "rootfs: local:101/d.raw,size=4G\n").unwrap();
    for (size, gib) in [("8", "8G"), ("+8", "+8G")] {
        let text = format!(
            "[2]\n!error: <size>: '{size}' would be bytes: write +8G to add GiB or 8G for the whole size; add --bytes if bytes \
             are meant\n"
        );
        assert_eq!(pvect.run(&["resize", "101", "rootfs", size]), text, "{gib}");
        assert_eq!(pvect.asked(), "");
    }
    assert_eq!(pvect.run(&["resize", "101", "rootfs", "8589934592"]), "[0]\n");
    fs::write(pvect.file("config"), "rootfs: local:101/d.raw,size=4G\n").unwrap();
    assert_eq!(pvect.run(&["resize", "101", "rootfs", "+4096", "--bytes"]), "[0]\n");
}

#[test]
fn trap_df_mounts() {
    let script = "case $1 in status) printf 'status: stopped\nvmid: 101\\n' ;; df) echo 'MP Volume Size Used Avail Use% Path' ;; esac";
    let Some(pvect) = Pvect::new("trap_df_mounts", script) else { return };
    insta::assert_snapshot!(pvect.run(&["df", "101"]), @r"
    [4]
    !error: the container is not running: df would mount its volumes on the host and lock it meanwhile
    !hint: `pvect df 101 --mount` does it; `pvect start 101` starts the container
    ");
    assert_eq!(pvect.asked(), "status 101 --verbose 1\n");
    assert_eq!(pvect.run(&["df", "101", "--mount"]), "[0]\nMP Volume Size Used Avail Use% Path\n");
    assert_eq!(pvect.run(&["df", "101", "--mount", "-o", "json"]), "[0]\n[]\n");
}

#[test]
fn trap_empty_list() {
    let Some(pvect) = Pvect::new("trap_empty_list", "exit 0") else { return };
    assert_eq!(pvect.run(&["list"]), "[0]\nVMID  STATUS  LOCK  NAME\n");
    assert_eq!(pvect.run(&["list", "-o", "json"]), "[0]\n[]\n");
    assert_eq!(pvect.run(&["list", "-o", "csv"]), "[0]\nvmid,status,lock,name\n");
}

#[test]
fn trap_nul_output() {
    let Some(pvect) = Pvect::new("trap_nul_output", "printf 'env: A=1\\0B=2\\nmemory: 512\\n'") else {
        return;
    };
    let output = pvect.run(&["config", "101", "-o", "json"]);
    let text = output.strip_prefix("[0]\n").unwrap();
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(value, serde_json::json!({"env": ["A=1", "B=2"], "memory": 512}));
}

#[test]
fn trap_merged_streams_are_told_apart() {
    let script = "echo extracting; echo 'WARN: old systemd' ; echo 'Task finished with 1 warning(s)!' >&2";
    let Some(pvect) = Pvect::new("trap_merged_streams_are_told_apart", script) else { return };
    let output = pvect.run(&["create", "101", "local:vztmpl/x.tar.zst", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(output.strip_prefix("[0]\n").unwrap()).unwrap();
    assert_eq!(value["warnings"], serde_json::json!(["old systemd", "Task finished with 1 warning(s)!"]));
}

#[test]
fn trap_net10_unplug() {
    let script = r"case $1 in pending) printf 'del net10: name=eth10\ndel net11: x\ncur net12: x\n' ;; esac";
    let Some(pvect) = Pvect::new("trap_net10_unplug", script) else { return };
    insta::assert_snapshot!(pvect.run(&["set", "101", "--delete", "net10,net12,net1"]), @r"
    [0]
    !warning: net10 stays plugged in until the next stop and start: pct unplugs net0 to net9 only
    ");
    assert_eq!(pvect.asked(), "set 101 --delete net10,net12,net1\npending 101\n");
    assert_eq!(pvect.run(&["set", "101", "--delete", "net1"]), "[0]\n");
    assert_eq!(pvect.asked(), "set 101 --delete net1\n");
}

#[test]
fn trap_keep_env_leaks_nothing() {
    let Some(pvect) = Pvect::new("trap_keep_env_leaks_nothing", "env; echo \"argv: $*\"") else { return };
    for words in
        [["exec", "101", "--", "env"].as_slice(), &["enter", "101"], &["exec", "101", "env", "--keep-env=0"]]
    {
        let output = pvect.command(words).env("SECRET_TOKEN", "hunter22").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("hunter22") && text.contains("--keep-env 0"), "{words:?}: {text}");
    }
    let words = ["exec", "101", "--keep-env", "1", "--", "env"];
    let output = pvect.command(&words).env("SECRET_TOKEN", "hunter22").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("hunter22"));
    // A pct before pve-container 5.0.9 does not know the option.
    assert!(!pvect.run(&["--no-check", "exec", "101", "--", "env"]).contains("keep-env"));
}

#[test]
fn trap_argv_secrets() {
    let Some(pvect) = Pvect::new("trap_argv_secrets", "cat > \"$dir/stdin\"") else { return };
    let secret = pvect.file("secret");
    fs::write(&secret, "hunter22\n").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let create = ["create", "101", "local:vztmpl/x.tar.zst", "--password-file", "secret"];
    assert_eq!(pvect.run(&create), "[0]\n");
    assert_eq!(pvect.asked(), "create 101 local:vztmpl/x.tar.zst --password --unprivileged 1\n");
    assert_eq!(fs::read_to_string(pvect.file("stdin")).unwrap(), "hunter22\nhunter22\n");

    let mut words = vec!["remote-migrate", "101", "102", "host=pve2,fingerprint="];
    let fingerprint = ["AA"; 32].join(":");
    let endpoint = format!("{}{fingerprint}", words[3]);
    words[3] = &endpoint;
    words.extend(["--target-bridge", "vmbr0", "--target-storage", "local", "--token-file", "secret"]);
    insta::assert_snapshot!(pvect.run(&words), @r"
    [2]
    !error: pct takes the token of remote-migrate only in its argv, where every user of the node can read it
    !hint: --token-file FILE or --token-stdin keeps it out of pvect's own argv and the shell's history; --allow-token-in-argv hands it to pct all the same
    ");
    assert_eq!(pvect.asked(), "");
    words.push("--allow-token-in-argv");
    assert_eq!(pvect.run(&words), "[0]\n");
    assert!(pvect.asked().contains("apitoken=PVEAPIToken=hunter22"), "{}", pvect.asked());
    words.push("--dry-run");
    let shown = pvect.run(&words);
    assert!(!shown.contains("hunter22") && shown.contains("********"), "{shown}");
}

/// A node on which an image replaces what create was told.
const IMAGE: &str = r#"
case "$1" in
config) cat "$dir/config" ;;
create) printf 'entrypoint: /bin/web\nenv: PATH=/bin\n' > "$dir/config" ;;
esac
"#;

#[test]
fn trap_oci_overrides() {
    let Some(pvect) = Pvect::new("trap_oci_overrides", IMAGE) else { return };
    let words = ["create", "101", "local:vztmpl/web.tar", "--entrypoint", "/bin/mine", "--start", "1"];
    insta::assert_snapshot!(pvect.run(&words), @r"
    [0]
    !warning: the image had its own values; set again after it: --entrypoint
    ");
    assert_eq!(
        pvect.asked(),
        "create 101 local:vztmpl/web.tar --entrypoint /bin/mine --unprivileged 1\nconfig 101 --current 1\n\
         set 101 --entrypoint /bin/mine\nstart 101\n"
    );
    let words = ["create", "101", "local:vztmpl/web.tar", "--entrypoint", "/bin/web", "--start", "1"];
    assert_eq!(pvect.run(&words), "[0]\n");
    assert!(!pvect.asked().contains("\nset "), "{}", pvect.asked());
}

#[test]
fn trap_oci_arch() {
    let Some(pvect) = Pvect::new("trap_oci_arch", IMAGE) else { return };
    insta::assert_snapshot!(pvect.run(&["create", "101", "local:vztmpl/web.tar", "--arch", "arm64"]), @r"
    [0]
    !warning: from an OCI image for several architectures pct takes the first, whatever --arch says
    ");
    assert_eq!(pvect.run(&["create", "101", "local:vztmpl/debian.tar.zst", "--arch", "arm64"]), "[0]\n");
}

/// A node with an HA manager that takes two looks to start a container.
const HA: &str = r#"
case "$1" in
start) echo 'Requesting HA start for CT 101'; rm -f "$dir/looks" ;;
status)
    echo x >> "$dir/looks"
    if [ "$(wc -l < "$dir/looks")" -ge 2 ] && [ ! -e "$dir/never" ]; then echo 'status: running'; else echo 'status: stopped'; fi
    echo 'vmid: 101' ;;
esac
"#;

#[test]
fn trap_ha_async() {
    let Some(pvect) = Pvect::new("trap_ha_async", HA) else { return };
    insta::assert_snapshot!(pvect.run(&["start", "101"]), @r"
    [0]
    !Requesting HA start for CT 101
    !waiting for the HA manager
    ");
    assert_eq!(pvect.asked(), "start 101\nstatus 101 --verbose 1\nstatus 101 --verbose 1\n");
    insta::assert_snapshot!(pvect.run(&["start", "101", "--no-wait"]), @r"
    [0]
    !Requesting HA start for CT 101
    ");
    assert_eq!(pvect.asked(), "start 101\n");
    fs::write(pvect.file("never"), "").unwrap();
    let output = pvect.run(&["--timeout", "2", "start", "101"]);
    assert!(output.starts_with("[6]\n") && output.contains("the container is still stopped"), "{output}");
}

#[test]
fn trap_reboot_locked() {
    let script = "case $1 in status) printf 'lock: backup\\nstatus: running\\nvmid: 101\\n' ;; esac";
    let Some(pvect) = Pvect::new("trap_reboot_locked", script) else { return };
    insta::assert_snapshot!(pvect.run(&["reboot", "101"]), @r"
    [4]
    !error: the container is locked (backup): a reboot would stop it and could not start it again
    !hint: `pvect unlock 101` removes a lock that nothing holds any more; --force reboots all the same
    ");
    assert_eq!(pvect.asked(), "status 101 --verbose 1\n");
    assert_eq!(pvect.run(&["reboot", "101", "--force"]), "[0]\n");
    assert_eq!(pvect.asked(), "reboot 101\n");
}

#[test]
fn trap_rollback_kills() {
    let script = "case $1 in status) printf 'status: running\\nvmid: 101\\n' ;; esac";
    let Some(pvect) = Pvect::new("trap_rollback_kills", script) else { return };
    insta::assert_snapshot!(pvect.run(&["rollback", "101", "before"]), @r"
    [4]
    !error: the container is running: a rollback would kill all its processes
    !hint: `pvect shutdown 101` ends it cleanly; --force kills it
    ");
    assert_eq!(pvect.asked(), "status 101 --verbose 1\n");
    assert_eq!(pvect.run(&["rollback", "101", "before", "--force"]), "[0]\n");
    assert_eq!(pvect.asked(), "rollback 101 before\n");
}

#[test]
fn trap_unpriv_default_is_explicit() {
    let Some(pvect) = Pvect::new("trap_unpriv_default_is_explicit", "exit 0") else { return };
    let asked = |words: &[&str]| {
        assert_eq!(pvect.run(words), "[0]\n");
        pvect.asked()
    };
    assert_eq!(
        asked(&["create", "101", "local:vztmpl/x.tar.zst"]),
        "create 101 local:vztmpl/x.tar.zst --unprivileged 1\n"
    );
    let words = ["create", "101", "local:vztmpl/x.tar.zst", "--unprivileged", "no"];
    assert_eq!(asked(&words), "create 101 local:vztmpl/x.tar.zst --unprivileged 0\n");
    // A backup says it itself.
    assert_eq!(asked(&["restore", "101", "local:backup/x.tar.zst"]), "restore 101 local:backup/x.tar.zst\n");
}

/// What Proxmox VE stores is not what it was given.
const STORED: &str = r#"
case "$1" in
config) printf 'description: line one%%0Aline two%%0A\ntags: prod;web\nmemory: 512\nonboot: 1\n' ;;
esac
"#;

#[test]
fn trap_desc_newline() {
    let Some(pvect) = Pvect::new("trap_desc_newline", STORED) else { return };
    let set = |text: &str| {
        assert!(pvect.run(&["set", "101", "--if-changed", "--description", text]).starts_with("[0]\n"));
        pvect.asked().contains("\nset ")
    };
    assert!(!set("line one\nline two"));
    assert!(!set("line one\nline two\n"));
    assert!(set("line one"));
}

#[test]
fn trap_tags_normalised() {
    let Some(pvect) = Pvect::new("trap_tags_normalised", STORED) else { return };
    let words = ["set", "101", "--if-changed", "--tags", "Web,prod", "--onboot", "yes", "--memory", "1024"];
    assert_eq!(pvect.run(&words), "[0]\n");
    assert_eq!(pvect.asked(), "config 101\nset 101 --memory 1024\n");
    assert_eq!(pvect.run(&["set", "101", "--if-changed", "--tags", "WEB prod"]), "[0]\n");
    assert_eq!(pvect.asked(), "config 101\n");
}

#[test]
fn trap_swap_default_is_zero() {
    let Some(pvect) = Pvect::new("trap_swap_default_is_zero", STORED) else { return };
    pvect.run(&["set", "101", "--if-changed", "--swap", "0"]);
    assert_eq!(pvect.asked(), "config 101\n");
    pvect.run(&["set", "101", "--if-changed", "--swap", "512"]);
    assert_eq!(pvect.asked(), "config 101\nset 101 --swap 512\n");
}

/// The node's own files are read, whatever pct would say to them.
#[test]
fn trap_stored_values() {
    let Some(pvect) = Pvect::new("trap_stored_values", "exit 1\n") else { return };
    let configs = pvect.file("root/etc/pve/nodes/pve1/lxc");
    fs::create_dir_all(&configs).unwrap();
    fs::write(configs.join("101.conf"), "cores: abc\nhostname: web\nmemory: 0\n").unwrap();
    fs::write(configs.join("102.conf"), "hostname: db\n").unwrap();
    let root = pvect.file("root");
    let run = |words: &[&str]| {
        let mut command = pvect.command(words);
        let output = command.env("PVECT_ROOT", &root).env("PVECT_NODE", "pve1").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let warning =
        "warning: vm 101 - unable to parse value of 'cores' - type check ('integer') failed - got 'abc'\n";
    let (status, shown, warned) = run(&["list"]);
    assert_eq!((status, warned.as_str()), (Some(0), warning));
    assert!(shown.contains("web") && shown.contains("db"), "{shown}");
    let config = run(&["config", "101"]);
    let lines = "cores: abc\nhostname: web\nmemory: 0\n".to_owned();
    assert_eq!(config, (Some(0), lines, warning.to_owned()));
    assert_eq!(run(&["status", "101"]), (Some(0), "status: stopped\n".to_owned(), warning.to_owned()));
    let (status, shown, warned) = run(&["list", "-o", "json"]);
    assert_eq!((status, warned.as_str()), (Some(0), warning), "stderr is for warnings, whatever stdout is");
    assert!(shown.starts_with('['), "{shown}");
    assert_eq!(run(&["config", "101", "-o", "json"]).2, warning);
    assert_eq!(run(&["config", "102"]).2, "");
}

/// What a pct says while it is only read would otherwise end in a stream that nobody looks at.
#[test]
fn trap_stored_values_where_pct_reads() {
    let fake = r#"echo "vm 101 - unable to parse value of 'foo' - unknown setting 'foo'" >&2
case "$1" in
list) echo "VMID       Status     Lock         Name"; echo "101        stopped                 web" ;;
status) printf 'status: stopped\nvmid: 101\n' ;;
*) echo "hostname: web" ;;
esac
"#;
    let Some(pvect) = Pvect::new("trap_stored_values_where_pct_reads", fake) else { return };
    let warning = "warning: vm 101 - unable to parse value of 'foo' - unknown setting 'foo'\n";
    for words in [
        &["list"][..],
        &["list", "-o", "json"],
        &["list", "-o", "plain"],
        &["config", "101"],
        &["config", "101", "-o", "yaml"],
        &["status", "101", "-o", "table"],
    ] {
        let output = pvect.command(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), warning), "{words:?}");
    }
}
