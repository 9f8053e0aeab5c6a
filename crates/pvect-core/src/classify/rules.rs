//! From texts to kinds.

use crate::error::ErrorKind;

/// A text means a kind when all of its parts are in it.
type Rule = (&'static [&'static str], ErrorKind);

/// In order: the first match decides. More specific texts come before more general ones.
const RULES: &[Rule] = &[
    // From the standalone node, whatever else the verb printed.
    (&["somebody else holds the socket of CT "], ErrorKind::PctOperationFailed),
    (&["ipcc_send_rec", "Connection refused"], ErrorKind::PctNotAvailable),
    (&["ipcc_send_rec"], ErrorKind::PctPermissionDenied),
    (&["Unable to load access control list"], ErrorKind::PctPermissionDenied),
    (&["please run as root"], ErrorKind::PctPermissionDenied),
    (&["no quorum"], ErrorKind::NoQuorum),
    // Permission on a pool that does not exist.
    (&["Permission check failed (pool '", "does not exist"], ErrorKind::NotFound),
    (&["403 "], ErrorKind::PctPermissionDenied),
    (&["Permission check failed"], ErrorKind::PctPermissionDenied),
    (&["detected modified configuration"], ErrorKind::Conflict),
    (&["protection mode enabled"], ErrorKind::Protected),
    (&["CT is locked ("], ErrorKind::Locked),
    (&["VM is locked ("], ErrorKind::Locked),
    (&["found lock '", "trying to remove"], ErrorKind::Locked),
    (&["can't lock file", "got timeout"], ErrorKind::Locked),
    (&["can't acquire lock"], ErrorKind::Locked),
    (&["already exists on node"], ErrorKind::AlreadyExists),
    (&["snapshot name '", "already used"], ErrorKind::AlreadyExists),
    (&["unable to create CT", "already exists"], ErrorKind::AlreadyExists),
    (&["already running"], ErrorKind::AlreadyRunning),
    (&["container is running"], ErrorKind::AlreadyRunning),
    (&["clone of a running container"], ErrorKind::AlreadyRunning),
    (&["not running"], ErrorKind::NotRunning),
    (&["to a running CT"], ErrorKind::NotRunning),
    (&["from a running VM"], ErrorKind::NotRunning),
    (&["from a running CT"], ErrorKind::NotRunning),
    (&["400 Result verification failed"], ErrorKind::PctCommandFailed),
    (&["400 "], ErrorKind::InvalidArgument),
    (&["Configuration file '", "does not exist"], ErrorKind::NotFound),
    (&["snapshot '", "does not exist"], ErrorKind::NotFound),
    (&["volume '", "does not exist"], ErrorKind::NotFound),
    (&["storage '", "does not exist"], ErrorKind::NotFound),
    (&["script '", "does not exist"], ErrorKind::NotFound),
    (&["bridge '", "does not exist"], ErrorKind::NotFound),
    (&["no such cluster node"], ErrorKind::NotFound),
    (&["can't find file '"], ErrorKind::NotFound),
    (&["can't open '", "No such file or directory"], ErrorKind::NotFound),
    (&["non-existing mount point"], ErrorKind::NotFound),
    (&["feature is not available"], ErrorKind::Unsupported),
    (&["Linked clone feature for", "is not available"], ErrorKind::Unsupported),
    (&["ERROR: no command specified"], ErrorKind::InvalidArgument),
    (&["ERROR: unknown command"], ErrorKind::InvalidArgument),
    (&["ERROR: incomplete command"], ErrorKind::InvalidArgument),
    (&["no options specified"], ErrorKind::InvalidArgument),
    (&["missing command"], ErrorKind::InvalidArgument),
    (&["unable to parse volume ID"], ErrorKind::InvalidArgument),
    (&["unable to parse directory volume name"], ErrorKind::InvalidArgument),
    (&["unable to delete required option"], ErrorKind::InvalidArgument),
    (&["unable to modify read-only option"], ErrorKind::InvalidArgument),
    (&["unable to use snapshot name", "(reserved name)"], ErrorKind::InvalidArgument),
    (&["unable to shrink disk size"], ErrorKind::InvalidArgument),
    (&["format error", "property is missing"], ErrorKind::InvalidArgument),
    (&["failed to get uid for: "], ErrorKind::InvalidArgument),
    (&["failed to get gid for: "], ErrorKind::InvalidArgument),
    (&["invalid mode: '"], ErrorKind::InvalidArgument),
];

/// Returns what the text means, if a rule matches.
pub(super) fn kind(stderr: &str, lines: &[String]) -> Option<ErrorKind> {
    let cleaned = lines.join("\n");
    let holds = |part: &str| {
        // Codes and `ERROR:` only count at the start of a line; they are gone from the cleaned text.
        if part.starts_with("400 ") || part.starts_with("403 ") || part.starts_with("ERROR: ") {
            stderr.lines().any(|line| line.starts_with(part))
        } else {
            stderr.contains(part) || cleaned.contains(part)
        }
    };
    RULES.iter().find(|(parts, _)| parts.iter().all(|part| holds(part))).map(|(_, kind)| *kind)
}

/// Lines that pct writes to stderr although the verb succeeded.
pub(super) fn is_warning(line: &str) -> bool {
    line.starts_with("Task finished with ")
        || line.starts_with("WARN")
        || line.starts_with("Use of uninitialized value ")
        || line.starts_with("perl: warning: ")
}

/// Returns the kind if stderr has only a message that pct itself writes before it runs the container's command.
pub(super) fn own_message(stderr: &str, lines: &[String]) -> Option<ErrorKind> {
    let first = stderr.lines().find(|line| !line.starts_with("Use of uninitialized value "))?;
    let usage = || stderr.trim_end().lines().last().is_some_and(|last| last.starts_with("pct "));
    let own = match lines {
        [only] => {
            only.starts_with("Configuration file 'nodes/") && only.ends_with(".conf' does not exist")
                || only.starts_with("container '") && only.ends_with("' not running!")
                || only.starts_with("somebody else holds the socket of CT ")
                    && only.ends_with("; end that process")
                || first.starts_with("missing command at /usr/share/perl5/")
                || only == "please run as root"
                || only.starts_with("Unable to load access control list: ")
        }
        _ => false,
    };
    // Errors in arguments end with the verb's line of usage, which a command in the container has no reason to print.
    let arguments = usage() && (first.starts_with("400 ") || stderr.contains("\n400 "));
    if own || arguments { kind(stderr, lines) } else { None }
}
