//! Which containers a case works on, so that a failure is reported once and not by all that follow.

use std::collections::BTreeMap;

use crate::case::{Case, Group, Setup};

/// Containers whose state is not what the cases expect, with the command that is to blame.
#[derive(Debug, Default)]
pub(crate) struct Tainted(BTreeMap<String, String>);

/// Verbs that change a container when they end with 0.
const CHANGING: &[&str] = &[
    "clone",
    "create",
    "delsnapshot",
    "destroy",
    "migrate",
    "mount",
    "move-volume",
    "push",
    "reboot",
    "resize",
    "restore",
    "resume",
    "rollback",
    "set",
    "shutdown",
    "snapshot",
    "start",
    "stop",
    "suspend",
    "template",
    "unlock",
    "unmount",
];

/// Verbs that speak of all containers.
const OF_ALL: &[&str] = &["list", "cpusets", "rescan"];

/// The words after `pct`.
fn words(argv: &[String]) -> &[String] {
    let at = argv.iter().position(|word| word == "pct");
    at.map_or(&[], |at| &argv[at + 1..])
}

fn verb(argv: &[String]) -> &str {
    words(argv).first().map_or("", String::as_str)
}

fn vmids(argv: &[String]) -> Vec<&String> {
    let vmid = |word: &&String| (3..=9).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
    let count = if verb(argv) == "clone" { 2 } else { 1 };
    words(argv).iter().skip(1).take_while(|word| !word.starts_with('-')).filter(vmid).take(count).collect()
}

/// The container that a command changes or makes.
fn changed(argv: &[String]) -> Option<&String> {
    vmids(argv).pop()
}

impl Tainted {
    /// Returns the command to blame when a case cannot be judged.
    pub(crate) fn blocks(&self, case: &Case) -> Option<&str> {
        let verb = verb(&case.argv);
        if OF_ALL.contains(&verb) {
            return self.0.values().next().map(String::as_str);
        }
        let makes = ["create", "restore"].contains(&verb) && case.expect.exit.is_success();
        vmids(&case.argv).into_iter().filter(|_| !makes).find_map(|vmid| self.0.get(vmid)).map(String::as_str)
    }

    /// Notes that a case did not do what it should, so that its container is not as expected.
    pub(crate) fn blame(&mut self, case: &Case) {
        self.blame_command(&case.argv, case.command(), case.expect.exit.is_success(), case.changes);
    }

    /// Notes that a setup command failed.
    pub(crate) fn blame_setup(&mut self, argv: &[String]) {
        self.blame_command(argv, crate::words::join(argv), true, None);
    }

    fn blame_command(&mut self, argv: &[String], command: String, well: bool, changes: Option<bool>) {
        if changes.unwrap_or(well && CHANGING.contains(&verb(argv))) {
            if let Some(vmid) = changed(argv) {
                self.0.entry(vmid.clone()).or_insert(command);
            }
        }
    }

    /// Notes that a configuration was written by hand.
    pub(crate) fn rewritten(&mut self, path: &str) {
        of_config(path).and_then(|vmid| self.0.remove(vmid));
    }

    /// Notes that a case did what it should: a container that was made anew is as expected.
    pub(crate) fn passed(&mut self, case: &Case) {
        if ["create", "restore"].contains(&verb(&case.argv)) && case.expect.exit.is_success() {
            changed(&case.argv).and_then(|vmid| self.0.remove(vmid));
        }
    }
}

/// Returns every vmid that a group names, in commands or in configurations that it writes.
pub(crate) fn all_vmids(group: &Group) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for step in &group.steps {
        for setup in &step.setup {
            match setup {
                Setup::Run(argv) => found.extend(vmids(argv).into_iter().cloned()),
                Setup::File { path, .. } => found.extend(of_config(path).map(str::to_owned)),
                Setup::Random { .. } | Setup::Btrfs { .. } => {}
            }
        }
        if let Some(case) = &step.case {
            found.extend(vmids(&case.argv).into_iter().cloned());
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The container whose configuration a path is.
fn of_config(path: &str) -> Option<&str> {
    path.strip_prefix("{conf}/").and_then(|name| name.strip_suffix(".conf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(line: &str, exit: i32) -> Case {
        let text = format!("title: t\n\n$ {line}\nexit {exit}\n");
        let group = crate::parse::parse("t", &text, &|_| None).unwrap();
        group.cases().next().unwrap().clone()
    }

    #[test]
    fn only_what_follows_is_blocked() {
        let mut tainted = Tainted::default();
        tainted.blame(&case("pct create 201 x --start 1", 0));
        assert_eq!(tainted.blocks(&case("pct status 201", 0)), Some("pct create 201 x --start 1"));
        assert_eq!(tainted.blocks(&case("pct list", 0)), Some("pct create 201 x --start 1"));
        assert_eq!(tainted.blocks(&case("pct status 202", 0)), None);
        assert_eq!(tainted.blocks(&case("pct clone 201 301", 0)), Some("pct create 201 x --start 1"));
        let again = case("pct create 201 y", 0);
        assert_eq!(tainted.blocks(&again), None);
        tainted.passed(&again);
        assert_eq!(tainted.blocks(&case("pct list", 0)), None);
    }

    #[test]
    fn all_containers_of_a_group_are_known() {
        let text = "title: t\n\nfile {conf}/9000.conf\n| a: b\nrun pct create 201 x\n\n$ pct clone 201 301\n";
        let group = crate::parse::parse("t", text, &|_| None).unwrap();
        assert_eq!(all_vmids(&group), ["201", "301", "9000"]);
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let mut tainted = Tainted::default();
        tainted.blame(&case("pct set 201 --memory abc", 2));
        tainted.blame(&case("pct status 201", 0));
        assert_eq!(tainted.blocks(&case("pct list", 0)), None);
        tainted.blame(&case("pct clone 201 301", 0));
        assert_eq!(tainted.blocks(&case("pct config 201", 0)), None);
        assert!(tainted.blocks(&case("env -i A=1 pct config 301", 0)).is_some());
    }
}
