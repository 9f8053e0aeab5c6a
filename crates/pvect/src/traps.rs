//! The traps of pct that pvect closes: `docs/traps.md` and `pvect help traps` are made of this table.

use serde::Serialize;

/// A trap: what pct does that one does not expect, and what pvect does instead.
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
        "--env takes one variable in a call: several are separated by NUL, which no argument can hold.",
        "--env may be given as often as needed. pct gets the first; the others are written into the configuration \
         file beside it, under pct's own lock file, before the container is started.",
    ),
    trap(
        "exit-zero",
        "push, pull, resize and template exit with 0 when their task failed.",
        "The task's output is read and the effect is looked at: the copy, the recorded size, the template mark. An \
         effect that is not there is pct_operation_failed.",
    ),
    trap(
        "silent-copy",
        "push and pull do not notice write errors such as a full disk, and make an empty file of a directory.",
        "Both sides are compared by SHA-256. A directory is refused without --recursive; with it, everything in it \
         is copied with owners and modes, and compared. A missing source is found before the target is emptied.",
    ),
    trap(
        "bytes-vs-gib",
        "resize 100 rootfs 8 asks for 8 bytes, while rootfs local:8 asks for 8 GiB.",
        "A plain number below 1 GiB is refused, with 8G and +8G named; on a terminal it is asked. --bytes says that \
         bytes are meant.",
    ),
    trap(
        "swap-default",
        "A configuration without swap means 0, although the default of create is 512.",
        "An absent swap is compared and reported as 0.",
    ),
    trap(
        "unpriv-default",
        "A configuration without unprivileged means privileged; the default of create changed from 0 to 1.",
        "create always says --unprivileged explicitly (1 unless you say otherwise); an absent key is read as 0.",
    ),
    trap(
        "df-mounts",
        "df of a stopped container mounts its volumes on the host and locks it meanwhile.",
        "df of a stopped container is refused; --mount does it.",
    ),
    trap(
        "empty-list",
        "list prints nothing, not even a header, when there is no container.",
        "No output is an empty list: [] as JSON, a header as table.",
    ),
    trap(
        "nul-output",
        "config prints the variables of env separated by NUL bytes.",
        "They are read as a list; JSON and YAML show an array.",
    ),
    trap(
        "merged-streams",
        "Warnings of a task, and what its tools write to stderr, come on stdout.",
        "The warnings are taken out of the task's log and reported as warnings.",
    ),
    trap(
        "net10-unplug",
        "net10 to net31 cannot be unplugged from a running container: the deletion stays pending, without a word.",
        "After set --delete the pending changes are read, and an interface that is still there is a warning.",
    ),
    trap(
        "keep-env",
        "exec and enter hand the caller's whole environment into the container.",
        "exec and enter pass --keep-env 0; --keep-env 1 hands the environment on.",
    ),
    trap(
        "argv-secrets",
        "--password VALUE and the token of remote-migrate are in the process list.",
        "Passwords come from a prompt, a file or stdin and go to pct through its own prompt. remote-migrate is \
         refused unless --allow-token-in-argv says that it is all right, because pct has no other way.",
    ),
    trap(
        "oci-overrides",
        "Environment and entry point of an OCI image replace those that create was given.",
        "After create they are compared, set again where they were lost, and that is a warning; a start waits for it.",
    ),
    trap(
        "ha-async",
        "start, stop, shutdown and migrate of an HA resource return before anything has happened.",
        "pvect waits until the container runs, is stopped, or has left the node. --no-wait returns at once.",
    ),
    trap(
        "reboot-locked",
        "reboot of a locked container kills it and leaves it stopped.",
        "It is refused with the lock named; --force does it.",
    ),
    trap(
        "oci-arch",
        "Of an OCI archive for several architectures the first is taken, whatever --arch says.",
        "create of an OCI archive with --arch warns. The standalone node takes the image of that architecture.",
    ),
    trap(
        "api-gap",
        "exec, enter, console, push, pull, mount, unmount, fsck, fstrim, df, rescan, cpusets, unlock and raw lxc.* keys \
         have no API.",
        "The table of verbs knows which have none (docs/verbs.md); they always go through pct.",
    ),
    trap(
        "rollback-kills",
        "rollback kills a running container without asking.",
        "It is refused for a running container; --force does it.",
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
