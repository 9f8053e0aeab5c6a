//! Runs groups of cases.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::after;
use crate::case::{Case, Expect, Group, Need, Setup};
use crate::depend::{Tainted, all_vmids};
use crate::diff::diff;
use crate::process::{self, Ended};
use crate::target::{Target, World};
use crate::words;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise; what was expected and what came.
    Failed(String),
    /// It could not be judged; why.
    Skipped(String),
}

/// One case's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// The group's name.
    pub group: String,
    /// The line in the file.
    pub line: usize,
    /// The command.
    pub command: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// One group's results.
#[derive(Debug)]
pub struct GroupResult {
    /// The group's name.
    pub name: String,
    /// Its cases, in order.
    pub cases: Vec<CaseResult>,
    /// How long it took.
    pub duration: Duration,
}

/// Plays groups, `jobs` at a time (one at a time on a real node); `done` is called for each as it ends.
pub fn run_all(
    groups: &[Group],
    world: &World,
    jobs: usize,
    done: &(dyn Fn(&GroupResult) + Sync),
) -> Vec<GroupResult> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let jobs = if world.is_real() { 1 } else { jobs.clamp(1, groups.len().max(1)) };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run_group(group, world);
                    done(&result);
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by(|one, other| one.name.cmp(&other.name));
    results
}

/// Plays one group on a node of its own.
pub fn run_group(group: &Group, world: &World) -> GroupResult {
    let began = Instant::now();
    let missing = group.needs.iter().find_map(missing_program);
    let vmids = all_vmids(group);
    let target = missing.map_or_else(|| Target::new(world, group, vmids), Err);
    let cases = match target {
        Ok(target) => {
            let mut player = Player { group, target, tainted: Tainted::default(), real: world.is_real() };
            player.play()
        }
        Err(reason) => group
            .cases()
            .map(|case| result(group, case.line, case.command(), Outcome::Skipped(reason.clone())))
            .collect(),
    };
    GroupResult { name: group.name.clone(), cases, duration: began.elapsed() }
}

fn result(group: &Group, line: usize, command: String, outcome: Outcome) -> CaseResult {
    CaseResult { group: group.name.clone(), line, command, outcome }
}

fn missing_program(need: &Need) -> Option<String> {
    let Need::Program(name) = need else { return None };
    let dirs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = dirs.iter().any(|dir| Path::new(dir).join(name).is_file());
    (!found).then(|| format!("{name} is not installed"))
}

struct Player<'a> {
    group: &'a Group,
    target: Target,
    tainted: Tainted,
    real: bool,
}

impl Player<'_> {
    fn play(&mut self) -> Vec<CaseResult> {
        let mut results = Vec::new();
        let group = self.group;
        for step in &group.steps {
            for setup in &step.setup {
                if let Err(text) = self.prepare(setup) {
                    let command = match setup {
                        Setup::Run(argv) => words::join(argv),
                        Setup::File { path, .. } | Setup::Random { path, .. } | Setup::Btrfs { path, .. } => {
                            path.clone()
                        }
                    };
                    let command = format!("setup: {command}");
                    results.push(result(group, step.line, command, Outcome::Failed(text)));
                }
            }
            if let Some(case) = &step.case {
                let outcome = self.case(case);
                results.push(result(group, case.line, case.command(), outcome));
            }
        }
        results
    }

    fn prepare(&mut self, setup: &Setup) -> Result<(), String> {
        match setup {
            Setup::File { path, mode, text } => {
                self.write(path, *mode, self.target.values.fill(text).as_bytes())?;
                self.tainted.rewritten(path);
                Ok(())
            }
            Setup::Random { path, mode, bytes } => {
                let mut state = 0x9e37_79b9_7f4a_7c15_u64;
                let mut content = Vec::with_capacity(*bytes);
                while content.len() < *bytes {
                    // xorshift: any bytes will do, but not ones that compress.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    content.extend_from_slice(&state.to_le_bytes());
                }
                content.truncate(*bytes);
                self.write(path, *mode, &content)
            }
            Setup::Btrfs { path, mib } => self.target.btrfs(path, *mib),
            Setup::Run(argv) => {
                let ended = self.run(argv, &[]).map_err(|text| format!("{text}\n"))?;
                if ended.exit == 0 {
                    return Ok(());
                }
                self.tainted.blame_setup(argv);
                Err(format!("exit {}\n{}{}", ended.exit, ended.stdout, ended.stderr))
            }
        }
    }

    fn write(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), String> {
        let path = self.target.values.fill(path);
        if self.real && !path.starts_with(self.target.values.get("tmp")) && self.was_there(&path) {
            return Err(format!("{path} is there already; a real node's files are not overwritten\n"));
        }
        let written = Path::new(&path)
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| {
                fs::OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&path)
            })
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.set_permissions(fs::Permissions::from_mode(mode))
            });
        written.map_err(|error| format!("{path}: {error}\n"))
    }

    /// Whether a file is there that no case wrote: configurations of the group's own containers may be rewritten.
    fn was_there(&self, path: &str) -> bool {
        !path.starts_with(self.target.values.get("conf")) && Path::new(path).exists()
    }

    fn run(&self, argv: &[String], stdin: &[u8]) -> Result<Ended, String> {
        process::run(&self.target.argv(argv), self.target.env(), stdin)
    }

    fn case(&mut self, case: &Case) -> Outcome {
        if let Some(reason) = case.needs.iter().find_map(missing_program) {
            self.tainted.blame(case);
            return Outcome::Skipped(reason);
        }
        if let Some(command) = self.tainted.blocks(case) {
            let short = command.split(" --").next().unwrap_or(command);
            let reason = format!("depends on '{short}', which did not do what it should or was skipped");
            self.tainted.blame(case);
            return Outcome::Skipped(reason);
        }
        let differs = case.differs.as_ref().filter(|_| !self.real);
        let expect = differs.map_or(&case.expect, |differs| &differs.expect);
        let deadline = Instant::now() + Duration::from_secs(case.within);
        loop {
            let ended = match self.run(&case.argv, &case.stdin) {
                Ok(ended) => ended,
                Err(text) => return Outcome::Failed(text),
            };
            let Some(text) = self.judge(expect, &ended) else {
                self.tainted.passed(case);
                return Outcome::Passed;
            };
            if let Some(reason) = cannot_yet(&case.needs, &ended) {
                self.tainted.blame(case);
                return Outcome::Skipped(reason);
            }
            if Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(250));
                continue;
            }
            if (ended.exit == 0) != expect.exit.is_success() {
                self.tainted.blame(case);
            }
            let reason = differs.map_or(String::new(), |differs| format!("(differs: {})\n", differs.reason));
            return Outcome::Failed(reason + &text);
        }
    }

    /// Returns what is not as expected.
    fn judge(&mut self, expect: &Expect, ended: &Ended) -> Option<String> {
        let mut text = String::new();
        let values = &mut self.target.values;
        let mut good = true;
        for (name, lines, actual) in
            [("stdout", &expect.stdout, &ended.stdout), ("stderr", &expect.stderr, &ended.stderr)]
        {
            if !lines.matches(actual, values) {
                good = false;
                text.push_str(&format!("{name}:\n{}", diff(lines, actual, values)));
            }
        }
        if !expect.exit.fits(ended.exit) {
            good = false;
            text.push_str(&format!("exit:\n- {}\n+ {}\n", expect.exit, ended.exit));
        }
        if let Some(complaint) = &ended.complaint {
            good = false;
            text.push_str(&format!("{complaint}\n"));
        }
        for after in &expect.after {
            if let Some(complaint) = after::check(after, values) {
                good = false;
                text.push_str(&complaint);
            }
        }
        (!good).then_some(text)
    }
}

/// Returns the reason when the node itself says that it cannot do what the case needs.
fn cannot_yet(needs: &[Need], ended: &Ended) -> Option<String> {
    needs.iter().find_map(|need| {
        let (sign, reason) = match need {
            Need::Verb(verb) => {
                let text = format!("the standalone node cannot do 'pct {verb}' yet");
                (text.clone(), text)
            }
            Need::Storage(kind) => (
                format!("has the type '{kind}', the standalone node can only use"),
                format!("the standalone node cannot use storages of the type '{kind}' yet"),
            ),
            Need::Program(_) => return None,
        };
        (ended.exit != 0 && ended.stderr.contains(&sign)).then_some(reason)
    })
}
