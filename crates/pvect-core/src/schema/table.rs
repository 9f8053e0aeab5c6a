//! The table of verbs: arguments, options, behaviour.

use super::Kind::{Integer, List, Properties, Text, VolumeKey};
use super::options::{flag, option};
use super::shared::{
    BWLIMIT_TEXT, CLONE_LIMIT, CREATE_OPTIONS, DIGEST, EXTRA, KEEP_ENV, MIGRATE_LIMIT, ONLY_VMID, OSTEMPLATE,
    RESTORE_OPTIONS, SKIPLOCK, SNAP_ARGS, STORAGE_TEXT, TRANSFER_OPTIONS, VMID, arg, bwlimit,
};
use super::{ApiTwin, ArgSpec, ExitRule, Format, OptionSpec, TimeClass, Verb, VerbSpec, properties};

const LXC: &str = "/nodes/{node}/lxc";
const CT: &str = "/nodes/{node}/lxc/{vmid}";
const fn twin(method: &'static str, path: &'static str) -> Option<ApiTwin> {
    Some(ApiTwin { method, path })
}

/// An entry with what most verbs have; the table below overrides the rest.
const fn verb(verb: Verb, args: &'static [ArgSpec], text: &'static str) -> VerbSpec {
    VerbSpec {
        verb,
        name: verb.name(),
        aliases: &[],
        args,
        options: &[],
        config_options: false,
        task: None,
        exit: ExitRule::Direct,
        time: TimeClass::Quick,
        api: None,
        mutates: true,
        text,
    }
}

const fn read(name: Verb, args: &'static [ArgSpec], api: Option<ApiTwin>, text: &'static str) -> VerbSpec {
    VerbSpec { mutates: false, time: TimeClass::Read, api, ..verb(name, args, text) }
}

const fn task(
    name: Verb,
    args: &'static [ArgSpec],
    worker: &'static str,
    api: Option<ApiTwin>,
    text: &'static str,
) -> VerbSpec {
    VerbSpec {
        task: Some(worker),
        exit: ExitRule::TaskChecked,
        time: TimeClass::Long,
        api,
        ..verb(name, args, text)
    }
}

/// Every verb, in the order of [`Verb::ALL`].
pub static VERBS: [VerbSpec; 38] = [
    VerbSpec {
        options: &[
            bwlimit(CLONE_LIMIT),
            option("description", Text(Format::Any), "Description of the new container."),
            flag("full", None, "Copy all volumes; only templates can be cloned without."),
            option("hostname", Text(Format::DnsName), "Host name of the new container."),
            option("pool", Text(Format::PoolId), "Make the new container a member of this pool."),
            option("snapname", Text(Format::SnapshotName), "Clone the state that this snapshot recorded."),
            option("storage", Text(Format::StorageId), STORAGE_TEXT),
            option("target", Text(Format::Node), "Another node, if all volumes are on shared storage."),
        ],
        ..task(
            Verb::Clone,
            &[VMID, arg("newid", Text(Format::Vmid), "The number of the new container.")],
            "vzclone",
            twin("POST", "/nodes/{node}/lxc/{vmid}/clone"),
            "Make a copy of a container.",
        )
    },
    VerbSpec {
        options: CREATE_OPTIONS,
        config_options: true,
        ..task(
            Verb::Create,
            &[VMID, OSTEMPLATE],
            "vzcreate",
            twin("POST", LXC),
            "Make a container from a template.",
        )
    },
    VerbSpec {
        options: &[
            flag(
                "destroy-unreferenced-disks",
                None,
                "Also remove volumes of this id that no configuration names.",
            ),
            flag("force", Some("0"), "Stop the container first if it runs."),
            flag("purge", Some("0"), "Also take it out of backup jobs, replication jobs and HA."),
        ],
        ..task(
            Verb::Destroy,
            ONLY_VMID,
            "vzdestroy",
            twin("DELETE", CT),
            "Remove a container and its volumes.",
        )
    },
    read(Verb::List, &[], twin("GET", LXC), "List the containers of the node."),
    VerbSpec {
        options: &[
            bwlimit(MIGRATE_LIMIT),
            flag("online", None, "Live migration (refused for running containers)."),
            flag("restart", None, "Stop the container, move it, start it there."),
            option("target-storage", List(Format::StorageMap), "Which storage replaces which."),
            OptionSpec {
                default: Some("180"),
                ..option("timeout", Integer { min: None, max: None }, "Seconds to wait for the shutdown.")
            },
        ],
        ..task(
            Verb::Migrate,
            &[VMID, arg("target", Text(Format::Node), "The node to move to.")],
            "vzmigrate",
            twin("POST", "/nodes/{node}/lxc/{vmid}/migrate"),
            "Move a container to another node.",
        )
    },
    VerbSpec {
        aliases: &["move_volume"],
        options: &[
            bwlimit(CLONE_LIMIT),
            flag("delete", Some("0"), "Remove the original after the copy."),
            DIGEST,
            option("target-digest", Text(Format::Digest), "As digest, for the target's configuration."),
        ],
        ..task(
            Verb::MoveVolume,
            &[
                VMID,
                arg("volume", VolumeKey { unused: true }, "The volume to move."),
                ArgSpec {
                    optional: true,
                    ..arg("storage", Text(Format::StorageId), "The storage to move to.")
                },
                ArgSpec {
                    optional: true,
                    ..arg("target-vmid", Text(Format::Vmid), "The container to move to.")
                },
                ArgSpec {
                    optional: true,
                    ..arg(
                        "target-volume",
                        VolumeKey { unused: true },
                        "Its name in the target's configuration.",
                    )
                },
            ],
            "move_volume",
            twin("POST", "/nodes/{node}/lxc/{vmid}/move_volume"),
            "Move a volume to another storage or container.",
        )
    },
    read(
        Verb::Pending,
        ONLY_VMID,
        twin("GET", "/nodes/{node}/lxc/{vmid}/pending"),
        "Show the configuration with its pending changes.",
    ),
    VerbSpec {
        options: &[DIGEST],
        exit: ExitRule::TaskUnchecked,
        ..task(
            Verb::Resize,
            &[
                VMID,
                arg("disk", VolumeKey { unused: false }, "The volume to grow."),
                arg(
                    "size",
                    Text(Format::ResizeSize),
                    "The new size, or +SIZE to add; with K, M, G or T, else bytes.",
                ),
            ],
            "resize",
            twin("PUT", "/nodes/{node}/lxc/{vmid}/resize"),
            "Grow a volume.",
        )
    },
    VerbSpec {
        options: RESTORE_OPTIONS,
        config_options: true,
        ..task(
            Verb::Restore,
            &[VMID, OSTEMPLATE],
            "vzrestore",
            twin("POST", LXC),
            "Make a container from a backup.",
        )
    },
    VerbSpec {
        exit: ExitRule::TaskUnchecked,
        ..task(
            Verb::Template,
            ONLY_VMID,
            "vztemplate",
            twin("POST", "/nodes/{node}/lxc/{vmid}/template"),
            "Turn a container into a template.",
        )
    },
    VerbSpec {
        options: &[
            flag("current", Some("0"), "What is in force now, without pending changes."),
            option("snapshot", Text(Format::SnapshotName), "What this snapshot recorded."),
        ],
        ..read(
            Verb::Config,
            ONLY_VMID,
            twin("GET", "/nodes/{node}/lxc/{vmid}/config"),
            "Show the configuration of a container.",
        )
    },
    VerbSpec {
        options: &[
            option("delete", List(Format::ConfigId), "Options to remove."),
            DIGEST,
            option("revert", List(Format::ConfigId), "Pending changes to take back."),
        ],
        config_options: true,
        api: twin("PUT", "/nodes/{node}/lxc/{vmid}/config"),
        ..verb(Verb::Set, ONLY_VMID, "Change options of a container.")
    },
    VerbSpec {
        options: &[flag(
            "force",
            None,
            "Take it out of the configuration even if its volumes cannot be removed.",
        )],
        ..task(
            Verb::Delsnapshot,
            SNAP_ARGS,
            "vzdelsnapshot",
            twin("DELETE", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}"),
            "Remove a snapshot.",
        )
    },
    read(
        Verb::Listsnapshot,
        ONLY_VMID,
        twin("GET", "/nodes/{node}/lxc/{vmid}/snapshot"),
        "List the snapshots of a container.",
    ),
    VerbSpec {
        options: &[flag("start", Some("0"), "Start the container afterwards.")],
        ..task(
            Verb::Rollback,
            SNAP_ARGS,
            "vzrollback",
            twin("POST", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/rollback"),
            "Go back to a snapshot.",
        )
    },
    VerbSpec {
        options: &[option("description", Text(Format::Any), "What the snapshot is for.")],
        ..task(
            Verb::Snapshot,
            SNAP_ARGS,
            "vzsnapshot",
            twin("POST", "/nodes/{node}/lxc/{vmid}/snapshot"),
            "Record the state of a container.",
        )
    },
    VerbSpec {
        options: &[option(
            "timeout",
            Integer { min: Some(0), max: None },
            "Seconds to wait for the shutdown before the container is killed.",
        )],
        ..task(
            Verb::Reboot,
            ONLY_VMID,
            "vzreboot",
            twin("POST", "/nodes/{node}/lxc/{vmid}/status/reboot"),
            "Shut a container down and start it again, with its pending changes.",
        )
    },
    task(
        Verb::Resume,
        ONLY_VMID,
        "vzresume",
        twin("POST", "/nodes/{node}/lxc/{vmid}/status/resume"),
        "Wake a suspended container.",
    ),
    VerbSpec {
        options: &[
            flag("forceStop", Some("0"), "Kill the container after that time."),
            OptionSpec {
                default: Some("60"),
                ..option("timeout", Integer { min: Some(0), max: None }, "Seconds to wait for the shutdown.")
            },
        ],
        ..task(
            Verb::Shutdown,
            ONLY_VMID,
            "vzshutdown",
            twin("POST", "/nodes/{node}/lxc/{vmid}/status/shutdown"),
            "Ask a container to shut down.",
        )
    },
    VerbSpec {
        options: &[flag("debug", Some("0"), "Log the start as verbosely as possible."), SKIPLOCK],
        ..task(
            Verb::Start,
            ONLY_VMID,
            "vzstart",
            twin("POST", "/nodes/{node}/lxc/{vmid}/status/start"),
            "Start a container.",
        )
    },
    VerbSpec {
        options: &[
            flag("overrule-shutdown", Some("0"), "End a running shutdown task of the container first."),
            SKIPLOCK,
        ],
        ..task(
            Verb::Stop,
            ONLY_VMID,
            "vzstop",
            twin("POST", "/nodes/{node}/lxc/{vmid}/status/stop"),
            "Kill all processes of a container.",
        )
    },
    task(
        Verb::Suspend,
        ONLY_VMID,
        "vzsuspend",
        twin("POST", "/nodes/{node}/lxc/{vmid}/status/suspend"),
        "Suspend a container to disk (experimental).",
    ),
    VerbSpec {
        options: &[OptionSpec {
            default: Some("^a"),
            ..option(
                "escape",
                Text(Format::EscapeChar),
                "The prefix that ends the console with q: ^b stands for Ctrl+b.",
            )
        }],
        exit: ExitRule::Replaced,
        time: TimeClass::Unbounded,
        ..verb(Verb::Console, ONLY_VMID, "Open the console of a container.")
    },
    read(Verb::Cpusets, &[], None, "Print which CPUs the running containers may use."),
    VerbSpec { time: TimeClass::Quick, ..read(Verb::Df, ONLY_VMID, None, "Print how full the volumes are.") },
    VerbSpec {
        options: &[KEEP_ENV],
        exit: ExitRule::Replaced,
        time: TimeClass::Unbounded,
        ..verb(Verb::Enter, ONLY_VMID, "Open a shell of root in a running container.")
    },
    VerbSpec {
        options: &[KEEP_ENV],
        exit: ExitRule::Replaced,
        time: TimeClass::Unbounded,
        ..verb(Verb::Exec, &[VMID, EXTRA], "Run a command in a running container.")
    },
    VerbSpec {
        options: &[
            OptionSpec {
                default: Some("rootfs"),
                ..option("device", VolumeKey { unused: false }, "The volume to check.")
            },
            flag("force", Some("0"), "Check it even if it looks clean."),
        ],
        time: TimeClass::Long,
        ..verb(Verb::Fsck, ONLY_VMID, "Check a volume's file system.")
    },
    VerbSpec {
        options: &[flag("ignore-mountpoints", None, "Only the root file system.")],
        time: TimeClass::Long,
        ..verb(Verb::Fstrim, ONLY_VMID, "Give unused blocks back to the storage.")
    },
    verb(Verb::Mount, ONLY_VMID, "Mount a container's volumes on the host."),
    VerbSpec {
        options: TRANSFER_OPTIONS,
        task: Some("pull_file"),
        exit: ExitRule::TaskUnchecked,
        time: TimeClass::Long,
        ..verb(
            Verb::Pull,
            &[
                VMID,
                arg("path", Text(Format::Any), "The file in the container."),
                arg("destination", Text(Format::Any), "The file to write."),
            ],
            "Copy a file out of a container.",
        )
    },
    VerbSpec {
        options: TRANSFER_OPTIONS,
        task: Some("push_file"),
        exit: ExitRule::TaskUnchecked,
        time: TimeClass::Long,
        ..verb(
            Verb::Push,
            &[
                VMID,
                arg("file", Text(Format::Any), "The file to copy."),
                arg("destination", Text(Format::Any), "The file to write in the container."),
            ],
            "Copy a file into a container.",
        )
    },
    VerbSpec {
        options: &[
            OptionSpec {
                default: Some(MIGRATE_LIMIT),
                ..option("bwlimit", Integer { min: Some(0), max: None }, BWLIMIT_TEXT)
            },
            flag("delete", Some("0"), "Remove the original after the move."),
            flag("online", None, "Live migration (refused for running containers)."),
            flag("restart", None, "Stop the container, move it, start it there."),
            OptionSpec {
                required: true,
                ..option("target-bridge", List(Format::BridgeMap), "Which bridge replaces which.")
            },
            OptionSpec {
                required: true,
                ..option("target-storage", List(Format::StorageMap), "Which storage replaces which.")
            },
            OptionSpec {
                default: Some("180"),
                ..option("timeout", Integer { min: None, max: None }, "Seconds to wait for the shutdown.")
            },
        ],
        ..task(
            Verb::RemoteMigrate,
            &[
                VMID,
                ArgSpec {
                    optional: true,
                    ..arg("target-vmid", Text(Format::Vmid), "Its number in the other cluster.")
                },
                ArgSpec {
                    secret: true,
                    ..arg(
                        "target-endpoint",
                        Properties(&properties::REMOTE),
                        "The other cluster: host, token, fingerprint.",
                    )
                },
            ],
            "vzmigrate",
            twin("POST", "/nodes/{node}/lxc/{vmid}/remote_migrate"),
            "Move a container to another cluster (experimental).",
        )
    },
    VerbSpec {
        options: &[
            flag("dryrun", Some("0"), "Only print what would be written."),
            option("vmid", Text(Format::Vmid), "Only this container."),
        ],
        ..verb(Verb::Rescan, &[], "Update sizes and unused volumes in the configurations.")
    },
    VerbSpec {
        options: &[flag("verbose", None, "All fields, not only the state.")],
        ..read(
            Verb::Status,
            ONLY_VMID,
            twin("GET", "/nodes/{node}/lxc/{vmid}/status/current"),
            "Show the state of a container.",
        )
    },
    verb(Verb::Unlock, ONLY_VMID, "Remove the lock of a container's configuration."),
    verb(Verb::Unmount, ONLY_VMID, "Undo mount."),
    VerbSpec {
        options: &[flag("verbose", None, "All options of all verbs.")],
        ..read(Verb::Help, &[EXTRA], None, "Explain a verb.")
    },
];
