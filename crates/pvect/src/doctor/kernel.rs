//! What the kernel offers.

use std::fs;

use super::{Check, Host};

pub(super) fn all(host: &Host) -> Vec<Check> {
    vec![user_namespaces(host), loops(host), overlay(host), cgroups(host), sockets(host), apparmor(host)]
}

fn user_namespaces(host: &Host) -> Check {
    const NAME: &str = "user namespaces";
    let max = fs::read_to_string(host.proc.join("sys/user/max_user_namespaces")).unwrap_or_default();
    match max.trim() {
        _ if !host.proc.join("self/ns/user").exists() => {
            Check::fail(NAME, "this kernel has none", "use a kernel with CONFIG_USER_NS")
        }
        "0" => Check::fail(NAME, "none may be made", "sysctl user.max_user_namespaces=15000"),
        "" => Check::ok(NAME, "there"),
        max => Check::ok(NAME, format!("up to {max}")),
    }
}

fn loops(host: &Host) -> Check {
    const NAME: &str = "loop devices";
    if host.dev.join("loop-control").exists() {
        Check::ok(NAME, "there")
    } else {
        Check::warn(
            NAME,
            "there is no /dev/loop-control: only directories can hold containers",
            "modprobe loop",
        )
    }
}

fn overlay(host: &Host) -> Check {
    const NAME: &str = "overlayfs";
    let known = fs::read_to_string(host.proc.join("filesystems")).unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        Check::ok(NAME, "there")
    } else {
        Check::warn(NAME, "not loaded: container engines inside containers will be slow", "modprobe overlay")
    }
}

fn cgroups(host: &Host) -> Check {
    const NAME: &str = "cgroups";
    const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
    let root = host.sys.join("fs/cgroup");
    let (version, found): (&str, Vec<String>) = match fs::read_to_string(root.join("cgroup.controllers")) {
        Ok(text) => ("version 2", text.split_whitespace().map(str::to_owned).collect()),
        Err(_) => {
            let entries = fs::read_dir(&root).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            // A name with a comma is the mount, those without are links to it.
            let names = names.flat_map(|name| name.split(',').map(str::to_owned).collect::<Vec<_>>());
            ("version 1", names.collect())
        }
    };
    let missing: Vec<&str> =
        NEEDED.into_iter().filter(|name| !found.iter().any(|known| known == name)).collect();
    if found.is_empty() {
        Check::fail(NAME, "nothing is mounted on /sys/fs/cgroup", "mount -t cgroup2 none /sys/fs/cgroup")
    } else if missing.is_empty() {
        Check::ok(NAME, format!("{version} with {}", NEEDED.join(", ")))
    } else {
        let fix = "enable them on the kernel's command line, such as cgroup_enable=memory";
        Check::warn(
            NAME,
            format!("{version} without {}: these limits have no effect", missing.join(", ")),
            fix,
        )
    }
}

fn sockets(host: &Host) -> Check {
    const NAME: &str = "sockets";
    match fs::File::open(host.proc.join("net/unix")) {
        Ok(_) => Check::ok(NAME, "/proc/net/unix can be read"),
        Err(error) => {
            let detail = format!("/proc/net/unix cannot be read ({error}): running containers are not seen");
            Check::fail(NAME, detail, "mount /proc without subset=pid")
        }
    }
}

fn apparmor(host: &Host) -> Check {
    const NAME: &str = "apparmor";
    let enabled = fs::read_to_string(host.sys.join("module/apparmor/parameters/enabled")).unwrap_or_default();
    let has_parser = host.programs.iter().any(|directory| directory.join("apparmor_parser").is_file());
    match (enabled.trim() == "Y", has_parser) {
        (true, true) => Check::ok(NAME, "confines the containers"),
        (true, false) => Check::warn(
            NAME,
            "on, but profiles cannot be loaded: containers run without one",
            "apt-get install apparmor",
        ),
        (false, _) => {
            Check::ok(NAME, "off here: user namespaces, seccomp and cgroups confine the containers")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn an_old_kernel_is_told_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host {
            proc: dir.path().join("proc"),
            sys: dir.path().join("sys"),
            dev: dir.path().join("dev"),
            tasks: dir.path().join("tasks"),
            locks: dir.path().join("locks"),
            programs: Vec::new(),
        };
        for path in ["proc/net", "proc/self/ns", "sys/fs/cgroup/cpu,cpuacct", "dev"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("proc/filesystems"), "nodev\toverlay\n\text4\n").unwrap();
        fs::write(dir.path().join("proc/net/unix"), "").unwrap();
        let verdicts: Vec<_> = all(&host).iter().map(|check| (check.name, check.verdict)).collect();
        assert_eq!(
            verdicts,
            [
                ("user namespaces", Verdict::Fail),
                ("loop devices", Verdict::Warn),
                ("overlayfs", Verdict::Ok),
                ("cgroups", Verdict::Warn),
                ("sockets", Verdict::Ok),
                ("apparmor", Verdict::Ok),
            ]
        );
        assert_eq!(
            all(&host)[3].detail,
            "version 1 without cpuset, memory, pids: these limits have no effect"
        );
        fs::write(dir.path().join("sys/fs/cgroup/cgroup.controllers"), "cpuset cpu io memory pids\n")
            .unwrap();
        assert_eq!(all(&host)[3].detail, "version 2 with cpu, cpuset, memory, pids");
        fs::create_dir_all(dir.path().join("sys/module/apparmor/parameters")).unwrap();
        fs::write(dir.path().join("sys/module/apparmor/parameters/enabled"), "Y\n").unwrap();
        assert_eq!(
            (all(&host)[5].verdict, all(&host)[5].fix.as_deref()),
            (Verdict::Warn, Some("apt-get install apparmor"))
        );
    }
}
