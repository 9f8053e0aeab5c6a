//! Reads what selectors ask for.

use std::fs;
use std::io;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pvect_api::ApiBackend;
use pvect_core::backend::ConfigView;
use pvect_core::property::Startup;
use pvect_core::{Error, ErrorKind, Inspect, NodeName, Result};

use super::{Candidate, Selector, pools};
use crate::client::host_name;
use crate::{Client, Place};

/// How many configurations are read at a time.
const AT_A_TIME: usize = 8;

impl Client {
    /// Returns the name of the node that this client works on.
    ///
    /// # Errors
    /// [`Error::Settings`] when neither the settings nor the host have one.
    pub fn node(&self) -> Result<NodeName> {
        match self.place() {
            Place::Standalone { node, .. }
            | Place::Far { node: Some(node), .. }
            | Place::Api { node: Some(node), .. } => Ok(node.clone()),
            Place::Api { node: None, .. } => {
                Err(Error::Settings { what: "which node is meant? --node NAME, or proxmox.node".to_owned() })
            }
            Place::Proxmox => host_name(),
            Place::Far { destination, .. } => {
                // The name is only shown in this case.
                let host = destination.rsplit('@').next().unwrap_or_default();
                host.split('.').next().unwrap_or_default().parse().map_err(|_| Error::Settings {
                    what: format!("the node at '{destination}' has no name: --node NAME, or proxmox.node"),
                })
            }
        }
    }
}

/// Reads the containers of a client's node, as far as the selector needs; with `startup`, their startup order too.
///
/// A container that vanishes meanwhile is left out.
///
/// # Errors
/// As [`Client::list`]; `Unsupported` for pools of a node whose files are not on this machine.
pub async fn candidates(client: &Client, selector: &Selector, startup: bool) -> Result<Vec<Candidate>> {
    if let Some(api) = client.api() {
        return of_api(api, client, startup).await;
    }
    let node = client.node()?;
    let members = if selector.needs_pools() { pools(&user_cfg(client)?) } else { Default::default() };
    let all = client.list().await?.into_iter().map(|listing| {
        let pool = members.get(&listing.vmid).cloned();
        Candidate { pool, ..Candidate::new(listing, node.clone()) }
    });
    if !startup && !selector.needs_config() {
        return Ok(all.collect());
    }
    let read = stream::iter(all).map(|one| with_config(client, one)).buffered(AT_A_TIME);
    Ok(read.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
}

/// With the API, one answer has the nodes, tags and pools of all containers.
async fn of_api(api: &ApiBackend, client: &Client, startup: bool) -> Result<Vec<Candidate>> {
    let own = match client.place() {
        Place::Api { node, .. } => node.clone(),
        _ => None,
    };
    let all =
        api.guests().await?.into_iter().filter(|guest| own.as_ref().is_none_or(|node| guest.node == *node));
    let all = all.map(|guest| {
        let mut one = Candidate::new(guest.listing, guest.node);
        one.tags = pvect_core::tags::normalise(&guest.tags).split(';').map(str::to_owned).collect();
        one.tags.remove("");
        one.pool = guest.pool;
        one
    });
    if !startup {
        return Ok(all.collect());
    }
    let read = stream::iter(all).map(|one| with_config(client, one)).buffered(AT_A_TIME);
    Ok(read.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
}

async fn with_config(client: &Client, mut one: Candidate) -> Result<Option<Candidate>> {
    let config = match client.config(one.vmid, &ConfigView::Current).await {
        Ok(config) => config,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let get = |key: &str| config.main.get(key).unwrap_or_default();
    one.tags = pvect_core::tags::normalise(&get("tags")).split(';').map(str::to_owned).collect();
    one.tags.remove("");
    one.startup = Startup::parse(&get("startup")).unwrap_or_default();
    one.template = config.is_set("template");
    Ok(Some(one))
}

fn user_cfg(client: &Client) -> Result<String> {
    if matches!(client.place(), Place::Far { .. }) {
        let what =
            "pools are read from the node's own files, which are not here: run pvect on the node".to_owned();
        return Err(Error::Unsupported { what, vmid: None });
    }
    let file = client.pve().join("user.cfg");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(Error::Io { what: format!("cannot read {}", file.display()), source }),
    }
}
