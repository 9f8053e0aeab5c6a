//! The trait [`Inspect`], answered from the node's own files and sockets.

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pvect_core::backend::ConfigView;
use pvect_core::config::{ParseMode, PendingItem, SnapshotEntry, Warning};
use pvect_core::error::Finding;
use pvect_core::{ContainerConfig, Error, Inspect, Listing, Result, RunState, Status, Vmid};

use crate::configs::Configs;
use crate::screen::is_plain;
use crate::socket::holder::{Holder, Knocker};
use crate::{Foreign, NativeReader};

/// Reads the containers of the node that this program runs on. It starts no process and changes nothing.
///
/// The methods of [`Inspect`] do not wait, except for pmxcfs, and that for two seconds at most; each has a twin here that
/// needs no runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeBackend {
    reader: NativeReader,
    configs: PathBuf,
}

impl NativeBackend {
    /// Makes a backend for the containers below `lxc_path` (`/var/lib/lxc`) that are configured in `configs`
    /// (`/etc/pve/nodes/<node>/lxc`).
    pub fn new(lxc_path: impl Into<PathBuf>, configs: impl Into<PathBuf>) -> Self {
        let configs = configs.into();
        Self { reader: NativeReader::new(lxc_path, &configs), configs }
    }

    /// Makes a backend of a reader, for tests with other roots.
    pub fn of(reader: NativeReader, configs: impl Into<PathBuf>) -> Self {
        Self { reader, configs: configs.into() }
    }

    /// Returns the reader of what runs.
    pub fn reader(&self) -> &NativeReader {
        &self.reader
    }

    /// Returns the directory of the configurations.
    pub fn configs(&self) -> &Path {
        &self.configs
    }

    /// Checks that everything can be read: the configurations, and the monitors of the containers, which only answer
    /// root.
    ///
    /// # Errors
    /// `PctPermissionDenied` for another user than root; `NotFound` where the node has no such directory.
    pub fn check(&self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            let what = "reading the node's own files and sockets needs root".to_owned();
            return Err(Error::PermissionDenied { what });
        }
        match std::fs::metadata(&self.configs) {
            Ok(meta) if meta.is_dir() => Ok(()),
            _ => {
                let what = format!("this is not a node: there is no directory {}", self.configs.display());
                Err(Error::NotFound { what, vmid: None })
            }
        }
    }

    /// Lists the containers by number. One that vanishes meanwhile is left out; one that cannot be read is listed by
    /// its number alone.
    ///
    /// # Errors
    /// When the directory of the configurations cannot be read.
    pub fn list(&self) -> Result<Vec<Listing>> {
        self.look(|_, bytes| head(bytes)).map(|survey| survey.list)
    }

    /// As [`NativeBackend::list`], with what is worth a warning.
    ///
    /// # Errors
    /// As [`NativeBackend::list`].
    pub fn survey(&self) -> Result<Survey> {
        let mut warnings = Vec::new();
        let survey = self.look(|vmid, bytes| {
            if std::str::from_utf8(bytes).is_ok_and(is_plain) {
                return head(bytes);
            }
            let (config, found) = ContainerConfig::parse(bytes, ParseMode::Lenient).ok()?;
            warnings.extend(found.iter().flat_map(|warning| lines(vmid, warning)));
            Some(config)
        })?;
        Ok(Survey { warnings, ..survey })
    }

    /// Lists the containers; of each file, `parse` makes what is needed.
    fn look(&self, mut parse: impl FnMut(Vmid, &[u8]) -> Option<ContainerConfig>) -> Result<Survey> {
        let vmids = self.vmids()?;
        let mut configs = Configs::of(&self.configs, &vmids);
        let running = self.reader.running();
        let mut knocker = Knocker::default();
        let (mut list, mut foreign) = (Vec::with_capacity(vmids.len()), Vec::new());
        for (place, vmid) in vmids.into_iter().enumerate() {
            let head = match configs.text(place, vmid) {
                Ok(text) => parse(vmid, text).unwrap_or_default(),
                Err(error) if error.kind() == IoKind::NotFound => continue,
                Err(_) => ContainerConfig::default(),
            };
            let runs = running.contains(&vmid)
                || match self.reader.holder(&mut knocker, vmid) {
                    Holder::Ours => true,
                    Holder::Nobody => false,
                    Holder::Other(holder) => {
                        foreign.push(Foreign { vmid, holder });
                        false
                    }
                };
            list.push(Listing {
                vmid,
                status: if runs { RunState::Running } else { RunState::Stopped },
                lock: head.lock(),
                name: head.name(vmid).split_whitespace().collect(),
                node: None,
            });
        }
        Ok(Survey { list, foreign, warnings: Vec::new() })
    }

    /// Reads a container's status record.
    ///
    /// # Errors
    /// `NotFound`; as [`NativeBackend::refuse_foreign`].
    pub fn status(&self, vmid: Vmid) -> Result<Status> {
        let status = self.reader.status(vmid, &self.load(vmid)?);
        if status.status != RunState::Running {
            self.refuse_foreign(vmid)?;
        }
        Ok(status)
    }

    /// Refuses a container whose command socket somebody else holds: what the socket says about it cannot be trusted.
    ///
    /// # Errors
    /// `PctOperationFailed`: who it is.
    pub fn refuse_foreign(&self, vmid: Vmid) -> Result<()> {
        match self.reader.foreign(vmid) {
            Some(foreign) => Err(found(foreign.into(), vmid)),
            None => Ok(()),
        }
    }

    /// Reads a container's configuration, as `pct config` shows it.
    ///
    /// # Errors
    /// `NotFound`, of the container or of the snapshot.
    pub fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig> {
        let config = self.load(vmid)?;
        let main = match view {
            ConfigView::Pending => config.merged(),
            ConfigView::Current => config.main,
            ConfigView::Snapshot(name) => match config.snapshots.get(name.as_str()) {
                Some(section) => section.clone(),
                None => {
                    return Err(found(Finding::NoSnapshot { name: name.clone() }, vmid));
                }
            },
        };
        Ok(ContainerConfig { main, ..ContainerConfig::default() })
    }

    /// Reads current and pending values.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        Ok(self.load(vmid)?.pending_items())
    }

    /// Lists the snapshots, parents first.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        Ok(self.load(vmid)?.snapshot_entries())
    }

    /// Reads a whole configuration file: pending changes and snapshots too.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn load(&self, vmid: Vmid) -> Result<ContainerConfig> {
        self.load_with_warnings(vmid).map(|(config, _)| config)
    }

    /// Returns pct's warnings about the lines of a configuration file that cannot be parsed: `vm <vmid> - ...`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn warnings(&self, vmid: Vmid) -> Result<Vec<String>> {
        let (_, found) = self.load_with_warnings(vmid)?;
        Ok(found.iter().flat_map(|warning| lines(vmid, warning)).collect())
    }

    fn load_with_warnings(&self, vmid: Vmid) -> Result<(ContainerConfig, Vec<Warning>)> {
        let path = self.path(vmid);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            IoKind::NotFound => found(Finding::NoContainer { vmid }, vmid),
            IoKind::PermissionDenied => {
                let what = format!("{} can be read by root only", path.display());
                Error::PermissionDenied { what }
            }
            _ => Error::Io { what: format!("cannot read {}", path.display()), source: error },
        })?;
        ContainerConfig::parse(&bytes, ParseMode::Lenient).map_err(|error| Error::InvalidOutput {
            what: format!("{}: {error}", path.display()),
            run: Box::default(),
        })
    }

    fn path(&self, vmid: Vmid) -> PathBuf {
        self.configs.join(format!("{vmid}.conf"))
    }

    pub(crate) fn vmids(&self) -> Result<Vec<Vmid>> {
        let failed = |source| Error::Io { what: format!("cannot read {}", self.configs.display()), source };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.configs).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_suffix(".conf")?.parse::<Vmid>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// What a look at all containers of a node shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// The containers, by number.
    pub list: Vec<Listing>,
    /// Whose command sockets somebody else holds; those containers do not run.
    pub foreign: Vec<Foreign>,
    /// pct's warnings about lines of configuration files that cannot be parsed.
    pub warnings: Vec<String>,
}

impl Survey {
    /// Makes one of a list alone.
    pub fn of(list: Vec<Listing>) -> Self {
        Self { list, foreign: Vec::new(), warnings: Vec::new() }
    }
}

/// pct's words for a line that cannot be parsed.
fn lines(vmid: Vmid, warning: &Warning) -> Vec<String> {
    format!("vm {vmid} - {}", warning.text).lines().map(str::to_owned).collect()
}

/// Parses what a list needs: the lines of host names and locks, and what tells which sections they are in.
fn head(bytes: &[u8]) -> Option<ContainerConfig> {
    let wanted = |line: &&str| ["hostname:", "lock:", "["].iter().any(|start| line.starts_with(start));
    // All of it is looked at, as pct refuses the whole file for a byte that is not UTF-8.
    let lines: String = std::str::from_utf8(bytes).ok()?.split_inclusive('\n').filter(wanted).collect();
    ContainerConfig::parse(lines.as_bytes(), ParseMode::Lenient).ok().map(|(config, _)| config)
}

fn found(finding: Finding, vmid: Vmid) -> Error {
    Error::Found { finding, vmid: Some(vmid), run: Some(Box::default()) }
}

#[async_trait]
impl Inspect for NativeBackend {
    async fn list(&self) -> Result<Vec<Listing>> {
        Self::list(self)
    }

    async fn status(&self, vmid: Vmid) -> Result<Status> {
        Self::status(self, vmid)
    }

    async fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig> {
        Self::config(self, vmid, view)
    }

    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        Self::pending(self, vmid)
    }

    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        Self::snapshots(self, vmid)
    }
}

#[cfg(test)]
mod tests {
    use pvect_core::ErrorKind;

    use super::*;

    fn backend(files: &[(&str, &str)]) -> (tempfile::TempDir, NativeBackend) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let backend = NativeBackend::new(dir.path().join("lxc"), dir.path());
        (dir, backend)
    }

    #[test]
    fn a_list_reads_what_stands_before_the_sections() {
        let (_dir, backend) = backend(&[
            (
                "101.conf",
                "hostname: web\nlock: backup\n\n[pve:pending]\nhostname: next\n\n[snap]\nhostname: old\nlock: mounted\n",
            ),
            ("1000.conf", "memory: 512\n"),
            ("99.conf", "hostname: stray\n"),
            ("102.conf.tmp", "hostname: half\n"),
            ("103.conf", "[snap]\nhostname: x\n"),
        ]);
        let shown: Vec<String> = backend
            .list()
            .unwrap()
            .iter()
            .map(|one| format!("{} {} {:?} {}", one.vmid, one.status, one.lock, one.name))
            .collect();
        assert_eq!(
            shown,
            ["101 stopped Some(Backup) web", "103 stopped None CT103", "1000 stopped None CT1000"]
        );
    }

    #[test]
    fn the_head_names_as_the_whole_file_does() {
        let texts: [&[u8]; 10] = [
            b"hostname: web\nlock: backup\n",
            b"memory: 512\r\nhostname: web\r\n",
            b"#hostname: no\nhostname : no\n hostname: no\nhostname:yes\n",
            b"hostname: a b\nlock: what\n",
            b"[no section\nhostname: web\n",
            b"[no section!]\nhostname: web\n",
            b"hostname: web\n[pve:pending]\nhostname: next\nlock: backup\n",
            b"hostname: one\nhostname: two\nlock: mounted",
            b"hostname: web\ndescription: \xff\n",
            b"",
        ];
        let vmid = "101".parse().unwrap();
        for text in texts {
            let whole = ContainerConfig::parse(text, ParseMode::Lenient).map(|(config, _)| config);
            let whole = whole.unwrap_or_default();
            let head = head(text).unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            assert_eq!((head.name(vmid), head.lock()), (whole.name(vmid), whole.lock()), "{text}");
        }
    }

    #[test]
    fn lines_that_cannot_be_parsed_are_warnings() {
        let text = "hostname: web\n  cores: 2\nmp0: bogus\n";
        let (_dir, backend) = backend(&[("101.conf", text), ("102.conf", "hostname: x\n")]);
        let expected = [
            "vm 101 - unable to parse config:   cores: 2",
            "vm 101 - unable to parse value of 'mp0' - format error",
            "mp: property is missing and it is not optional",
        ];
        assert_eq!(backend.warnings("101".parse().unwrap()).unwrap(), expected);
        let survey = backend.survey().unwrap();
        assert_eq!(
            (survey.warnings.as_slice(), survey.list),
            (&expected.map(str::to_owned)[..], backend.list().unwrap())
        );
    }

    #[test]
    fn views_differ() {
        let text = "hostname: web\nmemory: 512\n\n[pve:pending]\nmemory: 1024\n\n[before]\nhostname: web\nmemory: 256\nsnaptime: 7\n";
        let (_dir, backend) = backend(&[("101.conf", text)]);
        let vmid = "101".parse().unwrap();
        let memory =
            |view| backend.config(vmid, &view).map(|config| config.main.get("memory").unwrap().into_owned());
        assert_eq!(memory(ConfigView::Pending).unwrap(), "1024");
        assert_eq!(memory(ConfigView::Current).unwrap(), "512");
        assert_eq!(memory(ConfigView::Snapshot("before".parse().unwrap())).unwrap(), "256");
        let missing = memory(ConfigView::Snapshot("nosuch".parse().unwrap())).unwrap_err();
        assert_eq!(
            (missing.kind(), missing.to_string().as_str()),
            (ErrorKind::NotFound, "snapshot 'nosuch' does not exist")
        );
        assert_eq!(backend.pending(vmid).unwrap().len(), 2);
        assert_eq!(backend.snapshots(vmid).unwrap()[0].snaptime, Some(7));
    }

    #[test]
    fn what_is_not_there_is_told() {
        let (_dir, backend) = backend(&[]);
        let error = backend.status("101".parse().unwrap()).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::NotFound, "there is no container 101")
        );
        let nowhere = NativeBackend::new("/var/lib/lxc", "/nonexistent");
        assert_eq!(nowhere.list().unwrap_err().to_string(), "cannot read /nonexistent");
    }
}
