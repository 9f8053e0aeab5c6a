//! Volumes: their size, their place, their file systems.

use pvect_core::usage::FileSystem;
use pvect_core::{Call, Outcome, Result, StorageId, Verb, Vmid};

use crate::Client;
use crate::client::Manner;
use crate::client::options::{FsckOptions, MoveOptions, RescanOptions};

impl Client {
    /// Grows a volume (`rootfs`, `mp0`) to a size (`8G`) or by one (`+8G`).
    ///
    /// # Errors
    /// `InvalidArgument` for a smaller size, and for a plain number, which pct takes for bytes;
    /// `PctOperationFailed` when the size is as before, although pct exits with 0 then.
    pub async fn resize(
        &self,
        vmid: Vmid,
        volume: &str,
        size: &str,
        digest: Option<&str>,
    ) -> Result<Outcome> {
        let call = Call::on(Verb::Resize, vmid).arg(volume).arg(size);
        let call = digest.into_iter().fold(call, |call, text| call.option("digest", text));
        self.ask(&call).await
    }

    /// Moves a volume of a stopped container to another storage.
    ///
    /// # Errors
    /// `AlreadyRunning`, `Locked`, `NotFound`.
    pub async fn move_volume(
        &self,
        vmid: Vmid,
        volume: &str,
        storage: &StorageId,
        options: &MoveOptions,
    ) -> Result<Outcome> {
        let call = Call::on(Verb::MoveVolume, vmid).arg(volume).arg(storage.to_string());
        self.ask(&options.add_to(call)).await
    }

    /// Gives a volume of a stopped container to another one, there under the same name unless another is given.
    ///
    /// # Errors
    /// As [`Client::move_volume`].
    pub async fn reassign_volume(
        &self,
        vmid: Vmid,
        volume: &str,
        to: Vmid,
        name: Option<&str>,
        options: &MoveOptions,
    ) -> Result<Outcome> {
        let call = Call::on(Verb::MoveVolume, vmid).arg(volume).arg_at(3, to.to_string());
        let call = name.into_iter().fold(call, |call, name| call.arg_at(4, name));
        self.ask(&options.add_to(call)).await
    }

    /// Mounts a container's volumes on the host and returns where its root file system is. The container is locked
    /// until [`Client::unmount`].
    ///
    /// # Errors
    /// `Locked`; `PctInvalidOutput` when pct does not say where.
    pub async fn mount(&self, vmid: Vmid) -> Result<String> {
        let call = Call::on(Verb::Mount, vmid);
        let outcome = self.ask(&call).await?;
        self.understood(&call, &outcome, pvect_pct::parse::mounted(&outcome.stdout))
    }

    /// Undoes [`Client::mount`].
    ///
    /// # Errors
    /// `PctCommandFailed` when it is not mounted.
    pub async fn unmount(&self, vmid: Vmid) -> Result<Outcome> {
        self.ask(&Call::on(Verb::Unmount, vmid)).await
    }

    /// Reads how full the volumes are. `mount` allows a stopped container to be mounted and locked meanwhile.
    ///
    /// # Errors
    /// `NotRunning` for a stopped container without `mount`.
    pub async fn df(&self, vmid: Vmid, mount: bool) -> Result<Vec<FileSystem>> {
        let call = Call::on(Verb::Df, vmid);
        let outcome = self.carry_out(&call, &Manner { mount, ..Manner::default() }, &mut ()).await?;
        self.understood(&call, &outcome, pvect_pct::parse::df(&outcome.stdout))
    }

    /// Checks a volume's file system; the container must be stopped. Returns what e2fsck says.
    ///
    /// # Errors
    /// `AlreadyRunning`, `Locked`, `Unsupported` for volumes that are not images.
    pub async fn fsck(&self, vmid: Vmid, options: &FsckOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::on(Verb::Fsck, vmid))).await
    }

    /// Returns unused blocks to the storage; `only_root` leaves out the mount points.
    ///
    /// # Errors
    /// `Locked`.
    pub async fn fstrim(&self, vmid: Vmid, only_root: bool) -> Result<Outcome> {
        let call = Call::on(Verb::Fstrim, vmid);
        self.ask(&if only_root { call.flag("ignore-mountpoints", true) } else { call }).await
    }

    /// Updates sizes and unused volumes in the configurations.
    ///
    /// # Errors
    /// `Locked`; without a container it stops at the first locked one.
    pub async fn rescan(&self, options: &RescanOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::new(Verb::Rescan))).await
    }
}
