//! Stands in for the LXC monitors of many containers, so that reads can be measured without starting any.
//!
//! `monitors LXC_PATH FIRST COUNT` listens on the command sockets of the containers FIRST, FIRST + 1, ... It answers
//! as LXC's monitor does that the container runs, with this program's own process id as that of its init. It writes
//! `ready` and ends when its standard input does.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use pvect_core::Vmid;
use pvect_native::socket_name;

/// `LXC_CMD_GET_STATE` and `LXC_CMD_GET_INIT_PID` of LXC's commands.h, `RUNNING` of its state.h.
const GET_STATE: i32 = 3;
const GET_INIT_PID: i32 = 4;
const RUNNING: u64 = 2;
const ENOSYS: i32 = 38;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [lxc_path, first, count] = words.as_slice() else { return Err(usage()) };
    let first: u32 = first.parse().map_err(|_| usage())?;
    let count: u32 = count.parse().map_err(|_| usage())?;
    for number in first..first.saturating_add(count) {
        let vmid: Vmid = number.to_string().parse().map_err(io::Error::other)?;
        let name = socket_name(Path::new(lxc_path), vmid);
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        thread::Builder::new().stack_size(64 << 10).spawn(move || serve(&listener))?;
    }
    writeln!(io::stdout(), "ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: monitors LXC_PATH FIRST COUNT")
}

fn serve(listener: &UnixListener) {
    for stream in listener.incoming().flatten() {
        // Who hangs up is done.
        let _ = answer(stream);
    }
}

/// Answers one request: `int cmd; int datalen; void *data` with `int ret; int datalen; void *data`.
fn answer(mut stream: UnixStream) -> io::Result<()> {
    let mut request = [0; 16];
    stream.read_exact(&mut request)?;
    let [a, b, c, d, ..] = request;
    let (result, data) = match i32::from_ne_bytes([a, b, c, d]) {
        GET_STATE => (0, RUNNING),
        GET_INIT_PID => (0, u64::from(std::process::id())),
        _ => (-ENOSYS, 0),
    };
    let mut answer = [0; 16];
    answer[..4].copy_from_slice(&result.to_ne_bytes());
    answer[8..].copy_from_slice(&data.to_ne_bytes());
    stream.write_all(&answer)
}
