//! Runs commands in a container: one whose output is kept, and one between streams of the program's own.
//!
//!     cargo run -p pvect --example exec -- web1 FILE
//!
//! The second command counts the lines of FILE in the container: the file is its stdin, at any length.

#![allow(clippy::print_stdout, reason = "an example is a program")]

mod common;

use std::fs::File;
use std::io::Read;

use pvect::{Error, Result, Streams};
use rustix::pipe::PipeFlags;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(container), Some(file)) = (words.next(), words.next()) else {
        println!("usage: exec CONTAINER FILE");
        return Ok(());
    };
    let client = common::connect()?;
    let vmid = client.resolve(&container).await?;

    let kept = client.exec(vmid, ["sh", "-c", "uname -n; echo careful >&2; exit 3"], None).await?;
    println!("status {}", kept.status);
    println!("stdout {}", String::from_utf8_lossy(&kept.stdout).trim_end());
    println!("stderr {}", String::from_utf8_lossy(&kept.stderr).trim_end());

    let io = |source| Error::Io { what: format!("cannot use {file}"), source };
    // As std::io::pipe of Rust 1.87 and later.
    let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let (reader, writer) = pipe.map_err(|errno| io(errno.into()))?;
    let streams =
        Streams { stdin: Some(File::open(&file).map_err(io)?.into()), stdout: Some(writer), stderr: None };
    // What the command writes is read while it runs, so that a full pipe does not stop it.
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).map(|_| text)
    });
    let done = client.exec_piped(vmid, ["wc", "-l"], streams).await?;
    let text = read.await.map_err(|error| io(error.into()))?.map_err(io)?;
    println!("status {}: {} lines", done.status, text.trim());
    Ok(())
}
