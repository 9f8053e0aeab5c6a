//! Calls as argv and as pct reports what is wrong with them.

use super::*;
use crate::schema::Report;

fn vmid() -> Vmid {
    "101".parse().unwrap()
}

#[test]
fn argv_has_arguments_options_and_command_in_order() {
    let call = Call::on(Verb::Exec, vmid()).flag("keep-env", false).command(["ls", "-la"]);
    assert_eq!(call.argv(), ["exec", "101", "--keep-env", "0", "--", "ls", "-la"]);
}

#[test]
fn a_secret_is_in_no_argv_and_no_debug() {
    let call = Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar").secret("password", "hunter22".into());
    assert_eq!(call.argv(), ["create", "101", "local:vztmpl/x.tar", "--password"]);
    assert!(!format!("{call:?}").contains("hunter22"));
    let call = Call::on(Verb::Create, vmid()).option("password", "hunter22");
    assert!(!call.masked_argv().join(" ").contains("hunter22"));
}

/// pct's report of a call that breaks the schema or a rule.
fn report(call: Call) -> String {
    Report::new(&call.checked().unwrap_err()).text
}

fn set(name: &str, value: &str) -> Call {
    Call::on(Verb::Set, vmid()).option(name, value)
}

const HEAD: &str = "400 Parameter verification failed.\n";

#[test]
fn a_good_call_is_made_canonical() {
    let call = set("onboot", "Yes")
        .option("memory", "256")
        .option("debug", "")
        .option("net0", "name=eth0,firewall=on");
    let call = call.checked().unwrap();
    assert_eq!(
        call.argv(),
        ["set", "101", "--onboot", "1", "--memory", "256", "--debug", "1", "--net0", "name=eth0,firewall=on"]
    );
}

#[test]
fn violations_are_reported_in_pcts_words() {
    for (name, value, text) in [
        ("memory", "abc", "memory: type check ('integer') failed - got 'abc'"),
        ("memory", "8", "memory: value must have a minimum value of 16"),
        ("memory", "-5", "memory: value must have a minimum value of 16"),
        ("memory", "256.5", "memory: type check ('integer') failed - got '256.5'"),
        ("cores", "0", "cores: value must have a minimum value of 1"),
        ("cores", "9999", "cores: value must have a maximum value of 8192"),
        ("cpulimit", "99999", "cpulimit: value must have a maximum value of 8192"),
        ("cpulimit", "x", "cpulimit: type check ('number') failed - got 'x'"),
        ("hostname", "bad_name", "hostname: invalid format - value does not look like a valid DNS name"),
        ("hostname", "-x", "hostname: invalid format - value does not look like a valid DNS name"),
        ("tags", "bad!tag", "tags: invalid format - invalid characters in tag"),
        ("nameserver", "x", "nameserver: invalid format - value does not look like a valid IP address"),
        ("startup", "bogus", "startup: invalid format - unable to parse startup options"),
        ("timezone", "../etc/passwd", "timezone: invalid format - invalid time zone '../etc/passwd'"),
        ("hookscript", "x", "hookscript: invalid format - unable to parse volume ID 'x'"),
        ("entrypoint", "", "entrypoint: value does not match the regex pattern"),
        (
            "lock",
            "bogus",
            "lock: value 'bogus' does not have a value in the enumeration 'backup, create, destroyed, disk, \
             fstrim, migrate, mounted, rollback, snapshot, snapshot-delete'",
        ),
        (
            "digest",
            "00000000000000000000000000000000000000000",
            "digest: value may only be 40 characters long",
        ),
        ("delete", "x", "delete: invalid format - invalid configuration ID 'x'"),
        (
            "net0",
            "bogus",
            "net0: invalid format - value without key, but schema does not define a default key",
        ),
        (
            "net0",
            "bridge=vmbr0",
            "net0: invalid format - format error\nnet0.name: property is missing and it is not optional",
        ),
        (
            "net0",
            "name=eth0,bridge=vmbr0,ip=10.0.0.5",
            "net0: invalid format - format error\n\
             net0.ip: invalid format - value does not look like a valid ipv4 network configuration",
        ),
        (
            "net0",
            "name=eth0,bogus=1",
            "net0: invalid format - format error\nnet0.bogus: property is not defined in schema and the schema \
             does not allow additional properties",
        ),
        (
            "net0",
            "name=eth0,hwaddr=zz",
            "net0: invalid format - format error\n\
             net0.hwaddr: invalid format - value does not look like a valid unicast MAC address",
        ),
        (
            "dev0",
            "/no/such",
            "dev0: invalid format - format error\n\
             dev0.path: invalid format - /no/such is not a valid device path",
        ),
        (
            "mp2",
            "local:1",
            "mp2: invalid format - format error\nmp2.mp: property is missing and it is not optional",
        ),
    ] {
        assert_eq!(report(set(name, value)), format!("{HEAD}{text}\n"), "{name}={value}");
    }
}

#[test]
fn vmids_are_refused_in_pcts_words() {
    let format = "vmid: invalid format - value does not look like a valid VM ID";
    for id in ["99", "1000000000", "0101", "+101", "-5", "9999999999999999999999"] {
        assert_eq!(report(Call::new(Verb::Status).arg(id)), format!("{HEAD}{format}\n"), "{id}");
    }
    for id in ["abc", "1e3", " 101", "", "101.5", "0x65", "../101", "101\n"] {
        let text = format!("{HEAD}vmid: type check ('integer') failed - got '{id}'\n");
        assert_eq!(report(Call::new(Verb::Status).arg(id)), text);
    }
}

#[test]
fn the_other_kinds_of_report() {
    for (call, text) in [
        (Call::on(Verb::Create, vmid()), "400 not enough arguments\n"),
        (Call::on(Verb::Set, vmid()).arg("memory").arg("256"), "400 too many arguments\n"),
        (set("onboot", "maybe"), "400 unable to parse boolean option\n"),
        (set("bogus", "1").option("memory", "1"), "Unknown option: bogus\n400 unable to parse option\n"),
        (set("net32", "name=eth0"), "Unknown option: net32\n400 unable to parse option\n"),
        (Call::on(Verb::Set, vmid()), "no options specified\n"),
        (set("digest", &"0".repeat(40)), "no options specified\n"),
        (set("unprivileged", "1"), "unable to modify read-only option: 'unprivileged'\n"),
    ] {
        assert_eq!(report(call), text);
    }
    let report = |call: Call| Report::new(&call.checked().unwrap_err());
    assert!(!report(Call::on(Verb::Set, vmid())).usage);
    assert!(report(set("memory", "x")).usage);
}

#[test]
fn options_that_exclude_each_other() {
    let both = Call::on(Verb::Config, vmid()).flag("current", true).option("snapshot", "snap1");
    assert_eq!(
        report(both),
        format!(
            "{HEAD}snapshot: cannot use 'snapshot' parameter with 'current'\n\
             current: cannot use 'snapshot' parameter with 'current'\n"
        )
    );
    let one = Call::on(Verb::Config, vmid()).flag("current", false).option("snapshot", "snap1");
    assert!(one.checked().is_ok());
    assert_eq!(
        report(set("hostname", "x").option("delete", "hostname")),
        format!("{HEAD}delete: you can't use '-hostname' and -delete hostname' at the same time\n")
    );
    assert_eq!(
        report(set("delete", "swap").option("revert", "swap")),
        format!("{HEAD}delete: you can't use '-delete swap' and '-revert swap' at the same time\n")
    );
    assert_eq!(report(set("delete", "bogus")), format!("{HEAD}delete: unknown option 'bogus'\n"));
    assert!(set("delete", "mp1,onboot net0").checked().is_ok());
    let create = Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar").flag("unique", true);
    assert_eq!(report(create), format!("{HEAD}restore: missing property required by 'unique'\n"));
    let text = "both 'storage' and 'target-vmid' missing, either needs to be set";
    assert_eq!(
        report(Call::on(Verb::MoveVolume, vmid()).arg("rootfs")),
        format!("{HEAD}target-vmid: {text}\nstorage: {text}\n")
    );
}

#[test]
fn arguments_of_other_verbs() {
    for (call, text) in [
        (
            Call::on(Verb::Snapshot, vmid()).arg(""),
            "snapname: invalid format - invalid configuration ID ''".to_owned(),
        ),
        (
            Call::on(Verb::Snapshot, vmid()).arg("bad name"),
            "snapname: invalid format - invalid configuration ID 'bad name'".to_owned(),
        ),
        (
            Call::on(Verb::Snapshot, vmid()).arg("a".repeat(41)),
            "snapname: value may only be 40 characters long".to_owned(),
        ),
        (
            Call::on(Verb::Resize, vmid()).arg("rootfs").arg("abc"),
            "size: value does not match the regex pattern".to_owned(),
        ),
        (
            Call::on(Verb::Clone, vmid()).arg("50"),
            "newid: invalid format - value does not look like a valid VM ID".to_owned(),
        ),
        (
            Call::on(Verb::Shutdown, vmid()).option("timeout", "abc"),
            "timeout: type check ('integer') failed - got 'abc'".to_owned(),
        ),
    ] {
        assert_eq!(report(call), format!("{HEAD}{text}\n"));
    }
    let keys: Vec<String> = (0..256).map(|index| format!("mp{index}")).collect();
    assert_eq!(
        report(Call::on(Verb::Resize, vmid()).arg("bogus").arg("+1G")),
        format!(
            "{HEAD}disk: value 'bogus' does not have a value in the enumeration 'rootfs, {}'\n",
            keys.join(", ")
        )
    );
    assert!(Call::on(Verb::Resize, vmid()).arg("mp7").arg("+1.5G").checked().is_ok());
    let missing =
        Call::on(Verb::RemoteMigrate, vmid()).arg("102").arg("host=h,apitoken=t").checked().unwrap_err();
    let names: Vec<_> = missing.iter().map(|violation| violation.name.as_str()).collect();
    assert_eq!(names, ["target-bridge", "target-storage"]);
}

#[test]
fn secrets_are_in_no_violation() {
    let create = Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar");
    let found = create.secret("password", "tiny".into()).checked().unwrap_err();
    assert_eq!(found[0].pct_text(), "password: value must be at least 5 characters long");
    assert!(!format!("{found:?}").contains("tiny"));
    let migrate = Call::on(Verb::RemoteMigrate, vmid()).arg("102").arg("host=h!,apitoken=hunter22");
    let found = migrate.checked().unwrap_err();
    assert!(!format!("{found:?}").contains("hunter22"), "{found:?}");
    let migrate = Call::on(Verb::RemoteMigrate, vmid()).arg("102").arg("hunter22");
    assert!(!format!("{:?}", migrate.checked().unwrap_err()).contains("hunter22"));
}

#[test]
fn an_unknown_option_names_the_nearest() {
    let text = |name: &str| set(name, "1").checked().unwrap_err()[0].to_string();
    assert_eq!(text("memroy"), "--memroy: pct set has no such option; did you mean --memory?");
    assert_eq!(text("nets0"), "--nets0: pct set has no such option; did you mean --net0?");
    assert_eq!(text("net99"), "--net99: pct set has no such option; did you mean --net[n]?");
    assert_eq!(text("host"), "--host: pct set has no such option; did you mean --hostname?");
    assert_eq!(text("zzzzzz"), "--zzzzzz: pct set has no such option");
}

#[test]
fn shell_quoting_leaves_plain_words() {
    assert_eq!(shell_quoted(&["pct", "exec", "a b", "it's", ""]), r"pct exec 'a b' 'it'\''s' ''");
}
