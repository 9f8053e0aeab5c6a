use pvect_core::config::ParseMode;
use pvect_native::{Cgroups, Names};

use super::*;

/// A machine of files: LXC's configurations, cgroups of version 2, one bridge.
fn host(apparmor: bool) -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (path, text) in [
        ("share/common.conf", ""),
        ("share/userns.conf", ""),
        ("share/alpine.common.conf", ""),
        ("share/alpine.userns.conf", ""),
        ("cgroup/cgroup.controllers", "memory\n"),
        ("net/vmbr0/mtu", "1500\n"),
        ("net/vmbr0/bridge/vlan_filtering", "0\n"),
        ("net/vmbr1/mtu", "9000\n"),
        ("net/vmbr1/bridge/vlan_filtering", "1\n"),
        ("net/eth0/mtu", "1500\n"),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let host = Host {
        names: Names::new("/var/lib/pvect/lib/lxc"),
        cgroups: Cgroups::new(root.join("cgroup")),
        share: root.join("share"),
        net: root.join("net"),
        apparmor: if apparmor { AppArmor::On { mqueue: true, userns: true } } else { AppArmor::Off },
        lxcfs: if apparmor { vec![("mount", "/usr/share/lxcfs/lxc.mount.hook".into())] } else { Vec::new() },
        syscalld: apparmor.then(|| "/run/pve-lxc-syscalld/socket".into()),
    };
    (dir, host)
}

/// The lines that clear the hooks of the included files.
fn cleared() -> String {
    HOOKS.iter().map(|kind| format!("lxc.hook.{kind} = \n")).collect()
}

fn generated(host: &Host, config: &str) -> NodeResult<String> {
    let config = ContainerConfig::parse(config.as_bytes(), ParseMode::Lenient).unwrap().0;
    let text = text(
        host,
        Path::new("/var/lib/pvect/lib/lxc/202"),
        "202".parse().unwrap(),
        &config,
        None,
        Reader::Other,
    )?;
    Ok(text.replace(host.share.to_str().unwrap(), "/usr/share/lxc/config"))
}

/// A container as one of a Proxmox VE node.
const ALPINE: &str = "arch: amd64\nhostname: alp1\nmemory: 128\n\
    net0: name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:4B:99:7C,ip=10.10.10.11/24,type=veth\n\
    ostype: alpine\nfeatures: nesting=1\nrootfs: local:202/vm-202-disk-0.raw,size=1G\nswap: 64\n\
    unprivileged: 1\n";

#[test]
fn an_unprivileged_container_has_all_lines() {
    let (_dir, host) = host(true);
    assert_eq!(
        generated(&host, ALPINE).unwrap().replace(&cleared(), "(no hooks)\n"),
        "lxc.cgroup.relative = 0\n\
         lxc.cgroup.dir.monitor = lxc.monitor/202\n\
         lxc.cgroup.dir.container = lxc/202\n\
         lxc.cgroup.dir.container.inner = ns\n\
         lxc.arch = amd64\n\
         lxc.include = /usr/share/lxc/config/alpine.common.conf\n\
         lxc.include = /usr/share/lxc/config/alpine.userns.conf\n\
         lxc.cgroup2.devices.allow = a\n\
         (no hooks)\n\
         lxc.hook.mount = /usr/share/lxcfs/lxc.mount.hook\n\
         lxc.seccomp.profile = /var/lib/pvect/lib/lxc/202/rules.seccomp\n\
         lxc.apparmor.profile = generated\n\
         lxc.apparmor.raw = allow mqueue,\n\
         lxc.apparmor.allow_nesting = 1\n\
         lxc.apparmor.raw = allow userns,\n\
         lxc.mount.auto = sys:mixed\n\
         lxc.idmap = u 0 100000 65536\n\
         lxc.idmap = g 0 100000 65536\n\
         lxc.tty.max = 2\n\
         lxc.environment = TERM=linux\n\
         lxc.uts.name = alp1\n\
         lxc.cgroup2.memory.max = 134217728\n\
         lxc.cgroup2.memory.high = 133169152\n\
         lxc.cgroup2.memory.swap.max = 67108864\n\
         lxc.rootfs.path = dir:/var/lib/pvect/lib/lxc/202/rootfs\n\
         lxc.net.0.type = veth\n\
         lxc.net.0.veth.pair = veth202i0\n\
         lxc.net.0.hwaddr = BC:24:11:4B:99:7C\n\
         lxc.net.0.name = eth0\n\
         lxc.net.0.mtu = 1500\n\
         lxc.net.0.link = vmbr0\n"
    );
}

#[test]
fn a_privileged_container_without_apparmor() {
    let (_dir, host) = host(false);
    let text = generated(
        &host,
        "ostype: gentoo\nconsole: 0\ntty: 0\nentrypoint: /init -x\nfeatures: fuse=1,nesting=1\nrootfs: local:202/x.raw\n\
         dev0: /dev/null,deny-write=1\nlxc.environment.runtime: A=b c\nlxc.cap.drop: sys_time\n",
    )
    .unwrap();
    for line in [
        "lxc.include = /usr/share/lxc/config/common.conf\nlxc.hook.pre-start = \n",
        "lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0\n",
        "lxc.mount.entry = proc dev/.lxc/proc proc create=dir,optional 0 0\n",
        "lxc.mount.entry = shm dev/shm tmpfs rw,nosuid,nodev,create=dir 0 0\n",
        "lxc.cgroup2.devices.allow = c 1:3 r\nlxc.cgroup2.devices.deny = c 1:3 w\n",
        "lxc.mount.entry = /var/lib/pvect/lib/lxc/202/passthrough/dev0 dev/null none bind,create=file 0 0\n",
        "lxc.console.path = none\n",
        "lxc.tty.max = 0\n",
        "lxc.uts.name = CT202\n",
        "lxc.init.cmd = /init -x\n",
        "lxc.environment = A=b c\n",
        "lxc.cap.drop = sys_time\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    for word in ["apparmor", "idmap", "seccomp", "sys:mixed", "userns", "environment.runtime"] {
        assert!(!text.contains(word), "{word} is in\n{text}");
    }
}

#[test]
fn only_the_program_gets_the_environment_of_a_container() {
    let (_dir, host) = host(false);
    let stored =
        "entrypoint: /run 'a b'\nlxc.environment.runtime: LD_PRELOAD=/evil.so\nlxc.init.cmd: /other\n";
    let (config, _) = ContainerConfig::parse(stored.as_bytes(), ParseMode::Lenient).unwrap();
    let text =
        |reader| text(&host, Path::new("/n/202"), "202".parse().unwrap(), &config, None, reader).unwrap();
    let (start, other) = (text(Reader::Start), text(Reader::Other));
    assert!(!start.contains("LD_PRELOAD") && !start.contains("/other") && !start.contains("/run"), "{start}");
    assert!(start.ends_with("lxc.init.cmd = /dev/.pvect-init\n"), "{start}");
    assert!(other.contains("lxc.environment = LD_PRELOAD=/evil.so\n"), "{other}");
    for text in [&start, &other] {
        for file in ["init", "init.spec"] {
            let line = format!(
                "lxc.mount.entry = /n/202/{file} dev/.pvect-{file} none bind,ro,nosuid,nodev,create=file 0 0\n"
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}

#[test]
fn apparmor_gets_what_it_knows() {
    let (_dir, mut host) = host(true);
    let config = "features: nesting=1\n";
    assert!(generated(&host, config).unwrap().contains("lxc.apparmor.raw = allow userns,\n"));
    host.apparmor = AppArmor::On { mqueue: false, userns: false };
    let (parsed, _) = ContainerConfig::parse(config.as_bytes(), ParseMode::Lenient).unwrap();
    let quoted = text(&host, Path::new("/a \"b\"/202"), "202".parse().unwrap(), &parsed, None, Reader::Start)
        .unwrap_err();
    assert_eq!(quoted.text, "an AppArmor profile cannot have the path '/a \"b\"/202': it has a quote");
    let text = generated(&host, config).unwrap();
    assert!(text.contains("lxc.apparmor.profile = generated\nlxc.apparmor.allow_nesting = 1\n"), "{text}");
    assert!(!text.contains("mqueue") && !text.contains("userns,"), "{text}");
    host.apparmor = AppArmor::Unloadable;
    let text = generated(&host, config).unwrap();
    assert!(text.contains("lxc.apparmor.profile = unconfined\n") && !text.contains("apparmor.raw"), "{text}");
}

#[test]
fn own_id_maps_and_profiles_win() {
    let (_dir, host) = host(true);
    let text = generated(
        &host,
        "unprivileged: 1\nlxc.idmap: u 0 200000 1000\nlxc.idmap: g 0 200000 1000\n\
         lxc.apparmor.profile: unconfined\nlxc.seccomp.profile: /x\n",
    )
    .unwrap();
    assert_eq!(text.matches("lxc.idmap").count(), 2);
    assert!(text.contains("lxc.idmap = u 0 200000 1000\n"), "{text}");
    assert!(text.contains("lxc.apparmor.profile = unconfined\n") && !text.contains("generated"), "{text}");
    assert!(text.contains("lxc.seccomp.profile = /x\n") && !text.contains("rules.seccomp"), "{text}");
}

#[test]
fn networks_have_their_own_lines() {
    let (_dir, host) = host(false);
    let net = |value: &str| generated(&host, &format!("net1: {value}\n"));
    let down = net("name=eth1,bridge=vmbr1,link_down=1,mtu=1400").unwrap();
    assert!(down.contains("lxc.net.1.mtu = 1400\n") && !down.contains("lxc.net.1.link"), "{down}");
    let vlan = net("name=eth1,bridge=vmbr1,tag=7,trunks=8;9").unwrap();
    assert!(
        vlan.ends_with(
            "lxc.net.1.mtu = 9000\nlxc.net.1.link = vmbr1\nlxc.net.1.veth.vlan.id = 7\n\
             lxc.net.1.veth.vlan.tagged.id = 8\nlxc.net.1.veth.vlan.tagged.id = 9\n"
        ),
        "{vlan}"
    );
    let managed =
        net("name=eth1,bridge=vmbr0,host-managed=1,ip=10.0.0.2/24,gw=10.0.0.1,ip6=fd00::2/64").unwrap();
    assert!(
        managed.ends_with(
            "lxc.net.1.ipv4.address = 10.0.0.2/24\nlxc.net.1.ipv4.gateway = 10.0.0.1\n\
             lxc.net.1.ipv6.address = fd00::2/64\nlxc.net.1.flags = up\n"
        ),
        "{managed}"
    );
}

#[test]
fn what_the_host_lacks_is_named() {
    let (_dir, host) = host(false);
    for (config, text) in [
        ("net0: name=eth0,bridge=vmbr9\n", "bridge 'vmbr9' does not exist"),
        ("net0: name=eth0,bridge=eth0\n", "bridge 'eth0' does not exist"),
        ("net0: name=eth0,bridge=vmbr0,mtu=9000\n", "net0: MTU size '9000' is bigger than bridge MTU '1500'"),
        ("net0: name=eth0,bridge=vmbr0,tag=5\n", "net0: bridge 'vmbr0' is not VLAN aware"),
        ("net0: bogus\n", "unable to parse net0 'bogus'"),
        ("dev0: /dev/null,gid=video\n", "format error\ngid: type check ('integer') failed - got 'video'"),
        ("dev1: /dev/null,mode=666\n", "format error\nmode: value does not match the regex pattern"),
        (
            "features: nests=1\n",
            "format error\nnests: property is not defined in schema and the schema does not allow additional properties",
        ),
        ("dev0: /dev/no-such-device\n", "dev0: Device /dev/no-such-device does not exist"),
    ] {
        assert_eq!(generated(&host, config).unwrap_err().text, text);
    }
}

#[test]
fn no_value_makes_a_second_line() {
    let mut lines = Lines::default();
    assert!(lines.put("lxc.uts.name", "a\nlxc.hook.pre-start = /bin/evil").is_err());
    assert_eq!(lines.0, "");
}
