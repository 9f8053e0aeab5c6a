//! `pct create`: makes a container from a template.
//!
//! The configuration with `lock: create` is there before anything else, so that no other create takes the number
//! and a killed create can be named. Whatever fails or interrupts the work, what was made is removed again.

use std::cell::RefCell;
use std::path::Path;

use pvect_core::call::Value;
use pvect_core::{Call, ContainerConfig, Vmid, VolumeId};
use secrecy::{ExposeSecret, SecretString};

use super::bandwidth;
use super::new_container::{Keys, OWN_OPTIONS, Undo, detect_guest, judge_new, judge_volumes, read_keys};
use super::new_volumes::{Mount, check_source, index, make_volumes, parse_mount};
use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::rights::Asker;
use crate::rights::judge::{self, Content};
use crate::setup::Guest;
use crate::storage::{self, MountFor, PrivateMounts};
use crate::task::TaskLog;
use crate::{Failure, Node, NodeResult, Output, creation, ids, oci, options, store, task, unpack, vmids};

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
        let vmid = call.vmid().ok_or_else(super::not_enough_arguments)?;
        let template = call.args().get(1).cloned().unwrap_or_default();
        let is_on = |name: &str| call.get(name).and_then(pvect_core::property::boolean) == Some(true);
        let ssh_keys = call.get("ssh-public-keys").map(read_keys).transpose()?;
        vmids::check_unused(node, vmid)?;
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
            check_source(node, call.verb(), mount.source())?;
        }
        bandwidth::check_unpacking(node, call, volumes.iter().filter_map(|(_, mount)| mount.storage()))?;
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

fn password(call: &Call) -> Option<SecretString> {
    call.get_secret("password").cloned().or_else(|| call.get("password").map(|text| text.to_owned().into()))
}

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
    // Until everything is done, the configuration shows what exists, and that it is not finished.
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
    // Even with `--lock create`, because the container is complete now.
    creation::end(node, vmid);
    Ok(config)
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
        room: &|| Ok(()),
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
