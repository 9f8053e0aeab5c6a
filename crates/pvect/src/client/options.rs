//! The options of each verb, typed. A field that is `None` is not handed to pct.
//!
//! Names, bounds and formats are those of [`pvect_core::schema`]; a test compares both.

use std::collections::BTreeMap;
use std::fmt::Display;

use pvect_core::property::{DeviceEntry, Features, MountPoint, NetInterface, RootFs, Startup};
use pvect_core::{Call, Lock, NodeName, SnapshotName, StorageId, Vmid, VolumeId};

/// A value as pct takes it.
trait Text {
    fn text(&self) -> String;
}

impl Text for bool {
    fn text(&self) -> String {
        if *self { "1" } else { "0" }.to_owned()
    }
}

/// Lists of pct are separated by commas.
impl<T: Display> Text for Vec<T> {
    fn text(&self) -> String {
        self.iter().map(T::to_string).collect::<Vec<_>>().join(",")
    }
}

macro_rules! printed {
    ($($type:ty),*) => {
        $(impl Text for $type {
            fn text(&self) -> String {
                self.to_string()
            }
        })*
    };
}
printed!(u8, u32, u64, i64, f64, String, NodeName, SnapshotName, StorageId, VolumeId, Vmid, Lock);
printed!(Features, RootFs, Startup);

macro_rules! options {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $option:literal),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
        }

        impl $name {
            /// Sets the options of a call.
            pub(crate) fn add_to(&self, mut call: Call) -> Call {
                $(if let Some(value) = &self.$field {
                    call = call.option($option, value.text());
                })*
                call
            }

            #[cfg(test)]
            const NAMES: &'static [&'static str] = &[$($option),*];
        }
    };
}

options! {
    /// Options of `start`.
    StartOptions {
        /// Log the start as verbosely as possible.
        debug: bool = "debug",
        /// Ignore the lock of the configuration.
        skip_lock: bool = "skiplock",
    }
}
options! {
    /// Options of `stop`.
    StopOptions {
        /// End a running shutdown task of the container first.
        overrule_shutdown: bool = "overrule-shutdown",
        /// Ignore the lock of the configuration.
        skip_lock: bool = "skiplock",
    }
}
options! {
    /// Options of `shutdown`.
    ShutdownOptions {
        /// Kill the container after that time.
        force_stop: bool = "forceStop",
        /// Seconds to wait; 60 when unset.
        timeout: u32 = "timeout",
    }
}
options! {
    /// Options of `reboot`.
    RebootOptions {
        /// Seconds to wait before the container is killed.
        timeout: u32 = "timeout",
    }
}
options! {
    /// Options of `destroy`.
    DestroyOptions {
        /// Also remove volumes of this id that no configuration names.
        destroy_unreferenced_disks: bool = "destroy-unreferenced-disks",
        /// Stop it first if it runs.
        force: bool = "force",
        /// Also take it out of backup jobs, replication jobs and HA.
        purge: bool = "purge",
    }
}
options! {
    /// Options of `clone`.
    CloneOptions {
        /// Limit for the I/O bandwidth in KiB/s.
        bwlimit: f64 = "bwlimit",
        /// Description of the new container.
        description: String = "description",
        /// Copy all volumes; only templates can be cloned without.
        full: bool = "full",
        /// Host name of the new container.
        hostname: String = "hostname",
        /// Make the new container a member of this pool.
        pool: String = "pool",
        /// Clone the state that this snapshot recorded.
        snapname: SnapshotName = "snapname",
        /// The storage for the new volumes.
        storage: StorageId = "storage",
        /// Another node, if all volumes are on shared storage.
        target: NodeName = "target",
    }
}
options! {
    /// Options of `create` and `restore` that are not kept in the configuration. The password is
    /// [`crate::Create::password`].
    CreateOptions {
        /// Limit for the I/O bandwidth in KiB/s.
        bwlimit: f64 = "bwlimit",
        /// With restore: overwrite an existing container.
        force: bool = "force",
        /// Make the new container a resource of the HA manager.
        ha_managed: bool = "ha-managed",
        /// Continue even if the template could not be unpacked completely.
        ignore_unpack_errors: bool = "ignore-unpack-errors",
        /// Make the container a member of this pool.
        pool: String = "pool",
        /// A file of this machine with public keys for root, one on each line.
        ssh_public_keys: String = "ssh-public-keys",
        /// Start the container after it is made.
        start: bool = "start",
        /// The storage for the new volumes.
        storage: StorageId = "storage",
        /// With restore: give the network interfaces new MAC addresses.
        unique: bool = "unique",
    }
}
options! {
    /// Options of `set` beside those of the container.
    SetOptions {
        /// Options to remove.
        delete: Vec<String> = "delete",
        /// Refuse the change unless the configuration file still has this SHA-1 digest.
        digest: String = "digest",
        /// Pending changes to take back.
        revert: Vec<String> = "revert",
    }
}
options! {
    /// Options of `migrate`.
    MigrateOptions {
        /// Limit for the I/O bandwidth in KiB/s.
        bwlimit: f64 = "bwlimit",
        /// Live migration, which pct refuses for running containers.
        online: bool = "online",
        /// Stop the container, move it, start it there.
        restart: bool = "restart",
        /// Which storage replaces which: `SOURCE:TARGET`, or one target for all.
        target_storage: Vec<String> = "target-storage",
        /// Seconds to wait for the shutdown; 180 when unset.
        timeout: i64 = "timeout",
    }
}
options! {
    /// Options of `remote-migrate`.
    RemoteMigrateOptions {
        /// Limit for the I/O bandwidth in KiB/s.
        bwlimit: u64 = "bwlimit",
        /// Remove the original after the move.
        delete: bool = "delete",
        /// Live migration, which pct refuses for running containers.
        online: bool = "online",
        /// Stop the container, move it, start it there.
        restart: bool = "restart",
        /// Which bridge replaces which: `SOURCE:TARGET`, or one target for all. Required.
        target_bridge: Vec<String> = "target-bridge",
        /// Which storage replaces which: `SOURCE:TARGET`, or one target for all. Required.
        target_storage: Vec<String> = "target-storage",
        /// Seconds to wait for the shutdown; 180 when unset.
        timeout: i64 = "timeout",
    }
}
options! {
    /// Options of `move-volume`.
    MoveOptions {
        /// Limit for the I/O bandwidth in KiB/s.
        bwlimit: f64 = "bwlimit",
        /// Remove the original after the copy.
        delete: bool = "delete",
        /// Refuse the change unless the configuration file still has this SHA-1 digest.
        digest: String = "digest",
        /// As digest, for the target's configuration.
        target_digest: String = "target-digest",
    }
}
options! {
    /// Options of `push` and `pull`.
    TransferOptions {
        /// Group of the copy, by name or number.
        group: String = "group",
        /// Mode of the copy, octal.
        perms: String = "perms",
        /// Owner of the copy, by name or number.
        user: String = "user",
    }
}
options! {
    /// Options of `fsck`.
    FsckOptions {
        /// The volume to check; `rootfs` when unset.
        device: String = "device",
        /// Check it even if it looks clean.
        force: bool = "force",
    }
}
options! {
    /// Options of `rescan`.
    RescanOptions {
        /// Only print what would be written.
        dry_run: bool = "dryrun",
        /// Only this container.
        vmid: Vmid = "vmid",
    }
}
options! {
    /// Options of a container that have one value; [`ContainerOptions`] has the rest.
    ContainerValues {
        /// The architecture.
        arch: String = "arch",
        /// What the verb console opens: `tty`, `console` or `shell`.
        cmode: String = "cmode",
        /// Give the container a /dev/console.
        console: bool = "console",
        /// Number of CPU cores, 1 to 8192.
        cores: u32 = "cores",
        /// CPU time in CPUs, 0 to 8192; 0 means no limit.
        cpulimit: f64 = "cpulimit",
        /// Weight if CPU time is short, 0 to 500000.
        cpuunits: u32 = "cpuunits",
        /// Write verbose logs at start.
        debug: bool = "debug",
        /// Free text, up to 8192 characters.
        description: String = "description",
        /// The command that runs as init.
        entrypoint: String = "entrypoint",
        /// What the container may do beyond the usual.
        features: Features = "features",
        /// A script of a snippets storage.
        hookscript: VolumeId = "hookscript",
        /// The host name.
        hostname: String = "hostname",
        /// The lock of the configuration.
        lock: Lock = "lock",
        /// Memory in MiB, from 16.
        memory: u64 = "memory",
        /// DNS servers.
        nameserver: Vec<String> = "nameserver",
        /// Start the container when the node starts.
        onboot: bool = "onboot",
        /// The distribution.
        ostype: String = "ostype",
        /// Refuse to remove the container or its volumes.
        protection: bool = "protection",
        /// The root file system.
        rootfs: RootFs = "rootfs",
        /// DNS search domains.
        searchdomain: Vec<String> = "searchdomain",
        /// Order and delays at start and shutdown of the node.
        startup: Startup = "startup",
        /// Swap in MiB.
        swap: u64 = "swap",
        /// Tags.
        tags: Vec<String> = "tags",
        /// Mark the container as a template.
        template: bool = "template",
        /// Time zone, or `host`.
        timezone: String = "timezone",
        /// Number of ttys, 0 to 6.
        tty: u8 = "tty",
        /// Run in a user namespace; only when the container is made.
        unprivileged: bool = "unprivileged",
    }
}

/// The options of a container: what `create`, `restore` and `set` write into its configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContainerOptions {
    /// Options with one value.
    pub values: ContainerValues,
    /// `dev[n]`, 0 to 255.
    pub dev: BTreeMap<u16, DeviceEntry>,
    /// The environment of init: each name with its value, any number of them.
    pub env: Vec<(String, String)>,
    /// `mp[n]`, 0 to 255.
    pub mp: BTreeMap<u16, MountPoint>,
    /// `net[n]`, 0 to 31.
    pub net: BTreeMap<u16, NetInterface>,
    /// `unused[n]`, 0 to 255: volume ids.
    pub unused: BTreeMap<u16, VolumeId>,
}

impl ContainerOptions {
    pub(crate) fn add_to(&self, call: Call) -> Call {
        fn family<T: Display>(call: Call, name: &str, entries: &BTreeMap<u16, T>) -> Call {
            entries
                .iter()
                .fold(call, |call, (index, value)| call.option(format!("{name}{index}"), value.to_string()))
        }
        let mut call = self.values.add_to(call);
        if !self.env.is_empty() {
            let entries: Vec<String> =
                self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
            call = call.option("env", entries.join("\0"));
        }
        call = family(call, "dev", &self.dev);
        call = family(call, "mp", &self.mp);
        call = family(call, "net", &self.net);
        family(call, "unused", &self.unused)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pvect_core::Verb;

    use super::*;

    /// Every option of every verb has a field, and every field is an option.
    #[test]
    fn every_option_of_the_schema_has_a_field() {
        let covered: &[(Verb, &[&str])] = &[
            (Verb::Start, StartOptions::NAMES),
            (Verb::Stop, StopOptions::NAMES),
            (Verb::Shutdown, ShutdownOptions::NAMES),
            (Verb::Reboot, RebootOptions::NAMES),
            (Verb::Destroy, DestroyOptions::NAMES),
            (Verb::Clone, CloneOptions::NAMES),
            (Verb::Create, CreateOptions::NAMES),
            (Verb::Restore, CreateOptions::NAMES),
            (Verb::Set, SetOptions::NAMES),
            (Verb::Migrate, MigrateOptions::NAMES),
            (Verb::RemoteMigrate, RemoteMigrateOptions::NAMES),
            (Verb::MoveVolume, MoveOptions::NAMES),
            (Verb::Push, TransferOptions::NAMES),
            (Verb::Pull, TransferOptions::NAMES),
            (Verb::Fsck, FsckOptions::NAMES),
            (Verb::Rescan, RescanOptions::NAMES),
        ];
        // Arguments of the typed methods, or of the builder.
        let elsewhere: &[(Verb, &[&str])] = &[
            (Verb::Create, &["password", "restore"]),
            (Verb::Restore, &["password"]),
            (Verb::Config, &["current", "snapshot"]),
            (Verb::Console, &["escape"]),
            (Verb::Delsnapshot, &["force"]),
            (Verb::Enter, &["keep-env"]),
            (Verb::Exec, &["keep-env"]),
            (Verb::Fstrim, &["ignore-mountpoints"]),
            (Verb::Help, &["verbose"]),
            (Verb::Resize, &["digest"]),
            (Verb::Rollback, &["start"]),
            (Verb::Snapshot, &["description"]),
            (Verb::Status, &["verbose"]),
        ];
        for verb in Verb::ALL {
            let listed = covered.iter().chain(elsewhere).filter(|(known, _)| known == verb);
            let fields: BTreeSet<&str> = listed.flat_map(|(_, names)| names.iter().copied()).collect();
            let options: BTreeSet<&str> = verb.spec().options.iter().map(|option| option.name).collect();
            assert_eq!(fields, options, "{verb}");
        }
        let families = ["dev", "env", "mp", "net", "unused"];
        let fields: BTreeSet<&str> = ContainerValues::NAMES.iter().copied().chain(families).collect();
        let options: BTreeSet<&str> =
            pvect_core::schema::CONFIG_OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(fields, options);
    }

    #[test]
    fn typed_options_are_good_ones() {
        let options = ContainerOptions {
            values: ContainerValues {
                cores: Some(2),
                cpulimit: Some(1.5),
                memory: Some(512),
                onboot: Some(true),
                nameserver: Some(vec!["1.1.1.1".into(), "9.9.9.9".into()]),
                rootfs: Some(RootFs::parse("local:8,acl=1").unwrap()),
                startup: Some(Startup { order: Some(2), ..Startup::default() }),
                tags: Some(vec!["web".into(), "prod".into()]),
                ..ContainerValues::default()
            },
            env: vec![("A".into(), "1 2".into()), ("B".into(), String::new())],
            net: [(3, NetInterface::parse("net3", "name=eth3,bridge=vmbr0,ip=dhcp").unwrap())].into(),
            ..ContainerOptions::default()
        };
        let call = options.add_to(Call::on(Verb::Create, Vmid::MIN).arg("local:vztmpl/x.tar"));
        assert_eq!(
            call.checked().unwrap().argv().join(" "),
            "create 100 local:vztmpl/x.tar --cores 2 --cpulimit 1.5 --memory 512 --nameserver 1.1.1.1,9.9.9.9 --onboot 1 \
             --rootfs local:8,acl=1 --startup order=2 --tags web,prod --env A=1 2\0B= \
             --net3 name=eth3,bridge=vmbr0,ip=dhcp,type=veth"
        );
    }
}
