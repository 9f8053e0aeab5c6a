//! What is done to a guest's files, as data: who decides it and who does it are two processes.
//!
//! The one that does it sees the container's own volumes and nothing else, and has the container's ids: see pvect-node.
//! So a symlink of the guest gives nothing away that the guest cannot read already.

use std::collections::BTreeMap;
use std::path::Path;

use pvect_core::{ContainerConfig, Vmid};
use serde::{Deserialize, Serialize};

use super::{Guest, HostDns, HostKey, Note, elf, fixup, init, snakeoil, users};
use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// The kinds of host keys that a new container gets, as ssh-keygen names them.
pub const HOST_KEYS: [&str; 3] = ["rsa", "ecdsa", "ed25519"];

/// The architecture that is assumed if the guest's programs do not say.
const FALLBACK_ARCH: &str = "amd64";

/// What is to be done for one container. Passwords and keys may be in it: it is never printed.
#[derive(Serialize, Deserialize)]
pub struct Job {
    vmid: String,
    options: BTreeMap<String, String>,
    work: Work,
}

/// What is to be done. `HostDns` is what a container without name servers or search domains of its own gets.
#[derive(Serialize, Deserialize)]
pub enum Work {
    /// What every start writes: hostname, hosts, resolv.conf, network, by distribution.
    Start {
        /// What a container without name servers or search domains of its own gets.
        dns: HostDns,
        /// Whether the host has cgroup v2 only.
        is_cgroup2: bool,
    },
    /// Only the network, for a running container.
    Network(HostDns),
    /// Removes from a clone what must be unique to each machine.
    AfterClone,
    /// What the root file system of a backup needs once, after it was unpacked.
    AfterRestore,
    /// What belongs to a root file system that was just unpacked: what is unique to each container, root's password
    /// and keys, and what belongs to every start.
    First {
        /// The password of root as a crypt(5) hash; `None` locks the account.
        password: Option<String>,
        /// Public keys for root, one per line.
        ssh_keys: Option<String>,
        /// As for a start.
        dns: HostDns,
    },
    /// Writes a host key for sshd, of one of the [`HOST_KEYS`].
    HostKey(String, HostKey),
    /// Finds the distribution and the architecture.
    Detect,
    /// Reads files.
    Read(Vec<String>),
    /// Makes directories that are missing, those above them too (0755).
    MakeDirs(Vec<String>),
    /// Removes files, missing ones too, and then directories that are empty.
    Remove {
        /// Paths of files.
        files: Vec<String>,
        /// Paths of directories.
        empty: Vec<String>,
    },
}

/// What was done or found.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// Files are written.
    Written {
        /// What is to be said about the guest.
        notes: Vec<Note>,
        /// Whether [`HOST_KEYS`] are wanted for its sshd.
        host_keys: bool,
    },
    /// The system cannot be set up.
    Refused {
        /// Why.
        why: String,
        /// What is to be said about it.
        notes: Vec<Note>,
    },
    /// The content of each file; `None` where there is none.
    Read(Vec<Option<Vec<u8>>>),
    /// The distribution and the architecture.
    Found {
        /// The value of `ostype`.
        ostype: String,
        /// The value of `arch`, if the configuration has none: that of the guest's programs, or the fallback.
        arch: Option<String>,
        /// What is to be said about it.
        notes: Vec<Note>,
    },
}

impl Work {
    /// [`Work::First`]; a plain password is hashed here, on the host.
    ///
    /// # Errors
    /// When the password cannot be hashed.
    pub fn first(password: Option<&str>, ssh_keys: Option<&str>, dns: HostDns) -> NodeResult<Self> {
        let password = password.map(users::hashed).transpose()?;
        Ok(Self::First { password, ssh_keys: ssh_keys.map(str::to_owned), dns })
    }
}

impl Job {
    /// Work for a container. Called on the host: `timezone: host` is looked up here.
    pub fn new(vmid: Vmid, config: &ContainerConfig, work: Work) -> Self {
        let mut options = config.main.options.clone();
        if options.get("timezone").is_some_and(|zone| zone == "host") {
            options.remove("timezone");
            options.extend(init::host_zone().map(|zone| ("timezone".to_owned(), zone)));
        }
        Self { vmid: vmid.to_string(), options, work }
    }

    /// Does the work in a mounted root file system. No symlink inside leads out of it; files are owned by its owner.
    ///
    /// # Errors
    /// When a file cannot be read, written or removed.
    pub fn perform(&self, files: Rooted) -> NodeResult<Done> {
        let nothing = Done::Written { notes: Vec::new(), host_keys: false };
        match &self.work {
            Work::Read(paths) => return read(&files, paths).map(Done::Read),
            Work::MakeDirs(paths) => return make_dirs(&files, paths).map(|()| nothing),
            Work::Remove { files: paths, empty } => return remove(&files, paths, empty).map(|()| nothing),
            _ => {}
        }
        let vmid: Vmid = self.vmid.parse().map_err(|_| Failure::new("bad vmid"))?;
        let mut config = ContainerConfig::default();
        self.options.iter().for_each(|(key, value)| config.main.set(key, value.as_str()));
        let mut found = Vec::new();
        let guest = match Guest::new(files, vmid, &config, &mut found) {
            Ok(guest) => guest,
            Err(failure) => return Ok(Done::Refused { why: failure.text, notes: found }),
        };
        let is_managed = !guest.system.is_unmanaged();
        let mut notes = Vec::new();
        let mut host_keys = false;
        match &self.work {
            Work::Detect => return Ok(detected(&guest, found)),
            Work::Start { dns, is_cgroup2 } => {
                notes.extend(found);
                notes.extend(guest.each_start(dns)?);
                notes.extend(init::check_nesting(&guest));
                if *is_cgroup2 {
                    notes.extend(init::check_cgroup2(&guest));
                }
                // The other notes were shown when the container was made; pct does not repeat them.
                notes.retain(|note| matches!(note, Note::Warning(_)));
            }
            Work::Network(dns) => guest.network(dns)?,
            Work::AfterClone if is_managed => {
                notes = found;
                init::forget_identity(&guest)?;
                notes.extend(init::check_nesting(&guest));
            }
            Work::AfterRestore if is_managed => fixup::after_unpacking(&guest)?,
            Work::First { password, ssh_keys, dns } if is_managed => {
                notes = first(&guest, password.as_deref(), ssh_keys.as_deref(), dns)?;
                host_keys = users::has_sshd(&guest);
            }
            Work::First { password, ssh_keys, .. } if password.is_some() || ssh_keys.is_some() => {
                let text = "ostype is 'unmanaged': no password and no SSH keys are set in the container";
                notes.push(Note::Line(text.to_owned()));
            }
            Work::HostKey(kind, key) if HOST_KEYS.contains(&kind.as_str()) => {
                users::set_host_key(&guest, kind, key)?;
            }
            Work::HostKey(..) => return Err(Failure::new("unknown kind of host key")),
            Work::AfterClone | Work::AfterRestore | Work::First { .. } => {}
            Work::Read(_) | Work::MakeDirs(_) | Work::Remove { .. } => {}
        }
        Ok(Done::Written { notes, host_keys })
    }
}

/// What was found, the architecture too if the configuration has none.
fn detected(guest: &Guest<'_>, mut notes: Vec<Note>) -> Done {
    let ostype = guest.system.ostype.clone();
    if guest.config.main.options.contains_key("arch") {
        return Done::Found { ostype, arch: None, notes };
    }
    let mut line = |text: String| notes.push(Note::Line(text));
    let found = match guest.system.is_unmanaged() {
        true => None,
        false => match elf::architecture(&guest.files, &ostype) {
            Ok(arch) => Some(arch),
            Err(why) => {
                line(why);
                line("Architecture detection failed: error in setup task (eval)".to_owned());
                None
            }
        },
    };
    match found {
        Some(arch) => line(format!("Detected container architecture: {arch}")),
        None => {
            line(format!("Falling back to {FALLBACK_ARCH}."));
            line("Use `pct set VMID --arch ARCH` to change.".to_owned());
        }
    }
    Done::Found { ostype, arch: Some(found.unwrap_or(FALLBACK_ARCH).to_owned()), notes }
}

fn read(files: &Rooted, paths: &[String]) -> NodeResult<Vec<Option<Vec<u8>>>> {
    let failed = |path: &str| {
        let path = Path::new("/").join(path);
        move |error| Failure::io("can't read", &path, &error)
    };
    paths.iter().map(|path| files.read(path).map_err(failed(path))).collect()
}

fn make_dirs(files: &Rooted, paths: &[String]) -> NodeResult<()> {
    for path in paths.iter().map(|path| path.trim_start_matches('/')).filter(|path| !files.is_dir(path)) {
        files
            .make_dirs(path, 0o755)
            .map_err(|error| Failure::io("can't create", &Path::new("/").join(path), &error))?;
    }
    Ok(())
}

fn remove(files: &Rooted, paths: &[String], empty: &[String]) -> NodeResult<()> {
    for path in paths {
        files
            .remove(path)
            .map_err(|error| Failure::io("can't remove", &Path::new("/").join(path), &error))?;
    }
    empty.iter().for_each(|path| files.remove_empty_dir(path));
    Ok(())
}

/// Sets up what was just unpacked.
fn first(
    guest: &Guest<'_>,
    password: Option<&str>,
    ssh_keys: Option<&str>,
    dns: &HostDns,
) -> NodeResult<Vec<Note>> {
    init::forget_identity(guest)?;
    let mut notes = snakeoil::replace(guest)?;
    fixup::after_unpacking(guest)?;
    users::set_password(guest, "root", password)?;
    if let Some(keys) = ssh_keys {
        users::set_ssh_keys(guest, keys)?;
    }
    notes.extend(guest.each_start(dns)?);
    notes.extend(init::check_nesting(guest));
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_job_is_the_same_on_the_other_side() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("etc/os-release", "ID=alpine\n"),
            ("etc/alpine-release", "3.20.3\n"),
            ("etc/ssh/sshd_config", ""),
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
            ("etc/shadow", "root:*:1:0:99999:7:::\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let mut config = ContainerConfig::default();
        config.main.set("hostname", "web");
        let perform = |work: Work| {
            let text = serde_json::to_string(&Job::new("101".parse().unwrap(), &config, work)).unwrap();
            let job: Job = serde_json::from_str(&text).unwrap();
            job.perform(Rooted::open(dir.path(), me).unwrap())
        };
        let found = perform(Work::Detect);
        let said = [
            "open '/bin/sh' failed: No such file or directory",
            "Architecture detection failed: error in setup task (eval)",
            "Falling back to amd64.",
            "Use `pct set VMID --arch ARCH` to change.",
        ];
        let notes = said.map(|text| Note::Line(text.to_owned())).to_vec();
        assert_eq!(
            found,
            Ok(Done::Found { ostype: "alpine".to_owned(), arch: Some("amd64".to_owned()), notes })
        );
        let dns = HostDns { servers: vec!["9.9.9.9".to_owned()], search: Vec::new() };
        let first = Work::first(Some("plain"), None, dns.clone()).unwrap();
        assert!(matches!(&first, Work::First { password: Some(text), .. } if text.starts_with("$6$")));
        let written = |host_keys| Ok(Done::Written { notes: Vec::new(), host_keys });
        assert_eq!(perform(Work::first(Some("$5$salt$hash"), None, dns).unwrap()), written(true));
        let key =
            HostKey { private: "one\n".to_owned(), public: "two\n".to_owned(), fingerprint: String::new() };
        assert_eq!(perform(Work::HostKey("rsa".to_owned(), key.clone())), written(false));
        assert!(perform(Work::HostKey("../../x".to_owned(), key)).is_err());
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        assert_eq!(read("etc/hostname"), "web\n");
        assert!(read("etc/shadow").starts_with("root:$5$salt$hash:"));
        assert!(read("etc/resolv.conf").contains("nameserver 9.9.9.9\n"));
        assert_eq!(
            (read("etc/ssh/ssh_host_rsa_key"), read("etc/ssh/ssh_host_rsa_key.pub")),
            ("one\n".into(), "two\n".into())
        );
        assert_eq!(fs::read_dir(dir.path().join("etc/ssh")).unwrap().count(), 3);
        let paths = ["etc/hostname".to_owned(), "/none".to_owned()];
        assert_eq!(
            perform(Work::Read(paths.clone().into())),
            Ok(Done::Read(vec![Some(b"web\n".to_vec()), None]))
        );
        let empty = vec!["etc".to_owned(), "none".to_owned()];
        assert_eq!(perform(Work::Remove { files: paths.into(), empty }), written(false));
        assert!(dir.path().join("etc").exists() && !dir.path().join("etc/hostname").exists());
    }
}
