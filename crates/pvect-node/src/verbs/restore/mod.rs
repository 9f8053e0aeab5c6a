//! `pct restore` and `pct create --restore`: makes a container from a backup of vzdump.
//!
//! An existing container that is to be overwritten (`--force`) is kept until the new one is whole: the real pct
//! removes it before it unpacks. Whatever fails or interrupts the work, what was made is removed again, and the old
//! container is as it was.

mod backup;
mod disks;
mod judged;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use pvect_core::call::Value;
use pvect_core::property::MountSource;
use pvect_core::{Call, ContainerConfig, Vmid, VolumeId};

use self::backup::Backup;
use self::disks::Disks;
use super::bandwidth;
use super::new_container::{OWN_OPTIONS, Undo, detect_guest, judge_new, judge_volumes, read_keys};
use super::new_volumes::{Mount, check_source, index, make_volumes, parse_mount};
use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::rights::Asker;
use crate::rights::judge::{self, Content};
use crate::setup::Guest;
use crate::storage::dir::Volume;
use crate::storage::{self, MountFor, PrivateMounts, Storages};
use crate::task::TaskLog;
use crate::{
    Failure, Node, NodeResult, Output, creation, ids, locked, options, runtime, store, task, unpack, vmids,
};

/// How long restore waits for the configuration's lock file, seconds. Source: pve-guest-common,
/// `create_and_lock_config`.
const LOCK_WAIT: u64 = 5;

/// What is to be made: everything that can be judged before the first change.
struct Plan {
    vmid: Vmid,
    /// The backup as it was named.
    archive: String,
    /// Whether the container exists and may be overwritten.
    overwrites: bool,
    /// Options without volumes, in the form of the file.
    given: ContainerConfig,
    unprivileged: Option<bool>,
    /// `rootfs`, `mp0`, ... as they were given; empty: as in the backup, on `storage`.
    volumes: Vec<(String, Mount)>,
    storage: String,
    unique: bool,
    start: bool,
    ignore_unpack_errors: bool,
    /// Whether what the backup's configuration does on the host is taken over.
    trusts: bool,
}

/// Makes a container from a backup. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let plan = Plan::of(node, call, output)?;
    let vmid = plan.vmid;
    let cannot = |failure: Failure| Failure::new(format!("unable to restore CT {vmid} - {}", failure.text));
    let interrupt = Interrupt::watch();
    let _lock = store::lock(node, vmid, LOCK_WAIT, output).map_err(cannot)?;
    let old = reserve(node, &plan).map_err(cannot)?;
    let mut undo = Undo::over(node, vmid, old);
    task::run(node, "vzrestore", &vmid.to_string(), output, |log, output| {
        match build(node, &plan, &mut undo, &interrupt, log, output) {
            Ok(config) => {
                undo.disarm();
                if let Some(old) = &undo.old {
                    remove_old(node, vmid, old, &config, &mut |text| log.line(output, text));
                }
                drop(interrupt);
                if !plan.start {
                    return Ok(());
                }
                log.capture(output, |output| crate::start::start(node, vmid, &config, false, output))
            }
            Err(failure) => {
                undo.now(&mut |text| log.line(output, text));
                Err(cannot(failure))
            }
        }
    })?;
    Ok(0)
}

impl Plan {
    fn of(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<Self> {
        let vmid = super::vmid(call)?;
        let is_on = |name: &str| super::is_on(call, name);
        let overwrites = is_on("force") && node.layout.config(vmid).exists();
        if overwrites {
            check_old(node, vmid)?;
        } else {
            vmids::check_unused(node, vmid)?;
        }
        if let Some(path) = call.get("ssh-public-keys") {
            read_keys(path)?.checked()?;
        }
        if let Some(pool) = call.get("pool") {
            return Err(super::no_pool(pool));
        }
        let storage = call.get("storage").unwrap_or("local").to_owned();
        let archive = call.args().get(1).cloned().unwrap_or_default();
        let (given, volumes) = split_options(call, &storage, output)?;
        let asker = Asker::of_this_process(node)?;
        judge::archive(&asker, vmid, &archive, Content::Backup)?;
        let unprivileged = call.get("unprivileged").and_then(pvect_core::property::boolean);
        judge_new(&asker, node, vmid, &given, unprivileged != Some(false))?;
        let texts: Vec<_> = volumes.iter().map(|(key, mount)| (key.clone(), mount.text())).collect();
        judge_volumes(&asker, vmid, &texts)?;
        if archive == "-" {
            if volumes.is_empty() {
                return Err(Failure::new("restore from pipe requires rootfs parameter"));
            }
        } else {
            check_kind(node, &archive)?;
        }
        if volumes.is_empty() {
            storage::check_rootdir(node, call.verb(), &storage)?;
        }
        for (_, mount) in &volumes {
            check_source(node, call.verb(), mount.source())?;
        }
        let own = volumes.is_empty().then(|| storage.clone());
        let places = volumes.iter().filter_map(|(_, mount)| mount.storage()).chain(own);
        bandwidth::check_unpacking(node, call, places)?;
        Ok(Self {
            vmid,
            archive,
            overwrites,
            given,
            unprivileged,
            volumes,
            storage,
            unique: is_on("unique"),
            start: is_on("start"),
            ignore_unpack_errors: is_on("ignore-unpack-errors"),
            trusts: call.get(super::TRUST_CONFIG).is_none_or(|_| is_on(super::TRUST_CONFIG)),
        })
    }
}

/// Refuses to overwrite a container that runs or is protected. Returns its configuration.
fn check_old(node: &Node, vmid: Vmid) -> NodeResult<ContainerConfig> {
    if runtime::is_running(node, vmid) {
        return Err(Failure::new("can't overwrite running container"));
    }
    let config = store::load(node, vmid)?.config;
    if config.is_set("protection") {
        return Err(Failure::new(format!("unable to restore CT {vmid} - protection mode enabled")));
    }
    Ok(config)
}

/// Splits the options into the configuration (in the form of the file) and the volumes, `rootfs` first.
fn split_options(
    call: &Call,
    storage: &str,
    output: &mut Output<'_>,
) -> NodeResult<(ContainerConfig, Vec<(String, Mount)>)> {
    let mut config = ContainerConfig::default();
    let mut volumes = Vec::new();
    for (key, value) in call.options() {
        let Value::Text(value) = value else { continue };
        if key == "rootfs" || index(key, "mp").is_some() {
            let is_size =
                value.bytes().all(|b| b.is_ascii_digit() || b == b'.') && value.parse::<f64>().is_ok();
            let text = if is_size { format!("{storage}:{value}") } else { value.clone() };
            volumes.push(parse_mount(key, &text)?);
        } else if index(key, "unused").is_some() {
            output.warn(format!("ignoring '{key}', cannot create/restore with unused volume"));
        } else if !OWN_OPTIONS.contains(&key.as_str()) {
            config.main.set(key, options::stored(key, value)?);
        }
    }
    if !volumes.is_empty() && !volumes.iter().any(|(key, _)| key == "rootfs") {
        return Err(Failure::new("mount points configured, but 'rootfs' not set - aborting"));
    }
    volumes.sort_by_key(|(key, _)| index(key, "mp").map_or(0, |number| number + 1));
    Ok((config, volumes))
}

/// Refuses a volume id that is not that of a backup.
fn check_kind(node: &Node, archive: &str) -> NodeResult<()> {
    let Ok(volume) = archive.parse::<VolumeId>() else { return Ok(()) };
    if archive.starts_with('/') {
        return Ok(());
    }
    Storages::load(&node.layout)?.find(volume.storage())?;
    match Volume::parse(volume.volume())? {
        Volume::File { content: "backup", .. } => Ok(()),
        _ => Err(Failure::new(format!("unable to use volume {archive} - content type needs to be 'backup'"))),
    }
}

/// The file of a backup that is named by volume id or by path.
fn archive_path(node: &Node, archive: &str) -> NodeResult<PathBuf> {
    match archive.parse::<VolumeId>() {
        Ok(volume) if !archive.starts_with('/') => storage::volume_path(node, &volume),
        _ => match Path::new(archive).canonicalize() {
            Ok(path) if path.is_file() => Ok(path),
            _ => Err(Failure::new(format!("can't find file '{archive}'"))),
        },
    }
}

/// Takes the number: a new configuration with the lock `create`, or that lock on the old one, which is returned as
/// it was.
fn reserve(node: &Node, plan: &Plan) -> NodeResult<Option<ContainerConfig>> {
    if !plan.overwrites {
        let mut reserved = ContainerConfig::default();
        reserved.main.set("lock", "create");
        store::create(node, plan.vmid, &reserved)?;
        return Ok(None);
    }
    let old = check_old(node, plan.vmid)?;
    locked::check(&old)?;
    let mut reserved = old.clone();
    reserved.main.set("lock", "create");
    creation::begin_over(node, plan.vmid)?;
    store::save(node, plan.vmid, &reserved)?;
    Ok(Some(old))
}

/// Makes volumes and unpacks; returns the configuration as it was saved last.
fn build(
    node: &Node,
    plan: &Plan,
    undo: &mut Undo<'_>,
    interrupt: &Interrupt,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<ContainerConfig> {
    let (vmid, archive) = (plan.vmid, &plan.archive);
    let path = (archive != "-").then(|| archive_path(node, archive));
    let mut backup = None;
    if path.is_some() {
        log.line(output, &format!("recovering backed-up configuration from '{archive}'"));
    }
    let path = path.transpose()?;
    if let Some(path) = &path {
        backup = Some(Backup::read(path, interrupt)?);
    }
    let mut config = plan.given.clone();
    ids::assign(node, vmid, &mut config)?;
    let asker = Asker::of_this_process(node)?;
    if let Some(backup) = &mut backup {
        judged::backup(&asker, node, plan, undo.old.as_ref(), backup, &mut |line| {
            log.line(output, line);
        })?;
        judged::acting(&mut backup.config.main, plan.trusts, &mut |line, is_warning| match is_warning {
            true => log.warn(output, line),
            false => log.line(output, line),
        });
    }
    if let Some(backup) = &backup {
        // Raw lines decide about the id map that is used to unpack.
        config.main.raw = backup.config.main.raw.clone();
    }
    let stored = backup.as_ref().is_some_and(|backup| backup.config.is_unprivileged());
    if plan.unprivileged.unwrap_or(stored) {
        config.main.set("unprivileged", "1");
    }
    let (volumes, delayed) = match &backup {
        Some(backup) if plan.volumes.is_empty() => backup.volumes(&plan.storage, &mut |line| {
            log.line(output, line);
        })?,
        _ => (plan.volumes.clone(), Vec::new()),
    };
    make_volumes(node, vmid, &volumes, &mut config, &mut undo.volumes, interrupt, &mut |line| {
        log.line(output, line);
    })?;
    if !plan.overwrites {
        let mut reserved = config.clone();
        reserved.main.set("lock", "create");
        store::save(node, vmid, &reserved)?;
    }
    let firewall =
        fill(node, plan, path.as_deref(), backup, &mut config, interrupt, &mut |line, is_warning| {
            if is_warning { log.warn(output, line) } else { log.line(output, line) }
        })?;
    interrupt.check()?;
    for (key, value) in [("hostname", format!("CT{vmid}")), ("memory", "512".into()), ("swap", "512".into())]
    {
        if !config.main.options.contains_key(key) {
            config.main.set(key, value);
        }
    }
    for (key, text) in delayed {
        config.main.set(&key, text);
    }
    if let Some(rules) =
        firewall.filter(|rules| judged::rules(&asker, rules, &mut |line| log.warn(output, line)))
    {
        backup::write_firewall(node, vmid, &rules)?;
    }
    if config.main.remove("template") {
        log.line(output, "Convert restored container to template...");
        super::template::convert(node, vmid, config, log, output)?;
        return Ok(store::load(node, vmid)?.config);
    }
    store::save(node, vmid, &config)?;
    Ok(config)
}

/// Unpacks, merges the configurations and examines the guest, in mounts that end with this function whatever happens.
/// Returns the firewall's rules that were in the backup. `log` gets lines, and whether each is a warning.
fn fill(
    node: &Node,
    plan: &Plan,
    path: Option<&Path>,
    backup: Option<Backup>,
    config: &mut ContainerConfig,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<Option<Vec<u8>>> {
    let root = node.layout.rootfs(plan.vmid);
    let _mounts = PrivateMounts::enter()?;
    storage::mount_all_for(node, plan.vmid, config, &root, MountFor::Setup)?;
    let filled = fill_mounted(node, plan, path, backup, config, interrupt, log);
    let unmounted = storage::unmount_all(&root);
    let firewall = filled?;
    unmounted?;
    Ok(firewall)
}

fn fill_mounted(
    node: &Node,
    plan: &Plan,
    path: Option<&Path>,
    backup: Option<Backup>,
    config: &mut ContainerConfig,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<Option<Vec<u8>>> {
    let root = &node.layout.rootfs(plan.vmid);
    let idmap = IdMap::of(config);
    match path {
        Some(path) => {
            log(&format!("restoring '{}' now..", plan.archive), false);
            log(&format!("extracting archive '{}'", path.display()), false);
        }
        None => log("extracting archive from STDIN", false),
    }
    let disks = Disks::of(node, config)?;
    let cell = RefCell::new(&mut *log);
    let say = |line: &str| cell.borrow_mut()(line, false);
    let options = unpack::Options {
        idmap: &idmap,
        ignore_errors: plan.ignore_unpack_errors,
        report: &say,
        // A backup may hold any amount of zeros.
        most: None,
        room: &|| disks.check(),
        interrupted: &|| interrupt.came(),
    };
    match unpack::extract(path.unwrap_or(Path::new("/dev/stdin")), root, &options) {
        Ok(summary) => summary.lines().iter().for_each(|line| say(line)),
        Err(unpack::UnpackError::Interrupted) => return Err(unpack::UnpackError::Interrupted.into()),
        Err(error) if plan.ignore_unpack_errors => say(&error.to_string()),
        Err(error) => return Err(error.into()),
    }
    log("merging backed-up and given configuration..", false);
    // What is mounted, and for which ids.
    let before = config.clone();
    let guest = Guest::mounted(node, plan.vmid, &before, root)?;
    let inside = backup::take_files(&guest)?;
    let mut found = backup.or(inside.config);
    if let (None, Some(backup)) = (path, &mut found) {
        judged::acting(&mut backup.config.main, plan.trusts, log);
    }
    match &found {
        Some(backup) => backup.merge_into(config, plan.unique)?,
        None => {
            let rule = "#".repeat(59);
            for line in [&rule, "Backup archive does not contain any configuration", &rule] {
                log(line, false);
            }
        }
    }
    let mut known = before.clone();
    for key in ["ostype", "arch"] {
        if let Some(value) = config.main.options.get(key) {
            known.main.set(key, value.as_str());
        }
    }
    let guest = Guest::mounted(node, plan.vmid, &known, root)?;
    detect_guest(&guest, config, log)?;
    guest.after_restore(log)?;
    if found.is_some_and(|backup| backup.config.is_set("template")) {
        config.main.set("template", "1");
    }
    Ok(inside.firewall)
}

/// Removes what belonged to the overwritten container only. The new one is complete, so what cannot be removed is only
/// reported, and `pct rescan` will find it again.
fn remove_old(
    node: &Node,
    vmid: Vmid,
    old: &ContainerConfig,
    new: &ContainerConfig,
    log: &mut dyn FnMut(&str),
) {
    let kept: Vec<String> = new
        .volumes()
        .into_iter()
        .filter_map(|(_, mount)| match mount.fs.source {
            MountSource::Volume(text) => Some(text),
            _ => None,
        })
        .collect();
    for volume in super::destroy::volumes_of(old, vmid) {
        if kept.iter().any(|text| *text == volume.as_str()) {
            continue;
        }
        if let Err(failure) = storage::free_telling(node, &volume, log) {
            log(&failure.text);
        }
    }
    // The next start makes it again.
    let _ = runtime::remove_lxc_config(node, vmid);
}
