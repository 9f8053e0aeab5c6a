//! `pct create`: makes a container from a template.
//!
//! The configuration with `lock: create` is there before anything else, so that no other create takes the number
//! and a killed create can be named. Whatever fails or interrupts the work, what was made is removed again.

use std::cell::RefCell;
use std::path::Path;

use pvect_core::call::Value;
use pvect_core::property::{MountPoint, MountSource, RootFs};
use pvect_core::{Call, ContainerConfig, Vmid, VolumeId};
use secrecy::{ExposeSecret, SecretString};

use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::rights::Asker;
use crate::rights::judge::{self, Content, Target};
use crate::setup::Guest;
use crate::storage::{self, MountFor, PrivateMounts};
use crate::task::TaskLog;
use crate::{Failure, Node, NodeResult, Output, creation, ids, oci, options, store, task, unpack};

/// How long create waits for the configuration's lock file, seconds. Source: pve-container, `lock_config`.
const LOCK_WAIT: u64 = 5;

/// What is to be made: everything that can be judged before the first change.
struct Plan {
    vmid: Vmid,
    template: String,
    /// Options without volumes, in the form of the file.
    config: ContainerConfig,
    /// `rootfs`, `mp0`, ... in order, as they were given.
    volumes: Vec<(String, Mount)>,
    password: Option<SecretString>,
    ssh_keys: Option<String>,
    start: bool,
    ignore_unpack_errors: bool,
}

/// A parsed `rootfs` or `mp[n]`.
#[derive(Clone)]
pub(super) enum Mount {
    Root(RootFs),
    Point(MountPoint),
}

impl Mount {
    pub(super) fn source(&self) -> &MountSource {
        match self {
            Self::Root(fs) => &fs.source,
            Self::Point(point) => &point.fs.source,
        }
    }

    pub(super) fn fs(&mut self) -> &mut RootFs {
        match self {
            Self::Root(fs) => fs,
            Self::Point(point) => &mut point.fs,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Root(fs) => fs.to_string(),
            Self::Point(point) => point.to_string(),
        }
    }
}

/// Makes a container from a template. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    if super::is_on(call, "restore") {
        return super::restore::run(node, call, output);
    }
    let plan = Plan::of(node, call, output)?;
    let vmid = plan.vmid;
    let cannot = |failure: Failure| Failure::new(format!("unable to create CT {vmid} - {}", failure.text));
    let interrupt = Interrupt::watch();
    let _lock = store::lock(node, vmid, LOCK_WAIT, output).map_err(cannot)?;
    let mut reserved = ContainerConfig::default();
    reserved.main.set("lock", "create");
    store::create(node, vmid, &reserved).map_err(cannot)?;
    let mut undo = Undo::of(node, vmid);
    task::run(node, "vzcreate", &vmid.to_string(), output, |log, output| {
        let built = build(node, &plan, &mut undo, &interrupt, log, output);
        match built {
            Ok(config) => {
                undo.disarm();
                drop(interrupt);
                if plan.start { crate::start::start(node, vmid, &config, false, output) } else { Ok(()) }
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
        let vmid = call.vmid().ok_or_else(super::not_enough_arguments)?;
        let template = call.args().get(1).cloned().unwrap_or_default();
        let is_on = |name: &str| call.get(name).and_then(pvect_core::property::boolean) == Some(true);
        let ssh_keys = call.get("ssh-public-keys").map(read_keys).transpose()?;
        store::check_unused(node, vmid)?;
        let ssh_keys = ssh_keys.map(Keys::checked).transpose()?;
        if let Some(pool) = call.get("pool") {
            return Err(super::no_pool(pool));
        }
        if template == "-" {
            return Err(Failure::new("pipe can only be used with restore tasks"));
        }
        if let Ok(volume) = template.parse::<VolumeId>() {
            storage::Storages::load(&node.layout)?.find(volume.storage())?;
        }
        let default_storage = call.get("storage").unwrap_or("local").to_owned();
        let (config, given) = split_options(call, &default_storage, output)?;
        let asker = Asker::of_this_process(node)?;
        judge_new(&asker, node, vmid, &config, config.is_unprivileged())?;
        judge::archive(&asker, vmid, &template, Content::Template)?;
        judge_volumes(&asker, vmid, &given)?;
        let volumes =
            given.iter().map(|(key, text)| parse_mount(key, text)).collect::<NodeResult<Vec<_>>>()?;
        for (_, mount) in &volumes {
            check_source(node, mount.source())?;
        }
        Ok(Self {
            vmid,
            template,
            config,
            volumes,
            password: password(call),
            ssh_keys,
            start: is_on("start"),
            ignore_unpack_errors: is_on("ignore-unpack-errors"),
        })
    }
}

/// Judges the options of a new container, volumes aside.
pub(super) fn judge_new(
    asker: &Asker,
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    is_unprivileged: bool,
) -> NodeResult<()> {
    if !is_unprivileged {
        judge::privileged(asker, node)?;
    }
    let target = Target { vmid, is_unprivileged };
    for key in config.main.keys().into_iter().filter(|key| *key != "unprivileged") {
        judge::option(asker, target, key, None, config.main.get(key).as_deref())?;
    }
    Ok(())
}

/// Judges the volumes of a new container.
pub(super) fn judge_volumes(asker: &Asker, vmid: Vmid, volumes: &[(String, String)]) -> NodeResult<()> {
    let target = Target { vmid, is_unprivileged: true };
    for (key, text) in volumes {
        judge::option(asker, target, key, None, Some(text))?;
    }
    Ok(())
}

fn password(call: &Call) -> Option<SecretString> {
    call.get_secret("password").cloned().or_else(|| call.get("password").map(|text| text.to_owned().into()))
}

/// Options of create that are no options of a container.
pub(super) const OWN_OPTIONS: [&str; 13] = [
    "bwlimit",
    "force",
    "ha-managed",
    "ignore-unpack-errors",
    "password",
    "pool",
    "restore",
    "ssh-public-keys",
    "start",
    "storage",
    super::TRUST_CONFIG,
    "unique",
    "unprivileged",
];

/// Splits the options into the configuration (in the form of the file) and the volumes, `rootfs` first.
fn split_options(
    call: &Call,
    default_storage: &str,
    output: &mut Output<'_>,
) -> NodeResult<(ContainerConfig, Vec<(String, String)>)> {
    let mut config = ContainerConfig::default();
    let mut volumes: Vec<(String, String)> = Vec::new();
    for (key, value) in call.options() {
        let Value::Text(value) = value else { continue };
        if key == "rootfs" || index(key, "mp").is_some() {
            let is_size =
                value.parse::<f64>().is_ok() && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let text = if is_size { format!("{default_storage}:{value}") } else { value.clone() };
            volumes.push((key.clone(), text));
        } else if index(key, "unused").is_some() {
            output.warn(format!("ignoring '{key}', cannot create/restore with unused volume"));
        } else if !OWN_OPTIONS.contains(&key.as_str()) {
            config.main.set(key, options::stored(key, value)?);
        }
    }
    if call.get("unprivileged").and_then(pvect_core::property::boolean) != Some(false) {
        config.main.set("unprivileged", "1");
    }
    let has_root = volumes.iter().any(|(key, _)| key == "rootfs");
    if !volumes.is_empty() && !has_root {
        return Err(Failure::new("mount points configured, but 'rootfs' not set - aborting"));
    }
    if !has_root {
        volumes.push(("rootfs".to_owned(), format!("{default_storage}:4")));
    }
    volumes.sort_by_key(|(key, _)| index(key, "mp").map_or(0, |number| number + 1));
    Ok((config, volumes))
}

pub(super) fn index(key: &str, family: &str) -> Option<u32> {
    key.strip_prefix(family)?.parse().ok()
}

pub(super) fn parse_mount(key: &str, text: &str) -> NodeResult<(String, Mount)> {
    let bad = |_| Failure::new(format!("unable to parse {key} '{text}'"));
    let mount = if key == "rootfs" {
        Mount::Root(RootFs::parse(text).map_err(bad)?)
    } else {
        Mount::Point(MountPoint::parse(key, text).map_err(bad)?)
    };
    Ok((key.to_owned(), mount))
}

/// Checks what can be known of a volume's storage.
pub(super) fn check_source(node: &Node, source: &MountSource) -> NodeResult<()> {
    match source {
        MountSource::Allocate { storage, .. } => storage::check_rootdir(node, storage),
        MountSource::Volume(text) => storage::check_rootdir(node, volume_id(text)?.storage()),
        MountSource::Device(_) | MountSource::Bind(_) => Ok(()),
    }
}

pub(super) fn volume_id(text: &str) -> NodeResult<VolumeId> {
    text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))
}

/// A file of public keys that was read and not yet looked at.
pub(super) struct Keys<'a> {
    path: &'a str,
    text: String,
}

/// Reads a file of public keys.
pub(super) fn read_keys(path: &str) -> NodeResult<Keys<'_>> {
    let failed =
        |error| Failure::with_exit(format!("can't open '{path}' - {}", crate::error::os_text(&error)), 2);
    std::fs::read_to_string(path).map(|text| Keys { path, text }).map_err(failed)
}

impl Keys<'_> {
    /// Checks each line. The real pct does so when it knows that the number is free.
    pub(super) fn checked(self) -> NodeResult<String> {
        let is_key = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let kinds = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
            // Options may stand before the type.
            line.starts_with('#') || words.any(|word| kinds.iter().any(|kind| word.starts_with(kind)))
        };
        match self.text.lines().map(str::trim).find(|line| !line.is_empty() && !is_key(line)) {
            Some(_) => Err(Failure::with_exit(
                format!("SSH public key validation error: '{}' has a line that is not a key", self.path),
                2,
            )),
            None => Ok(self.text),
        }
    }
}

/// Makes volumes, unpacks the template, sets the guest up; returns the configuration as it was saved last.
fn build(
    node: &Node,
    plan: &Plan,
    undo: &mut Undo<'_>,
    interrupt: &Interrupt,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<ContainerConfig> {
    let vmid = plan.vmid;
    let mut config = plan.config.clone();
    ids::assign(node, vmid, &mut config)?;
    // That there is none, pct says when the disk is formatted.
    if let Ok(archive) = storage::template_path(node, &plan.template) {
        unpack::check(&archive)?;
    }
    make_volumes(node, vmid, &plan.volumes, &mut config, &mut undo.volumes, interrupt, &mut |line| {
        log.line(output, line);
    })?;
    // Until all is done, whoever looks sees what there is, and that it is not finished.
    let wanted_lock = config.main.options.get("lock").cloned();
    config.main.set("lock", "create");
    store::save(node, vmid, &config)?;
    fill(node, plan, &mut config, interrupt, &mut |line, is_warning| match is_warning {
        true => log.warn(output, line),
        false => log.line(output, line),
    })?;
    interrupt.check()?;
    for (key, value) in [("hostname", format!("CT{vmid}")), ("memory", "512".into()), ("swap", "512".into())]
    {
        if !config.main.options.contains_key(key) {
            config.main.set(key, value);
        }
    }
    match wanted_lock {
        Some(lock) => config.main.set("lock", lock),
        None => {
            config.main.remove("lock");
        }
    }
    store::save(node, vmid, &config)?;
    // Also when `--lock create` was asked for: it is whole now.
    creation::end(node, vmid);
    Ok(config)
}

/// Makes the volumes that are asked for as new, and puts all of them into the configuration. What was made is in
/// `made`, also when it fails.
pub(super) fn make_volumes(
    node: &Node,
    vmid: Vmid,
    volumes: &[(String, Mount)],
    config: &mut ContainerConfig,
    made: &mut Vec<VolumeId>,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    // What must exist is looked for before anything is made.
    for (_, mount) in volumes {
        if let MountSource::Volume(text) = mount.source() {
            storage::volume_path(node, &volume_id(text)?)?;
        }
    }
    let owner = IdMap::of(config).root();
    for (key, mount) in volumes {
        interrupt.check()?;
        let mut mount = mount.clone();
        let fs = mount.fs();
        match fs.source.clone() {
            MountSource::Allocate { storage, size } => {
                let volume = storage::allocate(node, &storage, vmid, size, owner, log)?;
                made.push(volume.clone());
                fs.source = MountSource::Volume(volume.to_string());
                fs.size = Some(size);
            }
            MountSource::Volume(_) | MountSource::Device(_) | MountSource::Bind(_) => {}
        }
        config.main.set(key, mount.text());
    }
    Ok(())
}

/// Unpacks the template and sets the guest up, in mounts that end with this function whatever happens. `log` gets lines,
/// and whether each is a warning.
fn fill(
    node: &Node,
    plan: &Plan,
    config: &mut ContainerConfig,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<()> {
    let root = node.layout.rootfs(plan.vmid);
    let _mounts = PrivateMounts::enter()?;
    storage::mount_all_for(node, plan.vmid, config, &root, MountFor::Setup)?;
    let filled = fill_mounted(node, plan, config, &root, interrupt, log);
    let unmounted = storage::unmount_all(&root);
    filled?;
    unmounted
}

fn fill_mounted(
    node: &Node,
    plan: &Plan,
    config: &mut ContainerConfig,
    root: &Path,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<()> {
    unpack_template(node, plan, config, root, interrupt, log)?;
    let before = config.clone();
    detect_guest(&Guest::mounted(node, plan.vmid, &before, root)?, config, log)?;
    interrupt.check()?;
    let password = plan.password.as_ref().map(ExposeSecret::expose_secret);
    Guest::mounted(node, plan.vmid, config, root)?.first(password, plan.ssh_keys.as_deref(), log)
}

fn unpack_template(
    node: &Node,
    plan: &Plan,
    config: &mut ContainerConfig,
    root: &Path,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<()> {
    let archive =
        storage::template_path(node, &plan.template).inspect_err(|failure| log(&failure.text, false))?;
    let log = RefCell::new(log);
    let say = |line: &str| log.borrow_mut()(line, false);
    let idmap = IdMap::of(config);
    let options = unpack::Options {
        idmap: &idmap,
        ignore_errors: plan.ignore_unpack_errors,
        report: &say,
        most: unpack::in_proportion(&archive)?,
        interrupted: &|| interrupt.came(),
    };
    if unpack::oci::is_image(&archive) {
        say("Detected OCI archive");
        let arch = config.main.options.get("arch").map_or(oci::host_architecture(), String::as_str);
        let image = unpack::oci::extract(&archive, root, arch, &options)?;
        let before = config.clone();
        let guest = Guest::mounted(node, plan.vmid, &before, root)?;
        return oci::apply(&image, &guest, config, &mut |line| say(line));
    }
    say(&format!("extracting archive '{}'", archive.display()));
    unpack::extract(&archive, root, &options)?.lines().iter().for_each(|line| say(line));
    Ok(())
}

/// Finds the distribution and the architecture and puts them into the configuration. `log` gets lines, and whether each is
/// a warning.
pub(super) fn detect_guest(
    guest: &Guest<'_>,
    config: &mut ContainerConfig,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<()> {
    let (ostype, arch) = guest.detect(log)?;
    config.main.set("ostype", ostype);
    if let Some(arch) = arch {
        config.main.set("arch", arch);
    }
    Ok(())
}

/// Removes what a create or a clone made, also when it panics.
pub(super) struct Undo<'a> {
    node: &'a Node,
    vmid: Vmid,
    /// What was made so far.
    pub(super) volumes: Vec<VolumeId>,
    armed: bool,
}

impl<'a> Undo<'a> {
    /// Of a container whose configuration was just made.
    pub(super) fn of(node: &'a Node, vmid: Vmid) -> Self {
        Self { node, vmid, volumes: Vec::new(), armed: true }
    }

    /// The container is whole: nothing is removed any more.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Removes it now; `log` gets what cannot be removed.
    pub(super) fn now(&mut self, log: &mut dyn FnMut(&str)) {
        if !std::mem::take(&mut self.armed) {
            return;
        }
        for volume in self.volumes.drain(..).rev() {
            if let Err(failure) = storage::free(self.node, &volume) {
                log(&failure.text);
            }
        }
        let _ = std::fs::remove_dir(self.node.layout.rootfs(self.vmid));
        let _ = std::fs::remove_dir(self.node.layout.container(self.vmid));
        if let Err(failure) = store::remove(self.node, self.vmid) {
            log(&failure.text);
        }
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let vmid = self.vmid;
        self.now(&mut |text| tracing::error!(%vmid, "undoing a create: {text}"));
    }
}
