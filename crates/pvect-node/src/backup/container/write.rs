//! The archive is written: what is in it, what is left out.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use pvect_core::property::MountPoint;
use pvect_core::{ContainerConfig, Vmid};

use super::{ARCHIVE_MODE, Backup};
use crate::backup::archive::{self, Contents, Packing};
use crate::backup::journal::Journal;
use crate::backup::options::Mode;
use crate::backup::parts::{mount, open, sources};
use crate::backup::snapshot;
use crate::idmap::IdMap;
use crate::rooted::Rooted;
use crate::storage::{self, PrivateMounts};
use crate::{Failure, Node, NodeResult, runtime};

/// Source: vzdump, `stdexcludes`.
const STANDARD_EXCLUDES: [&str; 3] = ["/tmp/?*", "/var/tmp/?*", "/var/run/?*.pid"];

impl Backup<'_> {
    /// Writes the archive under a temporary name and renames it.
    pub(super) fn write(
        &mut self,
        config: &ContainerConfig,
        included: &[(String, MountPoint)],
        mode: Mode,
        journal: &mut Journal<'_, '_>,
    ) -> NodeResult<PathBuf> {
        let (node, options) = (self.node, self.plan.options);
        let directory = &self.plan.directory;
        let target = directory.join(format!("{}.tar{}", self.base, options.compress.extension()));
        let temporary = directory.join(format!("{}.dat", self.base));
        self.sweep();
        journal.info(format!("creating vzdump archive '{}'", target.display()));
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(ARCHIVE_MODE)
            .open(&temporary)
            .map_err(|error| Failure::io("can't create", &temporary, &error))?;
        self.temporary = Some(temporary.clone());
        let id_maps = config.id_maps().map_err(|error| Failure::new(error.to_string()))?;
        let excludes = self.excludes();
        let described = describe(node, self.vmid, config)?;
        let _mounts = PrivateMounts::enter()?;
        if !id_maps.is_empty() {
            runtime::hide_id_map_tools()?;
        }
        // The volumes are mounted again even if the container runs, so that its own mounts (/proc, /sys) do not hide
        // files.
        let mut mounted = config.clone();
        let copies = match mode {
            Mode::Snapshot => Some(snapshot::Copies::of(node, &mut mounted, included)?),
            Mode::Stop | Mode::Suspend => None,
        };
        let root = mount(node, self.vmid, &mounted, included, mode)?;
        let opened = open(&root).and_then(|fd| Ok((sources(&root, included)?, fd)));
        let written = opened.and_then(|(sources, fd)| {
            let contents = Contents {
                config: described.path(),
                root: fd,
                sources,
                excludes: &excludes,
                id_maps: &id_maps,
            };
            let packing =
                Packing { compress: options.compress, zstd: options.zstd, bwlimit: options.bwlimit };
            archive::write(&contents, file, packing, self.interrupt, &mut |line| journal.info(line))
        });
        let unmounted = storage::unmount_all(&root);
        drop(copies);
        written?;
        unmounted?;
        std::fs::rename(&temporary, &target)
            .map_err(|error| Failure::io("can't rename", &temporary, &error))?;
        self.temporary = None;
        let size = std::fs::metadata(&target).map_or(0, |meta| meta.len());
        journal.info(format!("archive file size: {}", size_text(size)));
        Ok(target)
    }

    /// Removes what killed backups of this container left behind. We hold its lock, so none of them is still running.
    fn sweep(&self) {
        let (archive, described) = (format!("vzdump-lxc-{}-", self.vmid), described_prefix(self.vmid));
        let directories = [self.plan.directory.clone(), self.node.layout.container(self.vmid)];
        for entry in directories.iter().filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&archive) && name.ends_with(".dat") {
                let _ = std::fs::remove_file(entry.path());
            } else if name.starts_with(&described) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Patterns of what is left out.
    fn excludes(&self) -> Vec<String> {
        let mut excludes = self.plan.options.excludes.clone();
        if self.plan.options.standard_excludes {
            excludes.extend(STANDARD_EXCLUDES.map(str::to_owned));
        }
        excludes
    }
}

/// Makes a directory with `etc/vzdump/pct.conf` and `pct.fw`, which the container's root may read, and nobody else. It
/// is made next to the container's `rootfs`, because the container's root cannot enter the directory of the archives.
fn describe(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<tempfile::TempDir> {
    let directory = &runtime::make_directory(node, vmid, config)?;
    let failed = |error: std::io::Error| Failure::io("can't write the configuration into", directory, &error);
    let made =
        tempfile::Builder::new().prefix(&described_prefix(vmid)).tempdir_in(directory).map_err(failed)?;
    let mut config = config.clone();
    config.snapshots.clear();
    config.pending = None;
    config.main.remove("lock");
    config.main.remove("parent");
    let text = config.to_text().map_err(|error| Failure::new(error.to_string()))?;
    let rules = std::fs::read(node.layout.firewall(vmid)).unwrap_or_default();
    let owner = IdMap::of(&config).root();
    let files = Rooted::open(made.path(), owner).map_err(failed)?;
    files.write("etc/vzdump/pct.conf", text.as_bytes(), 0o644).map_err(failed)?;
    files.write("etc/vzdump/pct.fw", &rules, 0o644).map_err(failed)?;
    std::os::unix::fs::chown(made.path(), Some(owner.0), Some(owner.1)).map_err(failed)?;
    Ok(made)
}

/// What the names of such directories begin with.
fn described_prefix(vmid: Vmid) -> String {
    format!(".vzdump-{vmid}-")
}

/// `12KB`, `3MB`, `1.50GB`: as vzdump rounds.
fn size_text(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let gib = bytes as f64 / f64::from(1 << 30);
    match bytes {
        0..0x10_0000 => format!("{}KB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{}MB", bytes >> 20),
        _ if gib < 1024.0 => format!("{gib:.2}GB"),
        _ => format!("{:.2}TB", gib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_vzdumps_form() {
        for (bytes, text) in
            [(1023, "0KB"), (5000, "4KB"), (3 << 20, "3MB"), (3 << 29, "1.50GB"), (1 << 41, "2.00TB")]
        {
            assert_eq!(size_text(bytes), text);
        }
    }
}
