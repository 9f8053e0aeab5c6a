//! The command line of vzdump.

pub(super) mod notes;

use pvect_core::Vmid;

use super::prune::Keep;
use crate::cli::getopt::{Spec, Takes};
use crate::{Failure, NodeResult};
use notes::check_notes;

const USAGE: &str = "vzdump [<vmid>] [OPTIONS]";
const USAGE_EXIT: u8 = 2;

/// How the data of a running container is kept still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Snapshot,
    Suspend,
    Stop,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Suspend => "suspend",
            Self::Stop => "stop",
        }
    }
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compress {
    None,
    Gzip,
    Zstd,
}

impl Compress {
    /// What follows `.tar` in a file name.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// Which containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    These(Vec<Vmid>),
    AllBut(Vec<Vmid>),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub(super) which: Which,
    pub(super) mode: Mode,
    pub(super) compress: Compress,
    pub(super) storage: Option<String>,
    pub(super) dumpdir: Option<String>,
    pub(super) excludes: Vec<String>,
    pub(super) standard_excludes: bool,
    pub(super) lockwait_minutes: u64,
    pub(super) stopwait_minutes: u64,
    /// How many threads zstd packs with: 0 is half of the cores, `None` all of them.
    pub(super) zstd: Option<u64>,
    /// KiB per second; 0 is no limit.
    pub(super) bwlimit: u64,
    pub(super) ionice: u64,
    pub(super) notes_template: Option<String>,
    pub(super) protected: bool,
    pub(super) prune: Option<Keep>,
    pub(super) remove: bool,
    pub(super) quiet: bool,
    /// The command line as the log names it.
    pub(super) line: String,
}

/// Name and what follows. Source: `PVE::VZDump::Common` of pve-guest-common.
const OPTIONS: [(&str, Takes); 31] = [
    ("all", Takes::MaybeValue),
    ("bwlimit", Takes::Value),
    ("compress", Takes::Value),
    ("dumpdir", Takes::Value),
    ("exclude", Takes::Value),
    ("exclude-path", Takes::Values),
    ("fleecing", Takes::Value),
    ("ionice", Takes::Value),
    ("job-id", Takes::Value),
    ("lockwait", Takes::Value),
    ("mailnotification", Takes::Value),
    ("mailto", Takes::Value),
    ("mode", Takes::Value),
    ("node", Takes::Value),
    ("notes-template", Takes::Value),
    ("notification-mode", Takes::Value),
    ("pbs-change-detection-mode", Takes::Value),
    ("performance", Takes::Value),
    ("pigz", Takes::Value),
    ("pool", Takes::Value),
    ("protected", Takes::MaybeValue),
    ("prune-backups", Takes::Value),
    ("quiet", Takes::MaybeValue),
    ("remove", Takes::MaybeValue),
    ("script", Takes::Value),
    ("stdexcludes", Takes::MaybeValue),
    ("stdout", Takes::MaybeValue),
    ("stop", Takes::MaybeValue),
    ("stopwait", Takes::Value),
    ("storage", Takes::Value),
    ("zstd", Takes::Value),
];
/// Options of the real vzdump that this node does not support.
const UNSUPPORTED: [&str; 5] = ["fleecing", "pool", "script", "stdout", "stop"];

fn refused(name: &str, text: &str) -> Failure {
    let errors = vec![(name.to_owned(), text.to_owned())];
    Failure::bad_parameters(errors, &format!("{name}: {text}\n{USAGE}"))
}

fn number(name: &str, text: &str) -> NodeResult<u64> {
    text.parse().map_err(|_| refused(name, &format!("type check ('integer') failed - got '{text}'")))
}

fn switch(name: &str, text: &str) -> NodeResult<bool> {
    if text.is_empty() {
        return Ok(true);
    }
    pvect_core::property::boolean(text)
        .ok_or_else(|| refused(name, &format!("type check ('boolean') failed - got '{text}'")))
}

fn vmids(name: &str, text: &str) -> NodeResult<Vec<Vmid>> {
    let words = text.split([',', ';', ' ']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse().map_err(|_| {
                refused(name, &format!("invalid format - value does not look like a valid VM ID: {word}"))
            })
        })
        .collect()
}

impl Options {
    /// Reads the words after `vzdump`.
    ///
    /// # Errors
    /// `400 ...` and the usage (2).
    pub(super) fn parse(words: &[String]) -> NodeResult<Self> {
        let mut spec = Spec::default();
        for (name, takes) in OPTIONS {
            spec.add(name, takes);
        }
        spec.add("tmpdir", Takes::Value);
        let found = spec.scan(words);
        if !found.complaints.is_empty() {
            let text = format!("{}\n400 unable to parse option\n{USAGE}", found.complaints.join("\n"));
            return Err(Failure::with_exit(text, USAGE_EXIT));
        }
        let mut options = Self {
            which: Which::These(vmids("vmid", &found.words.join(","))?),
            mode: Mode::Snapshot,
            compress: Compress::None,
            storage: None,
            dumpdir: None,
            excludes: Vec::new(),
            standard_excludes: true,
            lockwait_minutes: 180,
            stopwait_minutes: 10,
            zstd: None,
            bwlimit: 0,
            ionice: 7,
            notes_template: None,
            protected: false,
            prune: None,
            remove: true,
            quiet: false,
            line: line(words),
        };
        let (mut all, mut excluded) = (false, None);
        for (name, values) in found.options {
            let last = values.last().cloned().unwrap_or_default();
            match name.as_str() {
                "all" => all = switch(&name, &last)?,
                "exclude" => excluded = Some(vmids(&name, &last)?),
                _ => options.set(&name, last, values)?,
            }
        }
        options.choose(all, excluded)?;
        if options.storage.is_some() && options.dumpdir.is_some() {
            return Err(Failure::new("cannot use options 'storage' and 'dumpdir' at the same time"));
        }
        if options.dumpdir.is_some() {
            options.notes_template = None;
            options.protected = false;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, last: String, values: Vec<String>) -> NodeResult<()> {
        match name {
            "mode" => {
                self.mode = match last.as_str() {
                    "snapshot" => Mode::Snapshot,
                    "suspend" => Mode::Suspend,
                    "stop" => Mode::Stop,
                    _ => return Err(not_one_of(name, &last, "snapshot, suspend, stop")),
                }
            }
            "compress" => {
                self.compress = match last.as_str() {
                    "0" => Compress::None,
                    "gzip" => Compress::Gzip,
                    "zstd" => Compress::Zstd,
                    "1" | "lzo" => {
                        return Err(refused(
                            name,
                            "the standalone node cannot compress with lzo; use zstd or gzip",
                        ));
                    }
                    _ => return Err(not_one_of(name, &last, "0, 1, gzip, lzo, zstd")),
                }
            }
            "storage" => self.storage = Some(last),
            "dumpdir" => self.dumpdir = Some(last.trim_end_matches('/').to_owned()),
            "exclude-path" => self.excludes = values,
            "stdexcludes" => self.standard_excludes = switch(name, &last)?,
            "lockwait" => self.lockwait_minutes = number(name, &last)?,
            "stopwait" => self.stopwait_minutes = number(name, &last)?,
            "bwlimit" => self.bwlimit = number(name, &last)?,
            "ionice" => self.ionice = number(name, &last)?,
            "zstd" => self.zstd = Some(number(name, &last)?),
            "notes-template" => {
                check_notes(&last).map_err(|text| refused(name, &text))?;
                self.notes_template = Some(last);
            }
            "protected" => self.protected = switch(name, &last)?,
            "prune-backups" => {
                self.prune = Some(Keep::parse(&last).map_err(|text| refused(name, &text))?);
            }
            "remove" => self.remove = switch(name, &last)?,
            "quiet" => self.quiet = switch(name, &last)?,
            _ if UNSUPPORTED.contains(&name) => {
                return Err(refused(name, "not supported by the standalone node"));
            }
            // Options for mail, pigz and schedules have no effect here.
            _ => {}
        }
        Ok(())
    }

    fn choose(&mut self, all: bool, excluded: Option<Vec<Vmid>>) -> NodeResult<()> {
        let named = !matches!(&self.which, Which::These(list) if list.is_empty());
        let conflict = "option conflicts with option 'vmid'";
        match (named, all, excluded) {
            (true, true, _) => Err(refused("all", conflict)),
            (true, _, Some(_)) => Err(refused("exclude", conflict)),
            (true, false, None) => Ok(()),
            (false, false, None) => Err(refused("vmid", "property is missing")),
            (false, _, excluded) => {
                self.which = Which::AllBut(excluded.unwrap_or_default());
                Ok(())
            }
        }
    }
}

fn not_one_of(name: &str, value: &str, allowed: &str) -> Failure {
    refused(name, &format!("value '{value}' does not have a value in the enumeration '{allowed}'"))
}

/// The words as a shell would read them.
fn line(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b))
    };
    let quoted = words.iter().map(|word| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    });
    std::iter::once("vzdump".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    fn parse(line: &str) -> NodeResult<Options> {
        Options::parse(
            &line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_line_is_read() {
        let options = parse(
            "101 102,103 --mode stop --compress zstd --exclude-path /a --exclude-path b --quiet \
             --prune-backups keep-last=2 --stdexcludes 0",
        )
        .unwrap();
        let ids = |list: &[&str]| list.iter().map(|id| id.parse().unwrap()).collect::<Vec<Vmid>>();
        assert_eq!(options.which, Which::These(ids(&["101", "102", "103"])));
        assert_eq!((options.mode, options.compress), (Mode::Stop, Compress::Zstd));
        assert_eq!(options.excludes, ["/a", "b"]);
        assert!(options.quiet && !options.standard_excludes && options.remove);
        assert_eq!(parse("--exclude 105").unwrap().which, Which::AllBut(ids(&["105"])));
        assert_eq!(parse("--all").unwrap().which, Which::AllBut(Vec::new()));
        assert_eq!(line(&["101".into(), "a b".into(), "it's".into()]), r"vzdump 101 'a b' 'it'\''s'");
    }

    #[test]
    fn wrong_lines_are_refused() {
        for (line, text) in [
            ("", "vmid: property is missing"),
            ("x", "vmid: invalid format - value does not look like a valid VM ID: x"),
            ("101 --all", "all: option conflicts with option 'vmid'"),
            (
                "101 --mode fast",
                "mode: value 'fast' does not have a value in the enumeration 'snapshot, suspend, stop'",
            ),
            (
                "101 --compress lzo",
                "compress: the standalone node cannot compress with lzo; use zstd or gzip",
            ),
            ("101 --stopwait x", "stopwait: type check ('integer') failed - got 'x'"),
            ("101 --stdout", "stdout: not supported by the standalone node"),
            (
                r"101 --notes-template {{x}}\q",
                r"notes-template: found unknown: variable 'x', escape sequence '\q'",
            ),
        ] {
            let failure = parse(line).unwrap_err();
            let expected = format!("400 Parameter verification failed.\n{text}\n{USAGE}");
            assert_eq!((failure.text.as_str(), failure.exit), (expected.as_str(), 2), "{line}");
            let FailureKind::BadParameters { errors } = failure.kind else { panic!("{line}") };
            let [(name, what)] = &errors[..] else { panic!("{errors:?}") };
            assert_eq!(format!("{name}: {what}"), text);
        }
        assert!(parse("101 --bogus").unwrap_err().text.starts_with("Unknown option: bogus\n400 unable"));
        assert_eq!(
            parse("101 --storage a --dumpdir /b").unwrap_err().text,
            "cannot use options 'storage' and 'dumpdir' at the same time"
        );
    }
}
