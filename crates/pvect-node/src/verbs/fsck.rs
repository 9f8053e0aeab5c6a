//! `pct fsck`: checks the file system of one volume.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use pvect_core::Call;
use pvect_core::property::{MountPoint, MountSource, RootFs, boolean};

use crate::interrupt::Interrupt;
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, Output, hostmount, image, runtime, store};

/// Checks the file system of one volume of a stopped container and corrects what can be corrected safely. Returns
/// the exit status.
///
/// # Errors
/// The text and status that pct ends with; `command 'fsck ...' failed: exit code 1` when something was corrected.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let device = call.get("device").unwrap_or("rootfs");
    let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let config = store::load_telling(node, vmid, output)?.config;
    let value =
        config.main.options.get(device).ok_or_else(|| {
            Failure::new(format!("cannot run command on non-existing mount point {device}"))
        })?;
    if runtime::is_running(node, vmid) {
        return Err(Failure::new("cannot run fsck when container is running"));
    }
    let bad = |_| Failure::new(format!("unable to parse {device} '{value}'"));
    let source = if device == "rootfs" {
        RootFs::parse(value).map_err(bad)?.source
    } else {
        MountPoint::parse(device, value).map_err(bad)?.fs.source
    };
    let path = target(node, &source)?;
    image::wait_until_free(&path)?;
    let mut words = vec!["-a", "-l"];
    if call.get("force").and_then(boolean) == Some(true) {
        words.push("-f");
    }
    let _interrupt = Interrupt::watch();
    check(&words, &path, output)?;
    Ok(0)
}

/// What is checked: a raw image or a block device.
fn target(node: &Node, source: &MountSource) -> NodeResult<PathBuf> {
    match source {
        MountSource::Volume(text) => {
            let format = match text.rsplit_once('.') {
                Some((_, end @ ("raw" | "qcow2" | "vmdk" | "subvol"))) => end,
                _ => "raw",
            };
            if format != "raw" {
                return Err(Failure::new(format!("unable to run fsck for '{text}' (format == {format})")));
            }
            hostmount::existing(node, text)
        }
        MountSource::Device(text) if is_block_device(Path::new(text)) => Ok(PathBuf::from(text)),
        other => Err(Failure::new(format!("path '{other}' does not point to a block device"))),
    }
}

fn is_block_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device())
}

fn check(words: &[&str], path: &Path, output: &mut Output<'_>) -> NodeResult<()> {
    let (code, errors) = Tool::new("fsck", "util-linux")
        .args(words)
        .arg(path)
        .apart()
        .keeping_locks()
        .outcome(&mut |line| output.line(line))?;
    let _ = output.err.write_all(errors.as_bytes());
    if code == 0 {
        return Ok(());
    }
    let words = words.join(" ");
    Err(Failure::new(format!("command 'fsck {words} {}' failed: exit code {code}", path.display())))
}
