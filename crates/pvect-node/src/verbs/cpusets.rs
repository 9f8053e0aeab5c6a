//! `pct cpusets`: shows which CPUs the running containers may use.

use std::collections::BTreeSet;
use std::path::Path;

use pvect_core::{Call, Vmid};
use pvect_native::{Controller, NativeReader, Version};

use crate::{Node, NodeResult, Output, hostmount, vmids};

/// The longest list of CPUs that is printed: the kernel's own bound.
const CPU_MAX: u32 = 8192;

/// Shows which CPUs the running containers may use. Returns the exit status.
///
/// # Errors
/// When the configurations cannot be listed.
pub fn run(node: &Node, _call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let reader = hostmount::reader(node);
    let running = reader.running();
    let known = vmids::all(node)?.into_iter().filter(|vmid| running.contains(vmid));
    // A container that has ended since is skipped.
    let sets = known.filter_map(|vmid| Some((vmid.to_string(), cpus(&reader, vmid)?)));
    output.text(table(sets.collect()));
    Ok(0)
}

/// The CPUs that a container may use: those of its cgroup, or, on machines without cpusets, those of its init.
fn cpus(reader: &NativeReader, vmid: Vmid) -> Option<BTreeSet<u32>> {
    let of_cgroup = reader.cgroups().controller("cpuset").and_then(|Controller { version, path }| {
        let file = match version {
            Version::V1 => "cpuset.effective_cpus",
            Version::V2 => "cpuset.cpus.effective",
        };
        let list = std::fs::read_to_string(path.join(reader.names().cgroup(vmid)).join(file)).ok()?;
        parse(list.trim())
    });
    of_cgroup.or_else(|| allowed(Path::new("/proc"), reader.init_pid(vmid)?))
}

/// The CPUs that a process may use. Source: proc(5).
fn allowed(proc: &Path, pid: u32) -> Option<BTreeSet<u32>> {
    let status = std::fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    parse(list.trim())
}

/// Parses a list such as `0-2,7`; `None` when it is not one.
fn parse(list: &str) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        cpus.extend(first..=last.min(CPU_MAX));
    }
    Some(cpus)
}

/// Prints the table: each CPU in a column of its own, a gap where a container may not use it; sorted by vmid as text.
fn table(mut sets: Vec<(String, BTreeSet<u32>)>) -> String {
    if sets.is_empty() {
        return "no running containers\n".to_owned();
    }
    sets.sort();
    let lines: Vec<(String, String)> = sets.into_iter().map(|(vmid, cpus)| (vmid, line(&cpus))).collect();
    let wide = lines.iter().map(|(vmid, _)| vmid.len()).max().unwrap_or(0);
    let rule = "-".repeat(wide + lines.iter().map(|(_, line)| line.len()).max().unwrap_or(0));
    let rows: String = lines.iter().map(|(vmid, line)| format!("{vmid:>wide$}{line}\n")).collect();
    format!("{rule}\n{rows}{rule}\n")
}

fn line(cpus: &BTreeSet<u32>) -> String {
    let last = cpus.last().map_or(0, |last| last + 1);
    let cells = (0..last).map(|cpu| {
        let name = cpu.to_string();
        if cpus.contains(&cpu) { format!(" {name}") } else { " ".repeat(name.len() + 1) }
    });
    format!(": {}", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(vmid: &str, list: &str) -> (String, BTreeSet<u32>) {
        (vmid.to_owned(), parse(list).unwrap())
    }

    #[test]
    fn the_recorded_table_is_printed() {
        assert_eq!(
            table(vec![set("301", "0-1"), set("201", "0-1"), set("202", "1")]),
            "---------\n201:  0 1\n202:    1\n301:  0 1\n---------\n"
        );
        assert_eq!(table(Vec::new()), "no running containers\n");
    }

    #[test]
    fn wide_numbers_have_wide_gaps() {
        assert_eq!(
            table(vec![set("101", "9,11"), set("1000", "10-11")]),
            format!(
                "{0}\n1000:{1} 10 11\n 101:{2} 9    11\n{0}\n",
                "-".repeat(32),
                " ".repeat(21),
                " ".repeat(19)
            )
        );
    }

    #[test]
    fn lists_are_parsed() {
        assert_eq!(parse("0-2,7").unwrap().into_iter().collect::<Vec<_>>(), [0, 1, 2, 7]);
        assert_eq!(parse("").unwrap().len(), 0);
        assert!(parse("x").is_none() && parse("1-").is_none());
        assert!(parse("0-4294967295").unwrap().len() < 10_000);
    }

    #[test]
    fn a_running_process_has_cpus() {
        assert!(!allowed(Path::new("/proc"), std::process::id()).unwrap().is_empty());
        assert!(allowed(Path::new("/no/such"), 1).is_none());
    }
}
