//! `pct pull`: copies a file of a running container to the host.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use pvect_core::{Call, Vmid};
use rustix::fs::OFlags;

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::rooted::{Rooted, is_of_kernel, is_plain};
use crate::transfer::Target;
use crate::transfer::place::Place;
use crate::transfer::wanted::Wanted;
use crate::{Failure, Node, NodeResult, Output, runtime, store, task};

/// The option that lets a copy fill the disk; an extension of this node.
pub(crate) const FILL: &str = "fill";

/// Copies a file of a running container to the host. Returns the exit status, which is 0 even when the copy failed: as
/// with the real pct, only the text on stderr shows that.
///
/// # Errors
/// `can only pull files from a running VM`, and what keeps the task from being started.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let [_, path, destination] = call.args() else {
        return Err(super::not_enough_arguments());
    };
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    if !runtime::is_running(node, vmid) {
        return Err(Failure::new("can only pull files from a running VM"));
    }
    let pulled = task::run(node, "pull_file", &vmid.to_string(), output, |_, _| {
        pull(node, vmid, call, path, destination)
    });
    Ok(super::push::unchecked(pulled, output))
}

fn pull(node: &Node, vmid: Vmid, call: &Call, path: &str, destination: &str) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    let root = runtime::opened(vmid, runtime::init(node, vmid)?.root())?;
    let option = |name: &str| call.get(name).map(str::to_owned);
    let wanted = Wanted { user: option("user"), group: option("group"), perms: option("perms") };
    let attributes = wanted.resolve(Place::Host)?;
    // Unlike the real pct, which makes the destination first: what cannot be read leaves no empty file.
    let source = open(&root, path)?;
    let target = Target::create(Place::Host, destination, attributes)?;
    match super::is_on(call, FILL) {
        true => target.fill(&source, &interrupt),
        false => target.fill_with_room(&source, &interrupt),
    }
}

/// Opens a file of a container; no symlink in its path leads out.
fn open(root: &OwnedFd, path: &str) -> NodeResult<File> {
    let failed = |error: std::io::Error| Failure::new(format!("failed to open {path}: {}", os_text(&error)));
    if path.is_empty() {
        return Err(failed(rustix::io::Errno::NOENT.into()));
    }
    let inside = Rooted::open(Path::new(&runtime::path_of(root)), (0, 0)).map_err(failed)?;
    // First with `O_PATH` only: merely opening a device, or a file such as /proc/kmsg, may have an effect.
    let place = inside.open_at(path, OFlags::PATH).map_err(failed)?;
    if !is_plain(&place) {
        return Err(Failure::new(format!("failed to open {path}: it is not a regular file")));
    }
    if is_of_kernel(&place) {
        return Err(Failure::new(format!("failed to open {path}: it is on proc or sysfs")));
    }
    // Open the same file that was checked.
    let same = format!("/proc/self/fd/{}", place.as_raw_fd());
    File::open(same).map_err(failed)
}
