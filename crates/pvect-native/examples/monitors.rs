//! Stands in for the LXC monitors of many containers, so that reads can be measured without starting any.
//!
//! `monitors LXC_PATH FIRST COUNT [whole]` listens on the command sockets of the containers FIRST, FIRST + 1, ... It
//! answers as LXC's monitor does that the container runs, with the process id of a `cat` as that of its init, which is
//! in the cgroup of the first container. With `whole` each container has a `cat`, cgroups and a network device of its
//! own. It writes `ready` and ends, with all that it made, when its standard input does.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use pvect_core::Vmid;
use pvect_native::{Cgroups, Names, socket_name};

/// `LXC_CMD_GET_STATE` and `LXC_CMD_GET_INIT_PID` of LXC's commands.h, `RUNNING` of its state.h.
const GET_STATE: i32 = 3;
const GET_INIT_PID: i32 = 4;
const RUNNING: u64 = 2;
const ENOSYS: i32 = 38;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (words, whole) = match words.as_slice() {
        [rest @ .., last] if last == "whole" => (rest, true),
        all => (all, false),
    };
    let [lxc_path, first, count] = words else { return Err(usage()) };
    let first: u32 = first.parse().map_err(|_| usage())?;
    let count: u32 = count.parse().map_err(|_| usage())?;
    let vmids: Vec<Vmid> = (first..first.saturating_add(count))
        .map(|number| number.to_string().parse().map_err(io::Error::other))
        .collect::<io::Result<_>>()?;
    let names = Names::new(lxc_path);
    let whole = whole.then(|| Whole::make(&names, &vmids)).transpose()?;
    let mut inits: Vec<Init> = Vec::new();
    for vmid in vmids {
        if inits.is_empty() || whole.is_some() {
            inits.push(Init::make(&names, vmid)?);
        }
        let Some(pid) = inits.last().map(|init| init.child.id()) else { return Err(usage()) };
        let name = socket_name(Path::new(lxc_path), vmid);
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        thread::Builder::new().stack_size(64 << 10).spawn(move || serve(&listener, pid))?;
    }
    writeln!(io::stdout(), "ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    inits.into_iter().try_for_each(Init::end)?;
    whole.map_or(Ok(()), |whole| whole.remove())
}

/// What stands in for a container's init.
struct Init {
    child: Child,
    cgroup: PathBuf,
}

impl Init {
    /// Starts it and puts it into the container's cgroup, of one hierarchy. It ends when we do, however we do.
    fn make(names: &Names, vmid: Vmid) -> io::Result<Self> {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let hierarchies = Cgroups::new("/sys/fs/cgroup").hierarchies();
        let root = hierarchies.first().ok_or(io::ErrorKind::NotFound)?;
        let cgroup = root.join(names.cgroup(vmid));
        std::fs::create_dir_all(&cgroup)?;
        // A cpuset takes nobody before it has CPUs and memory of its own.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            for place in [root.join("lxc"), cgroup.clone()] {
                if let Ok(all) = std::fs::read(root.join(file)) {
                    let _ = std::fs::write(place.join(file), all);
                }
            }
        }
        std::fs::write(cgroup.join("cgroup.procs"), child.id().to_string())?;
        Ok(Self { child, cgroup })
    }

    fn end(mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        // Those of a whole container go with the rest.
        let _ = std::fs::remove_dir(&self.cgroup);
        Ok(())
    }
}

/// Cgroups and network devices.
struct Whole {
    cgroups: Vec<PathBuf>,
    devices: Vec<String>,
}

impl Whole {
    fn make(names: &Names, vmids: &[Vmid]) -> io::Result<Self> {
        let of = |vmid: &Vmid| names.cgroup(*vmid);
        let hierarchies = Cgroups::new("/sys/fs/cgroup").hierarchies();
        let cgroups: Vec<PathBuf> =
            hierarchies.iter().flat_map(|root| vmids.iter().map(|vmid| root.join(of(vmid)))).collect();
        for cgroup in &cgroups {
            std::fs::create_dir_all(cgroup)?;
        }
        let devices: Vec<String> = vmids.iter().map(|vmid| names.device(*vmid, 0)).collect();
        ip(devices.iter().map(|device| format!("link add {device} type bridge\n")))?;
        Ok(Self { cgroups, devices })
    }

    fn remove(self) -> io::Result<()> {
        for cgroup in &self.cgroups {
            match std::fs::remove_dir(cgroup) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        ip(self.devices.iter().map(|device| format!("link del {device}\n")))
    }
}

/// Runs many commands of `ip` at once.
fn ip(lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut child = Command::new("ip")
        .args(["-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.collect::<String>().as_bytes())?;
    }
    child.wait().map(|_| ())
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: monitors LXC_PATH FIRST COUNT [whole]")
}

fn serve(listener: &UnixListener, init: u32) {
    for stream in listener.incoming().flatten() {
        // Who hangs up is done.
        let _ = answer(stream, init);
    }
}

/// Answers one request: `int cmd; int datalen; void *data` with `int ret; int datalen; void *data`.
fn answer(mut stream: UnixStream, init: u32) -> io::Result<()> {
    let mut request = [0; 16];
    stream.read_exact(&mut request)?;
    let [a, b, c, d, ..] = request;
    let (result, data) = match i32::from_ne_bytes([a, b, c, d]) {
        GET_STATE => (0, RUNNING),
        GET_INIT_PID => (0, u64::from(init)),
        _ => (-ENOSYS, 0),
    };
    let mut answer = [0; 16];
    answer[..4].copy_from_slice(&result.to_ne_bytes());
    answer[8..].copy_from_slice(&data.to_ne_bytes());
    stream.write_all(&answer)
}
