//! The commands of docker, podman, incus, systemctl, virsh and Proxmox VE's other tools, and what does the same here.

/// A word that is not a command here, and the command that may be meant, as it is typed after `pvect`.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["ls", "ps", "containers", "ct"], "list"),
    (&["rm", "remove", "delete", "purge"], "destroy CT"),
    (&["run", "launch", "new", "init", "add"], "create TEMPLATE --start"),
    (&["restart", "reset"], "reboot CT"),
    (&["kill", "poweroff", "halt", "stop-ct"], "stop CT"),
    (&["stopall", "stop-all"], "stop all"),
    (&["startall", "start-all"], "start all"),
    (&["shutdownall", "shutdown-all"], "shutdown all"),
    (&["boot", "up"], "start CT"),
    (&["down"], "shutdown CT"),
    (&["freeze", "pause"], "suspend CT"),
    (&["thaw", "unpause", "unfreeze"], "resume CT"),
    (&["logs", "journal"], "log CT"),
    (&["history"], "tasks"),
    (&["inspect", "show", "get", "cat"], "config CT"),
    (&["info", "state"], "status CT --verbose"),
    (&["edit", "update", "change", "modify", "rename"], "set CT --OPTION VALUE"),
    (&["shell", "sh", "bash", "login", "ssh"], "enter CT"),
    (&["attach", "terminal"], "console CT"),
    (&["file", "upload", "cp"], "push CT FILE DESTINATION"),
    (&["download", "fetch"], "pull CT PATH DESTINATION"),
    (&["copy"], "clone CT"),
    (&["mv", "relocate"], "migrate CT NODE"),
    (&["snapshots", "checkpoint"], "listsnapshot CT"),
    (&["revert"], "rollback CT SNAPSHOT"),
    (&["vzdump", "export", "dump", "save"], "backup CT"),
    (&["import", "load"], "restore ARCHIVE"),
    (&["backups"], "backup list"),
    (&["images"], "image list"),
    (&["templates", "pveam"], "template list"),
    (&["build"], "template build busybox"),
    (&["stats", "htop"], "top"),
    (&["events", "monitor"], "watch"),
    (&["network", "networks", "bridge"], "node network"),
    (&["serve", "api"], "node serve"),
    (&["user", "users", "pveum"], "node user"),
    (&["token", "tokens"], "node token"),
    (&["acl", "rights"], "node acl"),
    (&["grow", "disk"], "resize CT DISK SIZE"),
    (&["check", "fix", "repair"], "doctor"),
];

/// Returns the command that may be meant by one of another tool.
pub fn meant(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    COMMANDS.iter().find(|(words, _)| words.contains(&word.as_str())).map(|(_, command)| *command)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::args::{Globals, Line, read};

    #[test]
    fn each_word_is_there_once_and_leads_to_a_command() {
        let mut seen = BTreeSet::new();
        for (words, command) in COMMANDS {
            for word in *words {
                assert!(seen.insert(word), "{word} is there twice");
                let line = read(&[(*word).to_owned()], &mut Globals::default());
                let error = line.expect_err(word).to_string();
                assert!(error.contains(&format!("`pvect {command}`")), "{word}: {error}");
            }
            let first = command.split(' ').next().unwrap_or_default().to_owned();
            let line = read(std::slice::from_ref(&first), &mut Globals::default()).unwrap();
            assert!(!matches!(line, Line::Nothing), "{first}");
        }
    }
}
