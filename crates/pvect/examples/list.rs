//! Lists the containers with the memory and the main address that their configuration gives them.
//!
//!     cargo run -p pvect --example list

#![allow(clippy::print_stdout, reason = "an example is a program")]

mod common;

use pvect::property::NetInterface;
use pvect::{ConfigView, Inspect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> pvect::Result<()> {
    let client = common::connect()?;
    for container in client.list().await? {
        let config = client.config(container.vmid, &ConfigView::Current).await?;
        let memory = config.main.memory_mib();
        let net0 = config.main.get("net0").and_then(|text| NetInterface::parse("net0", &text).ok());
        let address = net0.and_then(|net| net.ip).map(|ip| ip.to_string()).unwrap_or_default();
        println!("{} {:<8} {memory:>6} MiB  {} {address}", container.vmid, container.status, container.name);
    }
    Ok(())
}
