//! Which container is where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pvect_core::{Error, Listing, Lock, NodeName, Result, RunState, Vmid};
use serde::Deserialize;

use crate::api::Api;
use crate::records::number;
use crate::request::Request;
use crate::task::parse;

/// A container of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The node that it is on.
    pub node: NodeName,
    /// As `list` shows it.
    pub listing: Listing,
    /// Its tags, joined with `;`.
    pub tags: String,
    /// Its pool.
    pub pool: Option<String>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "number")]
    vmid: Option<u64>,
    node: Option<String>,
    name: Option<String>,
    status: Option<String>,
    lock: Option<String>,
    tags: Option<String>,
    pool: Option<String>,
}

/// What is known about the cluster, for as long as the settings say.
#[derive(Debug, Default)]
pub(crate) struct Known {
    guests: Mutex<Option<(Instant, BTreeMap<Vmid, Place>)>>,
}

/// Where a guest is, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Container(NodeName),
    Machine(NodeName),
}

impl Known {
    /// Finds the node of a container.
    ///
    /// # Errors
    /// `NotFound`, and `Unsupported` for virtual machines.
    pub(crate) async fn node(&self, api: &Api, vmid: Vmid, keep: Duration) -> Result<NodeName> {
        let place = match self.remembered(vmid, keep) {
            Some(place) => Some(place),
            None => {
                self.read(api).await?;
                self.remembered(vmid, Duration::MAX)
            }
        };
        match place {
            Some(Place::Container(node)) => Ok(node),
            Some(Place::Machine(_)) => Err(Error::Unsupported {
                what: format!("{vmid} is a virtual machine; pvect manages containers only"),
                vmid: Some(vmid),
            }),
            None => Err(Error::no_container(vmid)),
        }
    }

    /// Forgets everything, because a container was not on its known node.
    pub(crate) fn forget(&self) {
        *self.guests.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns all containers and virtual machines of the last read.
    pub(crate) fn taken(&self) -> (BTreeSet<Vmid>, BTreeSet<Vmid>) {
        let guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = (BTreeSet::new(), BTreeSet::new());
        for (vmid, place) in guests.iter().flat_map(|(_, places)| places) {
            match place {
                Place::Container(_) => taken.0.insert(*vmid),
                Place::Machine(_) => taken.1.insert(*vmid),
            };
        }
        taken
    }

    fn remembered(&self, vmid: Vmid, keep: Duration) -> Option<Place> {
        let guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, places) = guests.as_ref()?;
        if read.elapsed() > keep { None } else { places.get(&vmid).cloned() }
    }

    /// Reads the whole cluster and returns its containers, by number.
    pub(crate) async fn read(&self, api: &Api) -> Result<Vec<Guest>> {
        let request = Request::get("/cluster/resources").param("type", "vm");
        let resources: Vec<Resource> = parse(api.send(&request).await?)?;
        let mut places = BTreeMap::new();
        let mut guests = Vec::new();
        for one in resources {
            let vmid = one.vmid.and_then(|vmid| Vmid::try_from(u32::try_from(vmid).ok()?).ok());
            let node: Option<NodeName> = one.node.and_then(|node| node.parse().ok());
            let (Some(vmid), Some(node)) = (vmid, node) else { continue };
            if one.kind != "lxc" {
                places.insert(vmid, Place::Machine(node));
                continue;
            }
            places.insert(vmid, Place::Container(node.clone()));
            let listing = Listing {
                vmid,
                status: RunState::from(one.status.unwrap_or_else(|| "unknown".to_owned())),
                lock: one.lock.filter(|lock| !lock.is_empty()).map(Lock::from),
                name: one.name.unwrap_or_else(|| format!("CT{vmid}")),
                node: Some(node.clone()),
            };
            guests.push(Guest { node, listing, tags: one.tags.unwrap_or_default(), pool: one.pool });
        }
        guests.sort_by_key(|guest| guest.listing.vmid);
        *self.guests.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), places));
        Ok(guests)
    }
}
