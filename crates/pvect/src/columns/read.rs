//! Reads the cells of columns.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pvect_core::backend::ConfigView;
use pvect_core::{ContainerConfig, ErrorKind, Inspect, Listing, Result, Vmid};

use super::{Cells, Column, Read, Source, ha};
use crate::live::{Frame, Sampler};
use crate::{Client, select};

/// How many configurations are read at a time where a pct or the API reads them.
const AT_A_TIME: usize = 8;
/// For how long the use of CPUs is measured.
const MEASURED: Duration = Duration::from_millis(250);

impl Client {
    /// Reads columns of containers that were listed; nothing is read that no column needs.
    ///
    /// What a container does not let be read is a warning, and its cells are empty then. One that vanished has none.
    ///
    /// # Errors
    /// As [`Client::check_columns`]; when the node cannot be read at all.
    pub async fn columns(&self, list: &[Listing], wanted: &BTreeSet<Column>) -> Result<Read> {
        self.check_columns(wanted)?;
        let mut read = Read { cells: vec![Cells::default(); list.len()], warnings: Vec::new() };
        let asks = |source| wanted.iter().any(|column| column.source() == source);
        let has = |column| wanted.contains(&column);
        if asks(Source::Config) || asks(Source::Addresses) {
            let configs = self.configs(list).await?;
            if asks(Source::Addresses) {
                self.add_addresses(list, &configs, wanted, &mut read)?;
            }
            for (cells, config) in read.cells.iter_mut().zip(&configs) {
                configured(cells, config.as_ref(), &has);
            }
        }
        if asks(Source::Use) {
            self.add_use(list, &has, &mut read.cells).await?;
        }
        if asks(Source::Node) {
            for (cells, listing) in read.cells.iter_mut().zip(list) {
                cells.node = match &listing.node {
                    Some(node) => Some(node.clone()),
                    None => Some(self.node()?),
                };
            }
        }
        if asks(Source::Pools) {
            put(list, &mut read.cells, &select::memberships(self).await?, |cells, pool| {
                cells.pool = Some(pool);
            });
        }
        if asks(Source::Ha) {
            let text = select::read_or_empty(&self.pve().join("ha/resources.cfg"))?;
            put(list, &mut read.cells, &ha::states(&text), |cells, state| cells.ha = Some(state));
        }
        Ok(read)
    }

    /// The configurations, of which one that vanished is `None`.
    async fn configs(&self, list: &[Listing]) -> Result<Vec<Option<ContainerConfig>>> {
        let present = |read: Result<ContainerConfig>| match read {
            Ok(config) => Ok(Some(config)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(native) = self.native_backend() {
            return list.iter().map(|one| present(native.load(one.vmid))).collect();
        }
        let read =
            list.iter().map(|one| async { present(self.config(one.vmid, &ConfigView::Current).await) });
        stream::iter(read).buffered(AT_A_TIME).try_collect().await
    }

    fn add_addresses(
        &self,
        list: &[Listing],
        configs: &[Option<ContainerConfig>],
        wanted: &BTreeSet<Column>,
        read: &mut Read,
    ) -> Result<()> {
        let running: Vec<(usize, Vmid, &ContainerConfig)> = list
            .iter()
            .zip(configs)
            .enumerate()
            .filter(|(_, (one, _))| one.status == pvect_core::RunState::Running)
            .filter_map(|(place, (one, config))| Some((place, one.vmid, config.as_ref()?)))
            .collect();
        for cells in &mut read.cells {
            cells.ip = wanted.contains(&Column::Ip).then(Vec::new);
            cells.ip6 = wanted.contains(&Column::Ip6).then(Vec::new);
        }
        let asked = running.iter().map(|(_, vmid, config)| (*vmid, *config));
        let found = self.native("addresses")?.addresses(asked)?;
        for ((place, vmid, _), found) in running.into_iter().zip(found) {
            let Some(cells) = read.cells.get_mut(place) else { continue };
            match found {
                Ok(found) => {
                    for address in &found.list {
                        match address.ip {
                            IpAddr::V4(ip) => cells.ip.iter_mut().for_each(|list| list.push(ip)),
                            IpAddr::V6(ip) => cells.ip6.iter_mut().for_each(|list| list.push(ip)),
                        }
                    }
                    if found.more {
                        read.warnings.push(format!("container {vmid} has more addresses than are shown"));
                    }
                }
                // It has ended since it was listed.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                }
                Err(error) => {
                    (cells.ip, cells.ip6) = (None, None);
                    read.warnings.push(format!("the addresses of container {vmid} cannot be read: {error}"));
                }
            }
        }
        Ok(())
    }

    async fn add_use(
        &self,
        list: &[Listing],
        has: &impl Fn(Column) -> bool,
        cells: &mut [Cells],
    ) -> Result<()> {
        let mut sampler = self.sampler()?;
        let needs_details = has(Column::Disk) || has(Column::MaxDisk) || has(Column::Uptime);
        let mut frame = |details: bool| -> Result<Frame> {
            let samples = Sampler::sample(&mut sampler, |_| details)?;
            Ok(Frame { at: Instant::now(), samples })
        };
        let before = if has(Column::Cpu) {
            let before = frame(false)?;
            tokio::time::sleep(MEASURED).await;
            Some(before)
        } else {
            None
        };
        let now = frame(needs_details)?;
        let between = before.as_ref().map(|before| now.at.duration_since(before.at)).unwrap_or_default();
        let earlier: BTreeMap<Vmid, _> =
            before.iter().flat_map(|frame| &frame.samples).map(|sample| (sample.vmid, sample)).collect();
        let samples: BTreeMap<Vmid, _> = now.samples.iter().map(|sample| (sample.vmid, sample)).collect();
        for (cells, listing) in cells.iter_mut().zip(list) {
            let Some(sample) = samples.get(&listing.vmid) else { continue };
            let details = sample.details.as_ref();
            cells.maxmemory = has(Column::MaxMemory).then_some(sample.maxmem);
            cells.cpus = has(Column::Cpus).then_some(sample.cpus);
            cells.maxdisk = details.filter(|_| has(Column::MaxDisk)).map(|details| details.maxdisk);
            if !sample.running {
                continue;
            }
            cells.memory = has(Column::Memory).then_some(sample.mem);
            cells.cpu = earlier.get(&listing.vmid).map(|then| {
                // As many digits as the measure is worth.
                (sample.rates(then, between).cpu * 1000.0).round() / 10.0
            });
            // A root file system that does not say it is not empty.
            let used = details.map(|details| details.disk).filter(|used| *used > 0);
            cells.disk = used.filter(|_| has(Column::Disk));
            cells.uptime = details.filter(|_| has(Column::Uptime)).map(|details| details.uptime);
        }
        Ok(())
    }
}

fn configured(cells: &mut Cells, config: Option<&ContainerConfig>, has: &impl Fn(Column) -> bool) {
    let Some(config) = config else { return };
    let text = |column, key: &str| {
        let value = config.main.get(key).filter(|_| has(column));
        value.filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
    };
    let switch = |column, key: &str| has(column).then(|| config.is_set(key));
    cells.tags = text(Column::Tags, "tags");
    cells.os = text(Column::Os, "ostype");
    cells.arch = text(Column::Arch, "arch");
    cells.description = text(Column::Description, "description");
    cells.unprivileged = switch(Column::Unprivileged, "unprivileged");
    cells.template = switch(Column::Template, "template");
    cells.onboot = switch(Column::Onboot, "onboot");
    cells.protection = switch(Column::Protection, "protection");
}

fn put(
    list: &[Listing],
    cells: &mut [Cells],
    values: &BTreeMap<Vmid, String>,
    set: impl Fn(&mut Cells, String),
) {
    for (cells, listing) in cells.iter_mut().zip(list) {
        if let Some(value) = values.get(&listing.vmid) {
            set(cells, value.clone());
        }
    }
}
