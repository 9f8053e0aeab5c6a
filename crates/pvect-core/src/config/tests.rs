use super::*;
use crate::property::MountSource;

/// A configuration with everything in it, as Proxmox VE writes it.
const FULL: &str = "\
#a description line
#second%3A line %25
arch: amd64
cpulimit: 1.5
cpuunits: 200
hostname: db-server
lock: backup
memory: 2048
mp0: local:102/vm-102-disk-1.raw,mp=/data,backup=1,size=8G
nameserver: 1.1.1.1 8.8.8.8
net0: name=eth0,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:AA:BB:02,ip=10.0.0.2/24,type=veth
ostype: alpine
parent: snap1
protection: 1
rootfs: local:102/vm-102-disk-0.raw,size=2G
searchdomain: example.org
swap: 0
lxc.environment.runtime: A=1
lxc.environment.runtime: B=two words
lxc.apparmor.profile: unconfined
lxc.mount.entry: /dev/net/tun dev/net/tun none bind,create=file

[pve:pending]
cores: 2
delete: nameserver
memory: 4096

[snap1]
#snapshot text
arch: amd64
hostname: db-old
memory: 1024
ostype: alpine
rootfs: local:102/vm-102-disk-0.raw,size=2G
snaptime: 1700000000
swap: 0
";

fn parsed(text: &str) -> ContainerConfig {
    let (config, warnings) = ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap();
    assert_eq!(warnings, [], "{text}");
    config
}

fn warned(text: &str) -> (ContainerConfig, Vec<String>) {
    let (config, warnings) = ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap();
    (config, warnings.into_iter().map(|warning| format!("{}: {}", warning.line, warning.text)).collect())
}

#[test]
fn an_unchanged_file_is_written_byte_for_byte() {
    assert_eq!(parsed(FULL).to_text().unwrap(), FULL);
    for text in [
        "",
        "arch: amd64\n",
        "mp10: local:1/a.raw,mp=/b\nmp2: local:1/b.raw,mp=/a\nrootfs: local:1/c.raw\n",
        "#\n#after an empty line\nhostname: a\n",
        "hostname: a\n\n[pve:pending]\ndelete: !mp0,swap\n",
        "hostname: a\n\n[pve:pending]\ndelete: swap; cores\n",
        "hostname: a\n\n[one]\nsnapstate: prepare\nsnaptime: 5\n\n[two]\nparent: one\n",
        "memory: 512\nlxc.cap.drop: \n",
    ] {
        assert_eq!(parsed(text).to_text().unwrap(), text);
    }
}

#[test]
fn what_the_sections_hold() {
    let config = parsed(FULL);
    assert_eq!(config.main.description.as_deref(), Some("a description line\nsecond: line %\n"));
    assert_eq!(config.main.env, ["A=1", "B=two words"]);
    assert_eq!(config.main.get("env").unwrap(), "A=1\0B=two words");
    assert_eq!(config.main.raw[0], ("lxc.apparmor.profile".to_owned(), "unconfined".to_owned()));
    let pending = config.pending.as_ref().unwrap();
    assert_eq!(pending.keys(), ["cores", "memory"]);
    assert_eq!(pending.delete, [PendingDelete { key: "nameserver".to_owned(), force: false }]);
    assert_eq!(config.snapshots["snap1"].description.as_deref(), Some("snapshot text\n"));
    assert_eq!(config.lock(), Some(crate::Lock::Backup));
    assert_eq!(config.name("102".parse().unwrap()), "db-server");
}

#[test]
fn comments_count_wherever_they_stand_and_old_descriptions_too() {
    let config =
        parsed("#one\nmemory: 512\n#two %C3%BC\n[snap]\n#three\nmemory: 16\ndescription: four%3A\n#five\n");
    assert_eq!(config.main.description.as_deref(), Some("one\ntwo ü\n"));
    assert_eq!(config.snapshots["snap"].description.as_deref(), Some("three\nfour:five\n"));
}

#[test]
fn values_are_normalised_as_proxmox_does() {
    let config =
        parsed("onboot: yes\nconsole: OFF\nmemory: 0512\nhostname:   web  \t\r\nlxc.idmap = u 0 1 2\n");
    assert_eq!(
        config.to_text().unwrap(),
        "console: 0\nhostname: web\nmemory: 512\nonboot: 1\nlxc.idmap: u 0 1 2\n"
    );
}

#[test]
fn values_outside_the_schema_are_kept_with_a_warning() {
    let (config, warnings) = warned(
        "memory: abc\nfuture: thing\nonboot: maybe\nnet0: bridge=vmbr0,bogus=1\nhostname: bad_name\ncpulimit: -1\n",
    );
    assert_eq!(
        warnings,
        [
            "1: unable to parse value of 'memory' - type check ('integer') failed - got 'abc'",
            "2: unable to parse value of 'future' - unknown setting 'future'",
            "3: unable to parse value of 'onboot' - type check ('boolean') failed - got 'maybe'",
            "4: unable to parse value of 'net0' - format error\n\
             name: property is missing and it is not optional\n\
             bogus: property is not defined in schema and the schema does not allow additional properties",
            "5: unable to parse value of 'hostname' - value does not look like a valid DNS name",
            "6: unable to parse value of 'cpulimit' - type check ('number') failed - got '-1'",
        ]
    );
    assert_eq!(
        config.to_text().unwrap(),
        "cpulimit: -1\nfuture: thing\nhostname: bad_name\nmemory: abc\nnet0: bridge=vmbr0,bogus=1\nonboot: maybe\n"
    );
}

#[test]
fn bounds_words_and_patterns_are_not_checked_in_a_file() {
    parsed(
        "memory: 1\narch: mips\nlock: from-the-future\ncores: 99999\nentrypoint: a\u{1}b\nparent: ab\nsnaptime: 1\n",
    );
}

#[test]
fn what_breaks_the_grammar_is_left_out_with_a_warning() {
    let (config, warnings) = warned(
        "nonsense\ndelete: swap\nMemory: 512\nlxc.bogus: 1\nlxc.rootfs.path: /\n[x]\nsnapshots: 1\nkey:\nmemory: 16\n",
    );
    assert_eq!(
        warnings,
        [
            "1: unable to parse config: nonsense",
            "2: property 'delete' is only allowed in [pve:pending]",
            "3: unable to parse config: Memory: 512",
            "4: unable to parse config: lxc.bogus: 1",
            "5: lxc.rootfs.path: lxc.rootfs.path is auto generated from rootfs",
            "6: unable to parse config: [x]",
            "7: unable to parse value of 'snapshots' - unknown setting 'snapshots'",
            "8: unable to parse config: key:",
        ]
    );
    assert_eq!(config.to_text().unwrap(), "memory: 16\n");
    let strict = ContainerConfig::parse(b"memory: 16\nnonsense\n", ParseMode::Strict);
    let what = "unable to parse config: nonsense".to_owned();
    assert_eq!(strict, Err(ConfigError::Line { line: 2, what }));
}

#[test]
fn deprecated_raw_keys_are_kept_even_by_the_strict_reader() {
    let text = "lxc.id_map: u 0 1 2\nlxc.cgroup.cpu.shares: 5\nlxc.limit.nofile: 9\n";
    let (config, warnings) = ContainerConfig::parse(text.as_bytes(), ParseMode::Strict).unwrap();
    let warnings: Vec<_> = warnings.into_iter().map(|warning| warning.text).collect();
    assert_eq!(
        warnings,
        [
            "lxc.id_map is deprecated and was renamed to lxc.idmap",
            "lxc.cgroup.cpu.shares is deprecated, this will be a hard error in the future!",
            "lxc.limit.nofile: lxc.limit.* was renamed to lxc.prlimit.*",
        ]
    );
    assert_eq!(config.to_text().unwrap(), text);
}

#[test]
fn bytes_that_are_no_utf8_are_an_error() {
    let error = ContainerConfig::parse(b"#ok\n\xff", ParseMode::Lenient).unwrap_err();
    assert_eq!(error, ConfigError::NotUtf8 { offset: 4 });
}

#[test]
fn the_writer_drops_unused_volumes_in_use_and_refuses_line_breaks() {
    let mut config =
        parsed("rootfs: local:1/a.raw,size=1G\nunused0: local:1/a.raw\nunused1: local:1/b.raw\n");
    assert_eq!(config.to_text().unwrap(), "rootfs: local:1/a.raw,size=1G\nunused1: local:1/b.raw\n");
    config.main.set("hostname", "a\nprotection: 0");
    assert_eq!(config.to_text(), Err(ConfigError::LineBreak { key: "hostname".to_owned() }));
}

const OUTPUT: &str = "\
arch: amd64
cores: 2
cpulimit: 1.5
cpuunits: 200
description: a description line%0Asecond%3A line %25%0A
env: A=1\0B=two words
hostname: db-server
lock: backup
memory: 4096
mp0: local:102/vm-102-disk-1.raw,mp=/data,backup=1,size=8G
net0: name=eth0,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:AA:BB:02,ip=10.0.0.2/24,type=veth
ostype: alpine
parent: snap1
protection: 1
rootfs: local:102/vm-102-disk-0.raw,size=2G
searchdomain: example.org
swap: 0
lxc.apparmor.profile: unconfined
lxc.mount.entry: /dev/net/tun dev/net/tun none bind,create=file
";

/// Trap `nul-output`: the output of `pct config` may contain NUL.
#[test]
fn the_output_of_config_is_printed_and_parsed() {
    assert_eq!(parsed(FULL).merged().to_output(), OUTPUT);
    let config = ContainerConfig::parse_output(OUTPUT.as_bytes()).unwrap();
    assert_eq!(config.main, parsed(FULL).merged());
    assert_eq!(config.main.to_output(), OUTPUT);
    assert_eq!(
        parsed(FULL).snapshots["snap1"].to_output(),
        "arch: amd64\ndescription: snapshot text%0A\nhostname: db-old\nmemory: 1024\nostype: alpine\n\
         rootfs: local:102/vm-102-disk-0.raw,size=2G\nsnaptime: 1700000000\nswap: 0\n"
    );
    let error = ContainerConfig::parse_output(b"arch: amd64\nno key here\n").unwrap_err();
    assert_eq!(error, ConfigError::Line { line: 2, what: "no 'key: value'".to_owned() });
}

#[test]
fn pending_is_printed_as_pct_prints_it() {
    assert_eq!(
        pending_output(&parsed(FULL).pending_items()),
        "cur arch: amd64\nnew cores: 2\ncur cpulimit: 1.5\ncur cpuunits: 200\n\
         cur description: a description line%0Asecond%3A line %25%0A\ncur env: A=1\0B=two words\n\
         cur hostname: db-server\ncur lock: backup\ncur memory: 2048\nnew memory: 4096\n\
         cur mp0: local:102/vm-102-disk-1.raw,mp=/data,backup=1,size=8G\ndel nameserver: 1.1.1.1 8.8.8.8\n\
         cur net0: name=eth0,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:AA:BB:02,ip=10.0.0.2/24,type=veth\n\
         cur ostype: alpine\ncur parent: snap1\ncur protection: 1\n\
         cur rootfs: local:102/vm-102-disk-0.raw,size=2G\ncur searchdomain: example.org\ncur swap: 0\n"
    );
}

#[test]
fn pending_changes_that_change_nothing_are_dropped() {
    let mut config = parsed("memory: 512\n\n[pve:pending]\ndelete: swap,memory\nhostname: a\nmemory: 512\n");
    assert!(config.cleanup_pending());
    let text = "memory: 512\n\n[pve:pending]\ndelete: memory\nhostname: a\n";
    assert_eq!(config.to_text().unwrap(), text);
    assert!(!config.cleanup_pending());
    let mut config = parsed("memory: 512\n\n[pve:pending]\nmemory: 512\n");
    assert!(config.cleanup_pending());
    assert_eq!(config.to_text().unwrap(), "memory: 512\n");
}

#[test]
fn deletions_are_added_sorted_and_taken_back() {
    let mut section = Section::default();
    section.add_delete("swap", false);
    section.add_delete("cores", true);
    section.add_delete("swap", true);
    assert_eq!(print_delete(&section.delete), "!cores,!swap");
    assert!(section.remove_delete("cores"));
    assert!(!section.remove_delete("cores"));
    assert_eq!(print_delete(&section.delete), "!swap");
    assert_eq!(parse_delete("!a, b;a\tc"), parse_delete("a b c"));
}

#[test]
fn the_digest_is_the_sha1_of_the_bytes() {
    assert_eq!(ContainerConfig::digest(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(ContainerConfig::digest(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

#[test]
fn snapshots_come_parents_first() {
    let names = |text: &str| -> Vec<String> {
        parsed(text).snapshot_entries().into_iter().map(|entry| entry.name.to_string()).collect()
    };
    let text = "[aa]\nparent: zz\nsnaptime: 3\n[bb]\nparent: aa\nsnaptime: 9\n[cc]\nparent: aa\nsnaptime: 4\n\
                [dd]\nparent: gone\nsnaptime: 8\n[zz]\nsnaptime: 1\n";
    assert_eq!(names(text), ["zz", "aa", "cc", "bb", "dd"]);
    assert_eq!(names("[aa]\nparent: bb\n[bb]\nparent: aa\n[cc]\n"), ["cc", "aa", "bb"]);
    assert_eq!(names("[ab]\n[aa]\n"), ["aa", "ab"]);
}

/// Traps `swap-default` and `unpriv-default`: an absent key is not the default of `create`.
#[test]
fn absent_keys_mean_what_proxmox_means() {
    let config = parsed("arch: amd64\n");
    assert_eq!((config.memory_mib(), config.swap_mib()), (512, 0));
    assert!(!config.is_unprivileged());
    assert_eq!(config.id_maps().unwrap(), []);
    assert_eq!((config.cores(), config.cpulimit(), config.cpuunits()), (None, None, None));
    assert_eq!((config.main.tty_count(), config.main.cmode(), config.main.has_console()), (2, "tty", true));
    assert_eq!(config.main.entrypoint(), "/sbin/init");
    assert_eq!(config.features(), crate::property::Features::default());
    assert_eq!(parsed("cpulimit: 0\n").cpulimit(), None);
    assert_eq!(parsed("cpulimit: 1.5\n").cpulimit(), Some(1.5));
}

#[test]
fn id_maps_of_raw_lines_replace_the_default() {
    let maps = parsed("unprivileged: 1\n").id_maps().unwrap();
    assert_eq!(maps, IdMap::unprivileged(IdMap::BASE));
    let text = "unprivileged: 1\nlxc.idmap: u 0 200000 1000\nlxc.idmap: g  0 300000\t1000\n";
    let maps = parsed(text).id_maps().unwrap();
    assert_eq!(maps[0], IdMap { user: true, container: 0, host: 200_000, count: 1000 });
    assert_eq!(maps[1], IdMap { user: false, container: 0, host: 300_000, count: 1000 });
    let error = parsed("lxc.idmap: x 0 1 2\n").id_maps().unwrap_err();
    assert_eq!(error.to_string(), "failed to parse idmap: x 0 1 2");
}

#[test]
fn volumes_and_interfaces_come_in_the_order_of_their_indices() {
    let config = parsed(
        "mp10: local:1/a.raw,mp=/b\nmp2: /srv,mp=/a\nnet10: name=eth10\nnet9: name=eth9\nrootfs: local:1/c.raw\n\
         dev1: /dev/fuse\ndev0: /dev/null\n",
    );
    let volumes = config.volumes();
    let keys: Vec<_> = volumes.iter().map(|(key, volume)| (key.as_str(), volume.path.as_str())).collect();
    assert_eq!(keys, [("rootfs", "/"), ("mp2", "/a"), ("mp10", "/b")]);
    assert_eq!(volumes[1].1.fs.source, MountSource::Bind("/srv".to_owned()));
    assert_eq!(config.mount_points()[1].0, 10);
    assert_eq!(config.nets().iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["net9", "net10"]);
    assert_eq!(config.devices()[0].1.path, "/dev/null");
}
