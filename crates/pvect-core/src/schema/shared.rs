//! Arguments and options that several verbs share.

use super::Kind::{Number, Text};
use super::options::{flag, option};
use super::{ArgSpec, Format, Kind, OptionSpec};

pub(super) const fn arg(name: &'static str, kind: Kind, text: &'static str) -> ArgSpec {
    ArgSpec { name, kind, max_length: None, optional: false, rest: false, secret: false, text }
}

pub(super) const VMID: ArgSpec = arg("vmid", Text(Format::Vmid), "The number of the container.");
const SNAPNAME: ArgSpec = arg("snapname", Text(Format::SnapshotName), "The snapshot's name.");
pub(super) const OSTEMPLATE: ArgSpec = ArgSpec {
    max_length: Some(255),
    ..arg("ostemplate", Text(Format::Any), "A template's volume id or absolute path; for restore, a backup.")
};
pub(super) const EXTRA: ArgSpec = ArgSpec {
    optional: true,
    rest: true,
    ..arg("extra-args", Text(Format::Any), "Further arguments, passed on as they are.")
};
pub(super) const ONLY_VMID: &[ArgSpec] = &[VMID];
pub(super) const SNAP_ARGS: &[ArgSpec] = &[VMID, SNAPNAME];

pub(super) const SKIPLOCK: OptionSpec =
    flag("skiplock", None, "Ignore the lock of the configuration (root only).");
pub(super) const DIGEST: OptionSpec = option(
    "digest",
    Text(Format::Digest),
    "Refuse the change unless the configuration file still has this SHA-1 digest.",
);
pub(super) const BWLIMIT_TEXT: &str = "Limit for the I/O bandwidth, in KiB/s.";
pub(super) const fn bwlimit(default: &'static str) -> OptionSpec {
    OptionSpec {
        default: Some(default),
        ..option("bwlimit", Number { min: Some(0.0), max: None }, BWLIMIT_TEXT)
    }
}
pub(super) const MIGRATE_LIMIT: &str = "migrate limit from datacenter or storage config";
pub(super) const CLONE_LIMIT: &str = "clone limit from datacenter or storage config";
pub(super) const KEEP_ENV: OptionSpec =
    flag("keep-env", Some("1"), "Hand the caller's environment to the command.");
pub(super) const STORAGE_TEXT: &str = "The storage for the new volumes.";

pub(super) const CREATE_OPTIONS: &[OptionSpec] = &CREATING;
const CREATING: [OptionSpec; 11] = [
    bwlimit("restore limit from datacenter or storage config"),
    flag("force", None, "With restore: overwrite an existing container."),
    flag("ha-managed", Some("0"), "Make the new container a resource of the HA manager."),
    flag("ignore-unpack-errors", None, "Continue even if the template could not be unpacked completely."),
    OptionSpec {
        secret: true,
        length: (Some(5), None),
        ..option(
            "password",
            Text(Format::Any),
            "Password of root inside the container; asks for it if it has no value.",
        )
    },
    option("pool", Text(Format::PoolId), "Make the container a member of this pool."),
    flag("restore", None, "The argument is a backup, not a template."),
    OptionSpec {
        file: true,
        ..option(
            "ssh-public-keys",
            Text(Format::FilePath),
            "A file with public keys for root, one on each line.",
        )
    },
    flag("start", Some("0"), "Start the container after it is made."),
    OptionSpec { default: Some("local"), ..option("storage", Text(Format::StorageId), STORAGE_TEXT) },
    flag("unique", None, "With restore: give the network interfaces new MAC addresses."),
];
/// As for create; `--restore` is fixed by the verb.
pub(super) const RESTORE_OPTIONS: &[OptionSpec] = {
    let [bwlimit, force, ha, unpack, password, pool, _, keys, start, storage, unique] = CREATING;
    &[bwlimit, force, ha, unpack, password, pool, keys, start, storage, unique]
};
pub(super) const TRANSFER_OPTIONS: &[OptionSpec] = &[
    option("group", Text(Format::Any), "Group of the copy, by name or number."),
    option("perms", Text(Format::Any), "Mode of the copy, octal."),
    option("user", Text(Format::Any), "Owner of the copy, by name or number."),
];
