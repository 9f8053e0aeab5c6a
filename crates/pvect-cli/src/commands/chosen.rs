//! The containers that the words of a selector choose, on every node that they name.

use std::collections::{BTreeMap, BTreeSet};

use pvect::select::{self, Candidate, Selector};
use pvect::{Client, Place};
use pvect_core::{NodeName, Result};

use crate::app::App;

/// Reads words as a selector; `None` if they are one plain number or host name, or if there are none.
///
/// # Errors
/// `InvalidArgument` for a word that is not a selector.
pub fn selector<S: AsRef<str>>(words: &[S]) -> Result<Option<Selector>> {
    match words {
        [] => Ok(None),
        [one] if select::is_plain(one.as_ref()) => Ok(None),
        words => Selector::parse(words).map(Some),
    }
}

/// Connects to each node that the selector names, and to the one that the settings choose.
///
/// # Errors
/// When a node cannot be reached.
pub async fn clients(app: &App, selector: &Selector) -> Result<BTreeMap<NodeName, Client>> {
    let own = app.client()?;
    if matches!(own.place(), Place::Api { node: None, .. }) {
        // One host of the API answers for every node.
        let named = selector.nodes();
        let nodes: BTreeSet<NodeName> =
            own.list().await?.into_iter().filter_map(|listing| listing.node).collect();
        let meant = nodes.into_iter().filter(|node| named.is_empty() || named.contains(node));
        return meant.map(|node| Ok((node.clone(), app.connect_to(&node)?))).collect();
    }
    let name = own.node()?;
    let mut clients = BTreeMap::new();
    for node in selector.nodes().into_iter().filter(|node| *node != name) {
        let client = app.connect_to(&node)?;
        client.probe().await?;
        clients.insert(node, client);
    }
    clients.insert(name, own);
    Ok(clients)
}

/// Returns what the selector chooses of the containers of these nodes; with `startup`, with their startup order.
///
/// # Errors
/// `NotFound` for a word that chooses nothing.
pub async fn candidates(
    clients: &BTreeMap<NodeName, Client>,
    selector: &Selector,
    startup: bool,
) -> Result<Vec<Candidate>> {
    let mut all = Vec::new();
    for client in clients.values() {
        all.extend(select::candidates(client, selector, startup).await?);
    }
    Ok(selector.choose(&all)?.into_iter().cloned().collect())
}
