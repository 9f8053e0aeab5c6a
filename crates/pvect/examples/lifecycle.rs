//! Makes a container, starts it, changes it, shuts it down and removes it, even if a step in between fails.
//!
//!     cargo run -p pvect --example lifecycle -- local:vztmpl/TEMPLATE.tar.zst

#![allow(clippy::print_stdout, reason = "an example is a program")]

mod common;

use pvect::options::{ContainerOptions, ContainerValues};
use pvect::{Client, Create, ErrorKind, Events, Result, Vmid};

/// Prints the task's log as it comes.
struct Log;

impl Events for Log {
    fn log(&mut self, line: &str) {
        println!("    {line}");
    }

    fn warning(&mut self, line: &str) {
        println!("    warning: {line}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Some(template) = std::env::args().nth(1) else {
        println!("usage: lifecycle TEMPLATE, such as local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst");
        return Ok(());
    };
    let client = common::connect()?;
    let values = ContainerValues {
        hostname: Some("example".to_owned()),
        memory: Some(128),
        ..ContainerValues::default()
    };
    let create = Create::new(template).container(&ContainerOptions { values, ..ContainerOptions::default() });
    // Without a number of its own the container gets the lowest free one.
    let (vmid, _) = client.create(&create, &mut Log).await?;
    println!("made {vmid}");
    let lived = live(&client, vmid).await;
    let removed = client.destroy(vmid, true).await;
    lived?;
    removed?;
    println!("removed {vmid}");
    Ok(())
}

async fn live(client: &Client, vmid: Vmid) -> Result<()> {
    client.start(vmid).await?;
    // Errors are branched on by kind, never by their text.
    match client.start(vmid).await {
        Err(error) if error.kind() == ErrorKind::AlreadyRunning => println!("{vmid} is already running"),
        other => drop(other?),
    }
    client.set(vmid, [("memory", "256")]).await?;
    let status = client.status(vmid).await?;
    println!("{vmid} is {}, with {} MiB at most", status.status, status.maxmem.unwrap_or_default() >> 20);
    client.shutdown(vmid, Some(20), true).await?;
    println!("{vmid} is {}", client.status(vmid).await?.status);
    Ok(())
}
