//! Follows what happens on the node, for a number of events: states, configurations, tasks. For root on the node.
//!
//!     cargo run -p pvect --example follow -- 10

#![allow(clippy::print_stdout, reason = "an example is a program")]

mod common;

use std::time::Duration;

use pvect::live::Event;

fn main() -> pvect::Result<()> {
    let count = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
    let mut watcher = common::connect()?.watch()?;
    let mut seen = 0;
    while seen < count {
        // Waiting blocks: an asynchronous program gives it a thread.
        for event in watcher.wait(Duration::from_secs(60))?.into_iter().take(count - seen) {
            seen += 1;
            match event {
                Event::State { vmid, running: true } => println!("{vmid} runs"),
                Event::State { vmid, running: false } => println!("{vmid} has stopped"),
                Event::Config { vmid, change } => println!("{vmid} configuration: {change:?}"),
                Event::TaskBegan { upid } => println!("{} {} began", upid.id, upid.worker),
                Event::TaskEnded { upid, status } => {
                    println!("{} {} ended: {}", upid.id, upid.worker, status.unwrap_or_default());
                }
            }
        }
    }
    Ok(())
}
