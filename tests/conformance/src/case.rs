//! What a case file says.

use crate::pattern::Lines;

/// One file of cases: steps in order, on one fresh node.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The file's name without its ending.
    pub name: String,
    /// One line about it.
    pub title: String,
    /// Where the expectations come from.
    pub source: String,
    /// What must be there for the group to be run at all.
    pub needs: Vec<Need>,
    /// Setup steps and cases, in order.
    pub steps: Vec<Step>,
}

/// One block of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its first line in the file, from 1.
    pub line: usize,
    /// What is prepared before the case; all there is in a block that is only setup.
    pub setup: Vec<Setup>,
    /// The case.
    pub case: Option<Case>,
}

/// One thing prepared.
#[derive(Debug, Clone, PartialEq)]
pub enum Setup {
    /// A file is written.
    File {
        /// Its path, with placeholders.
        path: String,
        /// Its mode.
        mode: u32,
        /// Its text, with placeholders.
        text: String,
    },
    /// A file of so many unpredictable bytes is written.
    Random {
        /// Its path, with placeholders.
        path: String,
        /// Its mode.
        mode: u32,
        /// Its length.
        bytes: usize,
    },
    /// A command is run; it must end with 0.
    Run(Vec<String>),
    /// A btrfs file system of its own is mounted there.
    Btrfs {
        /// The mount point, with placeholders.
        path: String,
        /// Its size in MiB.
        mib: u64,
    },
}

/// One command and what must come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The line of the command in the file, from 1.
    pub line: usize,
    /// The words, with placeholders. The first word `pct` stands for the pct under test.
    pub argv: Vec<String>,
    /// What it reads, if anything.
    pub stdin: Vec<u8>,
    /// What a pct may say it cannot do yet.
    pub needs: Vec<Need>,
    /// Whether it changes the node, where argv and exit status do not tell.
    pub changes: Option<bool>,
    /// It is tried again for so many seconds until it is as expected: for what a guest does in the background.
    pub within: u64,
    /// What comes of it.
    pub expect: Expect,
    /// What comes of it on the standalone node, where that differs on purpose.
    pub differs: Option<Differs>,
}

/// What a case, or a group, needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A verb that the standalone node may not have yet.
    Verb(String),
    /// A type of storage that the standalone node may not have yet.
    Storage(String),
    /// A program of this machine.
    Program(String),
}

/// A purposeful difference of the standalone node.
#[derive(Debug, Clone, PartialEq)]
pub struct Differs {
    /// Why.
    pub reason: String,
    /// What comes of it there.
    pub expect: Expect,
}

/// The exit status that must come of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// This one.
    Is(i32),
    /// Any but 0: pct's statuses of failures are accidents where they were not recorded.
    Failure,
}

impl Exit {
    /// Returns whether a status is as expected.
    pub fn fits(self, status: i32) -> bool {
        match self {
            Self::Is(wanted) => status == wanted,
            Self::Failure => status != 0,
        }
    }

    /// Returns whether success is expected.
    pub fn is_success(self) -> bool {
        self == Self::Is(0)
    }
}

impl Default for Exit {
    fn default() -> Self {
        Self::Is(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(status) => status.fmt(f),
            Self::Failure => f.write_str("any but 0"),
        }
    }
}

/// What must come of a command.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// stdout.
    pub stdout: Lines,
    /// stderr.
    pub stderr: Lines,
    /// The exit status.
    pub exit: Exit,
    /// What must then be so.
    pub after: Vec<After>,
}

/// What must be true after a command. Paths have placeholders.
#[derive(Debug, Clone, PartialEq)]
pub enum After {
    /// The file has this text.
    File(String, Lines),
    /// Nothing is there.
    Gone(String),
    /// The directory holds just these names.
    Names(String, Vec<String>),
    /// The file has this mode (permission bits) and owner (`uid:gid`).
    Owner(String, u32, String),
    /// The two files have the same bytes.
    Same(String, String),
}

impl Group {
    /// Returns its cases.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.steps.iter().filter_map(|step| step.case.as_ref())
    }

    /// Returns whether a placeholder is used in any command or file of it.
    pub fn uses(&self, name: &str) -> bool {
        let wanted = format!("{{{name}}}");
        let in_words = |words: &[String]| words.iter().any(|word| word.contains(&wanted));
        self.steps.iter().any(|step| {
            step.case.as_ref().is_some_and(|case| in_words(&case.argv))
                || step.setup.iter().any(|setup| match setup {
                    Setup::File { text, .. } => text.contains(&wanted),
                    Setup::Run(argv) => in_words(argv),
                    Setup::Random { .. } | Setup::Btrfs { .. } => false,
                })
        })
    }
}

impl Case {
    /// Returns the command as one line, for reports.
    pub fn command(&self) -> String {
        crate::words::join(&self.argv)
    }
}
