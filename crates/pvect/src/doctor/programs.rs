//! pct and the programs that the standalone node needs.

use std::process::Stdio;
use std::time::Duration;

use pvect_core::Result;

use super::{Check, Host};
use crate::{Client, Place};

pub(super) async fn pct(client: &Result<Client>) -> Check {
    let fix = "install pve-container, set pct_path, or use --standalone";
    match client {
        Err(error) => Check::fail("pct", error.to_string(), fix),
        Ok(client) => match client.probe().await {
            Ok(()) => Check::ok("pct", describe(client)),
            Err(error) => Check::fail("pct", error.to_string(), "run pvect as root, or with --sudo"),
        },
    }
}

fn describe(client: &Client) -> String {
    let program = client.program().display();
    match client.place() {
        Place::Proxmox => format!("{program}, of Proxmox VE"),
        Place::Standalone { root, .. } => {
            format!("{program} pct, the standalone node below {}", root.display())
        }
        Place::Far { destination, .. } => format!("{program} at {destination}"),
        Place::Api { hosts, .. } => format!("the API of {}", hosts.join(", ")),
    }
}

/// Returns pct's version: that of the package on a node of Proxmox VE, pvect's own on a standalone node; `None` when
/// it cannot be found out.
pub async fn pct_version(client: &Client) -> Option<String> {
    match client.place() {
        Place::Standalone { .. } => Some(format!("pvect {}", env!("CARGO_PKG_VERSION"))),
        Place::Far { root: Some(_), .. } => None,
        place => {
            let far = matches!(place, Place::Far { .. });
            let ask = async |program: &str, words: &[&str]| {
                if far { far_output(client, program, words).await } else { output(program, words).await }
            };
            let container =
                ask("dpkg-query", &["-W", "-f", "pve-container ${Version}", "pve-container"]).await;
            let manager = ask("pveversion", &[]).await;
            match (manager, container) {
                (Some(manager), Some(container)) => Some(format!("{manager}, {container}")),
                (manager, container) => manager.or(container),
            }
        }
    }
}

/// The same at the other end of ssh.
async fn far_output(client: &Client, program: &str, words: &[&str]) -> Option<String> {
    let told = client.run_other(program, words).await.ok().filter(|told| told.status == 0)?;
    Some(String::from_utf8_lossy(&told.stdout).lines().next()?.trim().to_owned())
}

/// Runs a program that answers at once, and returns its first line.
async fn output(program: &str, words: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new(program);
    command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(10), command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().filter(|_| output.status.success())?;
    Some(line.trim().to_owned())
}

/// A check's name, programs with the Debian package of each, and what they are for.
type Group = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// The programs, the Debian package of each, and what it is needed for.
const TOOLS: &[Group] = &[
    ("lxc", &[("lxc-start", "lxc"), ("lxc-attach", "lxc"), ("lxc-stop", "lxc")], "to run containers"),
    (
        "disks",
        &[("mkfs.ext4", "e2fsprogs"), ("losetup", "mount"), ("mount", "mount")],
        "to make and mount disk images",
    ),
    ("network", &[("ip", "iproute2")], "to connect containers to bridges"),
];

const BUILDERS: &[Group] = &[
    ("debian templates", &[("mmdebstrap", "mmdebstrap")], "for `pvect template build debian`"),
    ("busybox templates", &[("busybox", "busybox-static")], "for `pvect template build busybox`"),
];

pub(super) fn tools(host: &Host) -> Vec<Check> {
    let needed = TOOLS.iter().map(|(name, programs, why)| {
        missing(host, programs).map_or_else(
            || Check::ok(name, format!("there, {why}")),
            |(what, packages)| Check::fail(name, format!("{what} is missing, {why}"), apt(&packages)),
        )
    });
    let useful = BUILDERS.iter().map(|(name, programs, why)| {
        missing(host, programs).map_or_else(
            || Check::ok(name, format!("can be built, {why}")),
            |(what, packages)| Check::warn(name, format!("{what} is missing, {why}"), apt(&packages)),
        )
    });
    needed.chain(useful).collect()
}

/// Whether LXCFS runs, through which each container sees its own limits as those of the machine.
pub(super) fn lxcfs(host: &Host) -> Check {
    const NAME: &str = "lxcfs";
    let mounts = std::fs::read_to_string(host.proc.join("self/mounts")).unwrap_or_default();
    let is_it = |line: &str| line.split(' ').nth(2) == Some("fuse.lxcfs");
    if mounts.lines().any(is_it) {
        return Check::ok(NAME, "shows containers their own memory and processors");
    }
    let installed = host.programs.iter().any(|directory| directory.join("lxcfs").is_file());
    Check::warn(
        NAME,
        format!(
            "{}: containers see the memory, processors and uptime of the host",
            if installed { "does not run" } else { "is not installed" }
        ),
        if installed { "systemctl enable --now lxcfs".to_owned() } else { apt(&["lxcfs"]) },
    )
}

fn apt(packages: &[&str]) -> String {
    format!("apt-get install {}", packages.join(" "))
}

/// The missing programs, and the packages that they are in.
fn missing<'a>(host: &Host, programs: &'a [(&str, &str)]) -> Option<(String, Vec<&'a str>)> {
    let gone: Vec<_> = programs
        .iter()
        .filter(|(name, _)| !host.programs.iter().any(|dir| dir.join(name).is_file()))
        .collect();
    let mut packages: Vec<&str> = gone.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    let names: Vec<&str> = gone.iter().map(|(name, _)| *name).collect();
    (!gone.is_empty()).then(|| (names.join(", "), packages))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_containers_see_without_lxcfs_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host { proc: dir.path().into(), programs: vec![dir.path().into()], ..Host::default() };
        let found = |check: Check| (check.verdict, check.fix.unwrap_or_default());
        assert_eq!(found(lxcfs(&host)), (Verdict::Warn, "apt-get install lxcfs".to_owned()));
        std::fs::write(dir.path().join("lxcfs"), "").unwrap();
        let stopped = lxcfs(&host);
        assert_eq!(
            stopped.detail,
            "does not run: containers see the memory, processors and uptime of the host"
        );
        assert_eq!(found(stopped), (Verdict::Warn, "systemctl enable --now lxcfs".to_owned()));
        std::fs::create_dir(dir.path().join("self")).unwrap();
        let mounts = "proc /proc proc rw 0 0\nlxcfs /var/lib/lxcfs fuse.lxcfs rw,nosuid 0 0\n";
        std::fs::write(dir.path().join("self/mounts"), mounts).unwrap();
        assert_eq!(lxcfs(&host).verdict, Verdict::Ok);
    }

    #[test]
    fn missing_programs_name_their_package() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host { programs: vec![dir.path().to_owned()], ..Host::default() };
        std::fs::write(dir.path().join("lxc-start"), "").unwrap();
        let lxc = &tools(&host)[0];
        assert_eq!(lxc.verdict, Verdict::Fail);
        assert_eq!(lxc.detail, "lxc-attach, lxc-stop is missing, to run containers");
        assert_eq!(lxc.fix.as_deref(), Some("apt-get install lxc"));
        for name in ["lxc-attach", "lxc-stop"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(tools(&host)[0].verdict, Verdict::Ok);
    }
}
