//! The commands in groups, in the order of help.

/// Each group's heading and its commands.
pub const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Containers",
        &[
            "list",
            "status",
            "ip",
            "create",
            "clone",
            "start",
            "stop",
            "shutdown",
            "reboot",
            "suspend",
            "resume",
            "migrate",
            "remote-migrate",
            "template",
            "destroy",
        ],
    ),
    ("Changes", &["config", "set", "pending", "resize", "move-volume", "unlock"]),
    (
        "Files and commands",
        &["exec", "enter", "console", "push", "pull", "mount", "unmount", "df", "fsck", "fstrim"],
    ),
    ("Snapshots and backup", &["snapshot", "listsnapshot", "rollback", "delsnapshot", "backup", "restore"]),
    ("Many and live", &["top", "watch", "tasks", "log"]),
    ("Node", &["node", "image", "doctor", "cpusets", "rescan"]),
    ("pvect itself", &["settings", "version", "compare", "demo", "completion", "man", "help"]),
];
