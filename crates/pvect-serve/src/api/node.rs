//! `/nodes` and the node itself.

use serde_json::{Value, json};

use super::{Answer, Asked, Reply, Row};
use crate::certificate::Certificate;

pub(super) const ENDPOINTS: &[Row] = &[
    ("GET", "/nodes", list),
    ("GET", "/nodes/{node}/status", status),
    ("GET", "/nodes/{node}/version", version),
];

/// What the kernel says about this machine.
struct Machine {
    cpus: usize,
    model: String,
    memory: [u64; 2],
    swap: [u64; 2],
    uptime: u64,
    load: [String; 3],
    kernel: String,
    disk: [u64; 2],
}

impl Machine {
    fn read(root: &std::path::Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let memory = text("/proc/meminfo");
        let field = |name: &str| -> u64 {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let words = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
            words.unwrap_or(0) * 1024
        };
        let cpu = text("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let load = text("/proc/loadavg");
        let mut load = load.split_ascii_whitespace().map(str::to_owned);
        let mut next = || load.next().unwrap_or_else(|| "0.00".to_owned());
        let disk = rustix::fs::statvfs(root).map_or([0, 0], |fs| {
            [fs.f_blocks * fs.f_frsize, fs.f_blocks.saturating_sub(fs.f_bfree) * fs.f_frsize]
        });
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            model: model.map_or_else(String::new, |(_, name)| name.trim().to_owned()),
            memory: [field("MemTotal"), field("MemTotal").saturating_sub(field("MemAvailable"))],
            swap: [field("SwapTotal"), field("SwapTotal").saturating_sub(field("SwapFree"))],
            uptime: text("/proc/uptime").split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0),
            load: [next(), next(), next()],
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            disk,
        }
    }
}

/// The node's line of `/nodes` and `/cluster/resources`. What needs Sys.Audit is left out for others.
pub(super) fn summary(asked: &Asked) -> Value {
    let name = asked.node().name.to_string();
    let mut line = json!({ "id": format!("node/{name}"), "type": "node", "node": name, "status": "online", "level": "" });
    if asked.check(&format!("/nodes/{name}"), "Sys.Audit").is_ok() {
        let machine = Machine::read(asked.node().layout.root());
        line["cpu"] = 0.into();
        line["maxcpu"] = machine.cpus.into();
        line["mem"] = machine.memory[1].into();
        line["maxmem"] = machine.memory[0].into();
        line["disk"] = machine.disk[1].into();
        line["maxdisk"] = machine.disk[0].into();
        line["uptime"] = machine.uptime.into();
    }
    line
}

fn list(asked: &Asked) -> Answer {
    asked.params.check(&[])?;
    let mut line = summary(asked);
    if let Ok(certificate) = Certificate::load(asked.node()) {
        line["ssl_fingerprint"] = certificate.fingerprint().into();
    }
    Ok(Reply::Data(json!([line])))
}

fn version(asked: &Asked) -> Answer {
    asked.check_node()?;
    asked.params.check(&[])?;
    Ok(Reply::Data(super::access::version_record()))
}

fn status(asked: &Asked) -> Answer {
    asked.check(&format!("/nodes/{}", asked.part("node")), "Sys.Audit")?;
    asked.check_node()?;
    asked.params.check(&[])?;
    let machine = Machine::read(asked.node().layout.root());
    let use_of =
        |[total, used]: [u64; 2]| json!({ "total": total, "used": used, "free": total.saturating_sub(used) });
    let mut rootfs = use_of(machine.disk);
    rootfs["avail"] = rootfs["free"].clone();
    Ok(Reply::Data(json!({
        "uptime": machine.uptime,
        "loadavg": machine.load,
        "cpu": 0,
        "wait": 0,
        "idle": 0,
        "memory": use_of(machine.memory),
        "swap": use_of(machine.swap),
        "ksm": { "shared": 0 },
        "rootfs": rootfs,
        "cpuinfo": { "cpus": machine.cpus, "cores": machine.cpus, "sockets": 1, "model": machine.model },
        "kversion": format!("Linux {}", machine.kernel),
        "current-kernel": { "sysname": "Linux", "release": machine.kernel, "machine": std::env::consts::ARCH },
        "pveversion": concat!("pvect/", env!("CARGO_PKG_VERSION"), "/standalone"),
    })))
}
