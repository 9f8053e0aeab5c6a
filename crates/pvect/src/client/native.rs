//! The node's own files and sockets as the way to read.

use std::os::fd::AsRawFd;
use std::path::Path;

use pvect_core::{Result, Vmid};
use pvect_native::{NativeBackend, Survey};
use pvect_rootfs::rooted::Rooted;

use super::{Client, Place, host_name};
use crate::settings::{Backend, Proxmox};

/// Returns the reader of the node's own files; `None` if they are not here or cannot be read, or if pct is to do the
/// reading.
///
/// # Errors
/// What is missing, if they are asked for but cannot be read.
pub(super) fn reader(proxmox: &Proxmox, place: &Place, pve: &Path) -> Result<Option<NativeBackend>> {
    let asked = proxmox.backend == Backend::Native;
    if proxmox.backend == Backend::Pct {
        return Ok(None);
    }
    let (lxc, node) = match place {
        Place::Standalone { root, node } => (root.join("lib/lxc"), Ok(node.clone())),
        Place::Proxmox => ("/var/lib/lxc".into(), proxmox.node.clone().map_or_else(host_name, Ok)),
        Place::Far { .. } | Place::Api { .. } => return Ok(None),
    };
    let node = match node {
        Ok(node) => node,
        Err(error) if asked => return Err(error),
        Err(_) => return Ok(None),
    };
    let backend = NativeBackend::new(lxc, pve.join("nodes").join(node.as_str()).join("lxc"));
    match backend.check() {
        Ok(()) => Ok(Some(backend)),
        Err(error) if asked => Err(error),
        Err(_) => Ok(None),
    }
}

impl Client {
    /// Returns whether reads are answered from the node's own files, without a pct.
    pub fn reads_natively(&self) -> bool {
        self.node.native.is_some()
    }

    /// Returns the reader of the node's own files, if they are here and may be read.
    pub(crate) fn native_backend(&self) -> Option<&NativeBackend> {
        self.node.native.as_ref()
    }

    /// Returns whether reads give records without a pct's text: from the node's own files, or through the API.
    pub fn reads_records(&self) -> bool {
        self.way.reads_records()
    }

    /// Opens the root of a running container from outside, by its init; `None` if that is not possible from here. No
    /// program of the container is involved.
    pub(super) fn guest_root(&self, vmid: Vmid) -> Option<Rooted> {
        // The standalone node is certainly on this machine; a pct that the user chose may lead anywhere.
        let is_here = matches!(self.node.place, Place::Standalone { .. });
        let made = || {
            let proxmox = Proxmox { backend: Backend::Auto, ..self.node.settings.proxmox.clone() };
            is_here.then(|| reader(&proxmox, &self.node.place, &self.node.pve).ok().flatten()).flatten()
        };
        let native = self.node.native.clone().or_else(made)?;
        let root = native.reader().init(vmid).ok()?.root().ok()?;
        Rooted::open(Path::new(&format!("/proc/self/fd/{}", root.as_raw_fd())), (0, 0)).ok()
    }

    /// Lists the node's containers, and, if the node's own files and sockets are read, warns about lines that cannot be
    /// parsed, and about containers whose command sockets somebody else listens on.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn survey(&self) -> Result<Survey> {
        self.way.survey().await
    }

    /// Returns pct's warnings about the lines of a container's configuration file that cannot be parsed. Where pct is what
    /// reads, they are those of the reads of this container since they were last asked for.
    pub fn warnings(&self, vmid: Vmid) -> Vec<String> {
        self.way.warnings(vmid)
    }
}
