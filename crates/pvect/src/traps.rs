//! The traps of pct that pvect closes: `docs/traps.md` and `pvect help traps` are made of this table.

use serde::Serialize;

/// A trap: what pct does unexpectedly, and what pvect does instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Trap {
    /// Its name. Each has tests named `trap_` and this name, with underscores.
    pub id: &'static str,
    /// What pct does.
    pub pct: &'static str,
    /// What pvect does.
    pub pvect: &'static str,
}

const fn trap(id: &'static str, pct: &'static str, pvect: &'static str) -> Trap {
    Trap { id, pct, pvect }
}

/// Every trap.
pub static TRAPS: [Trap; 22] = [
    trap(
        "env-one-var",
        "--env takes one variable in a call: several are separated by NUL, which no argument can contain.",
        "--env may be given as often as needed. pct gets the first; pvect writes the others into the \
         configuration file, under pct's own lock file, before the container is started.",
    ),
    trap(
        "exit-zero",
        "push, pull, resize and template exit with 0 even if their task failed.",
        "pvect reads the task's output and checks the effect: the copy, the recorded size, the template \
         mark. If the effect is missing, the error is pct_operation_failed.",
    ),
    trap(
        "silent-copy",
        "push and pull do not notice write errors such as a full disk, and make an empty file of a \
         directory.",
        "Both sides are compared, byte by byte or by SHA-256. A directory is refused without --recursive; with it, \
         everything in it is copied with owners and modes, and compared. A missing source is found before \
         the target is emptied.",
    ),
    trap(
        "bytes-vs-gib",
        "resize 100 rootfs 8 asks for 8 bytes, while rootfs local:8 asks for 8 GiB.",
        "A plain number below 1 GiB is refused, and the error names 8G and +8G; on a terminal pvect asks. \
         --bytes says that bytes are meant.",
    ),
    trap(
        "swap-default",
        "A configuration without swap means 0, although the default of create is 512.",
        "An absent swap is compared and reported as 0.",
    ),
    trap(
        "unpriv-default",
        "A configuration without unprivileged means privileged; the default of create changed from 0 to 1.",
        "create always says --unprivileged explicitly (1 unless you say otherwise); an absent key is read \
         as 0.",
    ),
    trap(
        "df-mounts",
        "df of a stopped container mounts its volumes on the host and locks it meanwhile.",
        "df of a stopped container is refused; --mount measures it anyway.",
    ),
    trap(
        "empty-list",
        "list prints nothing, not even a header, if there are no containers.",
        "No output is an empty list: [] as JSON, a header as a table.",
    ),
    trap(
        "nul-output",
        "config prints the variables of env separated by NUL bytes.",
        "They are read as a list; JSON and YAML show an array.",
    ),
    trap(
        "merged-streams",
        "Warnings of a task, and what its tools write to stderr, appear on stdout.",
        "pvect takes the warnings out of the task's log and reports them as warnings.",
    ),
    trap(
        "net10-unplug",
        "net10 to net31 cannot be unplugged from a running container: the deletion silently stays pending.",
        "After set --delete pvect reads the pending changes, and warns if an interface is still there.",
    ),
    trap(
        "keep-env",
        "exec and enter hand the caller's whole environment to the container.",
        "exec and enter pass --keep-env 0; --keep-env 1 hands the environment on.",
    ),
    trap(
        "argv-secrets",
        "--password VALUE and the token of remote-migrate are in the process list.",
        "Passwords come from a prompt, a file or stdin and go to pct through its own prompt. \
         remote-migrate is refused without --allow-token-in-argv, because pct has no other way to take its \
         token.",
    ),
    trap(
        "oci-overrides",
        "The environment and entry point of an OCI image replace those given to create.",
        "After create, pvect compares them, sets lost ones again and warns; --start waits until that is \
         done.",
    ),
    trap(
        "ha-async",
        "start, stop, shutdown and migrate of an HA resource return before anything has happened.",
        "pvect waits until the container runs, is stopped, or has left the node. --no-wait returns at once.",
    ),
    trap(
        "reboot-locked",
        "reboot of a locked container kills it and leaves it stopped.",
        "It is refused, and the error names the lock; --force reboots anyway.",
    ),
    trap(
        "oci-arch",
        "From an OCI archive for several architectures, pct takes the first, whatever --arch says.",
        "create of an OCI archive with --arch warns. The standalone node takes the image of that \
         architecture.",
    ),
    trap(
        "api-gap",
        "exec, enter, console, push, pull, mount, unmount, fsck, fstrim, df, rescan, cpusets, unlock and \
         raw lxc.* keys have no API.",
        "The table of verbs says which have none (docs/verbs.md); they always go through pct.",
    ),
    trap(
        "rollback-kills",
        "rollback kills a running container without asking.",
        "It is refused for a running container; --force rolls back anyway.",
    ),
    trap(
        "desc-newline",
        "A description comes back with one more line break.",
        "Values are compared by their meaning: set --if-changed finds nothing to change.",
    ),
    trap(
        "tags-normalised",
        "Tags come back lower-cased, sorted and joined with a semicolon.",
        "As for desc-newline: order, case and separator do not count.",
    ),
    trap(
        "stored-values",
        "One stored value outside the schema, and config shows nothing of the container, or list nothing of the node.",
        "On the node itself its files are read: all of it is shown, and each line that cannot be parsed is a \
         warning. doctor names such lines. Where pct is asked, its error says which value it is.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut ids: Vec<_> = TRAPS.iter().map(|trap| trap.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), TRAPS.len());
    }
}
