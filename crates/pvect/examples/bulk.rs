//! Starts many containers, four at a time in their startup order, and shows each step as it happens.
//!
//!     cargo run -p pvect --example bulk -- @web '!102'

#![allow(clippy::print_stdout, reason = "an example is a program")]

mod common;

use std::num::NonZeroUsize;

use pvect::bulk::{self, Direction, Ended, Happening, Limits};
use pvect::select::{self, Selector};
use pvect::{Call, Manner, Result, Verb};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        println!("usage: bulk WORD...: numbers, names, @TAG, 100-120, all");
        return Ok(());
    }
    let client = common::connect()?;
    let selector = Selector::parse(&words)?;
    let all = select::candidates(&client, &selector, true).await?;
    let chosen: Vec<_> = selector.choose(&all)?.into_iter().cloned().collect();

    let rounds = bulk::rounds(&chosen, Some(Direction::Start));
    let limits = Limits { parallel: NonZeroUsize::MIN.saturating_add(3), ..Limits::default() };
    let start = async |index: usize, mut log: bulk::Reporter| {
        let call = Call::on(Verb::Start, chosen[index].vmid);
        client.carry_out(&call, &Manner::default(), &mut log).await
    };
    let ended = bulk::run(&rounds, limits, start, |index, happening| {
        let name = &chosen[index].name;
        match happening {
            Happening::Began => println!("{name}: starts"),
            Happening::Log(line) | Happening::Warning(line) => println!("{name}: {line}"),
            Happening::Ended(Ended::Done { took, .. }) => println!("{name}: runs after {took:.1?}"),
            Happening::Ended(Ended::Failed { error, .. }) => println!("{name}: {error}"),
            Happening::Ended(Ended::Skipped) => println!("{name}: was not started"),
        }
    })
    .await;
    let done = ended.iter().filter(|end| end.is_done()).count();
    println!("{done} of {} started", ended.len());
    Ok(())
}
