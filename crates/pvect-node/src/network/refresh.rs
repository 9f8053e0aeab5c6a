//! After a change of a configuration: what the servers of the bridges answer.

use std::path::Path;

use super::bridge::{Kernel, Owner};
use super::dnsmasq::{self, Files};
use super::ports::Plan;
use super::settings::{Network, Settings};
use super::{HostDns, LOCK, LOCK_SECONDS, containers, is_proxmox, serve};
use crate::{Node, NodeResult, Output, lock_files};

/// Has the servers of the node's own bridges answer as the configurations are now. Servers that do not run are not
/// started: the next start of a container does that.
///
/// What was changed is changed all the same: a failure is a warning.
pub(crate) fn refresh(node: &Node, output: &mut Output<'_>) {
    if let Err(failure) = try_refresh(node) {
        output.warn(format!(
            "the names and addresses of containers that the node's own network answers are old - {}",
            failure.text
        ));
    }
}

fn try_refresh(node: &Node) -> NodeResult<()> {
    if is_proxmox() {
        return Ok(());
    }
    let kernel = Kernel::default();
    if served(node, &kernel, &Settings::load(&node.layout.network_cfg())?).is_empty() {
        return Ok(());
    }
    let _lock = lock_files::take_for_a_moment(Path::new(LOCK), LOCK_SECONDS)?;
    let settings = Settings::load(&node.layout.network_cfg())?;
    let networks = served(node, &kernel, &settings);
    let containers = containers(node, None)?;
    let mut plan = Plan::load(node, &networks, &containers)?;
    // That the range has no address left is for the start of the container to say that gets none.
    plan.assign(None);
    let (host, addresses) = (HostDns::of_this_host(), plan.into_addresses());
    for network in networks {
        let (Some(net), Some(addresses)) = (network.address, addresses.get(&network.bridge)) else {
            continue;
        };
        serve(node, &kernel, network, &net, &host, &containers, addresses)?;
    }
    Ok(())
}

/// The bridges that this node made and whose server runs.
fn served<'a>(node: &Node, kernel: &Kernel, settings: &'a Settings) -> Vec<&'a Network> {
    let runs = |network: &&Network| {
        kernel.owner(node.layout.root(), &network.bridge) == Owner::Us
            && dnsmasq::running(&kernel.proc, &Files::of(&node.layout, &network.bridge)).is_some()
    };
    settings.networks.iter().filter(runs).collect()
}
