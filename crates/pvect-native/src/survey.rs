//! All containers of a node at a glance: which there are, which run, and what is worth a warning.

use std::io::ErrorKind as IoKind;

use pvect_core::config::ParseMode;
use pvect_core::{ContainerConfig, Listing, Lock, Result, RunState, Vmid};

use crate::backend::lines;
use crate::configs::Configs;
use crate::screen::plain_head;
use crate::socket::holder::{Holder, Knocker};
use crate::{Foreign, NativeBackend};

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

impl NativeBackend {
    /// Lists the containers by number. One that vanishes meanwhile is left out; one that cannot be read is listed by
    /// its number alone.
    ///
    /// # Errors
    /// When the directory of the configurations cannot be read.
    pub fn list(&self) -> Result<Vec<Listing>> {
        self.look(|vmid, bytes| Head::plain(vmid, bytes).or_else(|| head(vmid, bytes)))
            .map(|survey| survey.list)
    }

    /// As [`NativeBackend::list`], with what is worth a warning.
    ///
    /// # Errors
    /// As [`NativeBackend::list`].
    pub fn survey(&self) -> Result<Survey> {
        let mut warnings = Vec::new();
        let survey = self.look(|vmid, bytes| {
            if let Some(head) = Head::plain(vmid, bytes) {
                return Some(head);
            }
            match ContainerConfig::parse(bytes, ParseMode::Lenient) {
                Ok((config, found)) => {
                    warnings.extend(found.iter().flat_map(|warning| lines(vmid, warning)));
                    Some(Head::of(vmid, &config))
                }
                Err(error) => {
                    warnings.push(format!("vm {vmid} - its configuration cannot be read: {error}"));
                    None
                }
            }
        })?;
        warnings.extend(survey.warnings);
        Ok(Survey { warnings, ..survey })
    }

    /// Lists the containers; of each file, `parse` makes what is needed.
    fn look(&self, mut parse: impl FnMut(Vmid, &[u8]) -> Option<Head>) -> Result<Survey> {
        let vmids = self.vmids()?;
        let mut configs = Configs::of(self.configs(), &vmids);
        let running = self.reader().running();
        let mut knocker = Knocker::default();
        let (mut list, mut foreign) = (Vec::with_capacity(vmids.len()), Vec::new());
        let mut warnings = Vec::new();
        for (place, vmid) in vmids.into_iter().enumerate() {
            let head = match configs.text(place, vmid) {
                Ok(text) => parse(vmid, text),
                Err(error) if error.kind() == IoKind::NotFound => continue,
                Err(error) => {
                    warnings.push(format!("vm {vmid} - its configuration cannot be read: {error}"));
                    None
                }
            };
            let Head { name, lock } = head.unwrap_or_else(|| Head::of(vmid, &ContainerConfig::default()));
            let runs = running.contains(&vmid)
                || match self.reader().holder(&mut knocker, vmid) {
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
                lock,
                name,
                node: None,
            });
        }
        Ok(Survey { list, foreign, warnings })
    }
}

/// What a list shows of a configuration.
struct Head {
    name: String,
    lock: Option<Lock>,
}

impl Head {
    fn of(vmid: Vmid, config: &ContainerConfig) -> Self {
        Self { name: config.name(vmid).split_whitespace().collect(), lock: config.lock() }
    }

    /// That of a file that is not worth a warning for sure.
    fn plain(vmid: Vmid, bytes: &[u8]) -> Option<Self> {
        let head = plain_head(bytes)?;
        let name = head.hostname.map_or_else(|| format!("CT{vmid}"), str::to_owned);
        Some(Self { name, lock: head.lock.map(Lock::from) })
    }
}

/// Parses what a list needs: host names and locks.
fn head(vmid: Vmid, bytes: &[u8]) -> Option<Head> {
    lines_of(bytes, &["hostname:", "lock:"]).map(|config| Head::of(vmid, &config))
}

/// Parses the lines that begin with one of these words, and what tells which sections they are in.
pub(crate) fn lines_of(bytes: &[u8], words: &[&str]) -> Option<ContainerConfig> {
    let wanted = |line: &&str| line.starts_with('[') || words.iter().any(|word| line.starts_with(word));
    // All of it is looked at, as pct refuses the whole file for a byte that is not UTF-8.
    let lines: String = std::str::from_utf8(bytes).ok()?.split_inclusive('\n').filter(wanted).collect();
    ContainerConfig::parse(lines.as_bytes(), ParseMode::Lenient).ok().map(|(config, _)| config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::tests::backend;

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
    fn a_file_that_cannot_be_read_is_worth_a_warning() {
        let (dir, backend) = backend(&[("101.conf", "hostname: web\n")]);
        std::fs::write(backend.path("103".parse().unwrap()), b"hostname: w\xe9\n").unwrap();
        std::fs::create_dir(backend.path("104".parse().unwrap())).unwrap();
        let survey = backend.survey().unwrap();
        let names: Vec<&str> = survey.list.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["web", "CT103", "CT104"]);
        assert_eq!(survey.warnings.len(), 2, "{:?}", survey.warnings);
        for (warning, vmid) in survey.warnings.iter().zip(["103", "104"]) {
            let start = format!("vm {vmid} - its configuration cannot be read: ");
            assert!(warning.starts_with(&start), "{warning}");
        }
        drop(dir);
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
            let whole = Head::of(vmid, &whole);
            let head = head(vmid, text).unwrap_or_else(|| Head::of(vmid, &ContainerConfig::default()));
            let text = String::from_utf8_lossy(text);
            assert_eq!((head.name, head.lock), (whole.name, whole.lock), "{text}");
        }
    }
}
