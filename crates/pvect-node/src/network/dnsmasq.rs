//! dnsmasq: addresses and names for the containers of one bridge.
//!
//! One process serves one bridge and listens nowhere else. It answers names of the containers by itself and never
//! passes them on, and it does not know the host's `/etc/hosts`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::property::{Ipv4Config, Ipv6Config};
use pvect_core::{ContainerConfig, Vmid};
use rustix::process::{Pid, Signal, kill_process};

use super::addresses::{Addresses, Mac};
use super::settings::Network;
use super::subnet::Net4;
use crate::process::Process;
use crate::tool::Tool;
use crate::{Failure, Layout, NodeResult, files};

/// How long a lease is valid.
const LEASE: &str = "12h";
/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// The files of one bridge's process.
#[derive(Debug, Clone)]
pub struct Files {
    /// `run/network/<bridge>.conf`.
    pub config: PathBuf,
    /// `run/network/<bridge>.pid`.
    pub pid: PathBuf,
    /// `run/network/<bridge>.hosts`: fixed addresses and their names.
    pub hosts: PathBuf,
    /// `run/network/<bridge>.dhcp`: MAC addresses, their addresses and names.
    pub dhcp: PathBuf,
    /// `lib/network/<bridge>.leases`; it survives a reboot.
    pub leases: PathBuf,
}

impl Files {
    /// The files of a bridge.
    pub fn of(layout: &Layout, bridge: &str) -> Self {
        let run = |kind: &str| layout.network_run().join(format!("{bridge}.{kind}"));
        Self {
            config: run("conf"),
            pid: run("pid"),
            hosts: run("hosts"),
            dhcp: run("dhcp"),
            leases: layout.network_leases(bridge),
        }
    }
}

/// The contents of a process's files. If `config` changes, the process must be restarted; the others it can read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// The configuration.
    pub config: String,
    /// Addresses and names.
    pub hosts: String,
    /// MAC addresses and names.
    pub dhcp: String,
}

/// What a process needs to know about the host.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The user that it runs as.
    pub user: &'a str,
    /// The node's name.
    pub host: &'a str,
    /// The host's name servers, which containers are given if this process does not answer names.
    pub upstream: &'a [String],
}

/// Makes the texts.
///
/// # Errors
/// When a path cannot be written into the configuration.
pub fn texts(
    network: &Network,
    net: &Net4,
    files: &Files,
    server: &Server<'_>,
    containers: &[(Vmid, ContainerConfig)],
    addresses: &Addresses,
) -> NodeResult<Texts> {
    let config = configuration(network, net, files, server)?;
    let host = server.host;
    let (mut hosts, mut dhcp) = (String::new(), String::new());
    let _ = writeln!(hosts, "{} {host}", net.address);
    if let Some(address) = network.address6() {
        let _ = writeln!(hosts, "{address} {host}");
    }
    let mut rows = Rows::default();
    for (vmid, config) in containers {
        let names = Names::of(*vmid, config).filter(|names| !names.is(host));
        for (_, interface) in
            config.nets().iter().filter(|(_, net)| net.bridge.as_deref() == Some(&network.bridge))
        {
            let mac = interface.hwaddr.as_deref().and_then(Mac::parse);
            let four = match interface.ip {
                Some(Ipv4Config::Static(address, _)) => Some(address),
                _ => mac
                    .filter(|mac| network.dhcp && !rows.macs.contains(mac))
                    .and_then(|mac| addresses.of(mac)),
            };
            let six = match interface.ip6 {
                Some(Ipv6Config::Static(address, _)) => Some(address),
                _ => None,
            };
            if let Some(names) = &names {
                let addresses = [four.map(IpAddr::from), six.map(IpAddr::from)];
                for address in addresses.into_iter().flatten() {
                    let _ = writeln!(hosts, "{address} {}", names.all);
                }
            }
            let Some(mac) = mac else { continue };
            let six = six.or_else(|| Some(mac.address_in(network.address6()?)));
            rows.put(mac, four, six.filter(|_| network.net6().is_some()), names.as_ref(), &mut dhcp);
        }
    }
    Ok(Texts { config, hosts, dhcp })
}

/// The names of a container.
struct Names {
    /// All of its names, as in the server's file of addresses.
    all: String,
    /// The first label.
    short: String,
}

impl Names {
    fn of(vmid: Vmid, config: &ContainerConfig) -> Option<Self> {
        let name = config.name(vmid);
        let short = name.split('.').next().unwrap_or_default().to_owned();
        let all = if name.contains('.') { format!("{name} {short}") } else { short.clone() };
        pvect_core::shape::is_dns_name(&name).then_some(Self { all, short })
    }

    /// Whether it is the host's name, which a container cannot have.
    fn is(&self, host: &str) -> bool {
        [host, "localhost"].iter().any(|name| self.short.eq_ignore_ascii_case(name))
    }
}

/// What was written so far: dnsmasq refuses an address that occurs twice.
#[derive(Default)]
struct Rows {
    macs: BTreeSet<Mac>,
    addresses: BTreeSet<IpAddr>,
}

impl Rows {
    /// Adds the line of an interface. The server goes by its MAC address alone, not by what the client calls itself.
    fn put(
        &mut self,
        mac: Mac,
        four: Option<Ipv4Addr>,
        six: Option<Ipv6Addr>,
        names: Option<&Names>,
        text: &mut String,
    ) {
        // The first container keeps it.
        if !self.macs.insert(mac) {
            return;
        }
        let mut line = format!("{mac},id:*");
        if let Some(four) = four.filter(|four| self.addresses.insert((*four).into())) {
            let _ = write!(line, ",{four}");
        }
        if let Some(six) = six.filter(|six| self.addresses.insert((*six).into())) {
            let _ = write!(line, ",[{six}]");
        }
        if let Some(names) = names {
            let _ = write!(line, ",{}", names.short);
        }
        let _ = writeln!(text, "{line}");
    }
}

/// Source: dnsmasq(8).
fn configuration(network: &Network, net: &Net4, files: &Files, server: &Server<'_>) -> NodeResult<String> {
    let mut text = "# Made by pvect at each start of a container; set in etc/pve/network.cfg.\n".to_owned();
    let mut put = |line: String| text.extend([line.as_str(), "\n"]);
    put(format!("user={}", server.user));
    put(format!("interface={}", network.bridge));
    put("except-interface=lo".to_owned());
    put("bind-dynamic".to_owned());
    put(format!("pid-file={}", plain(&files.pid)?));
    put("no-hosts".to_owned());
    if network.dns {
        put(format!("addn-hosts={}", plain(&files.hosts)?));
        put("expand-hosts".to_owned());
        put(format!("local=/{}/", network.domain));
        put("domain-needed".to_owned());
        put("bogus-priv".to_owned());
    } else {
        put("port=0".to_owned());
    }
    put(format!("domain={}", network.domain));
    if let (true, Some((first, _))) = (network.dhcp, network.dhcp_range()) {
        put(format!("dhcp-leasefile={}", plain(&files.leases)?));
        put(format!("dhcp-hostsfile={}", plain(&files.dhcp)?));
        put("dhcp-authoritative".to_owned());
        // Fixed addresses are known; asking the network would cost each first lease three seconds.
        put("no-ping".to_owned());
        put("quiet-dhcp".to_owned());
        // Addresses and names come from the table: a client that is not in it gets none, and one that is cannot get
        // another address, or the name that it asks for.
        put("dhcp-ignore=tag:!known".to_owned());
        put("dhcp-ignore-names".to_owned());
        put(format!("dhcp-range={first},static,{},{LEASE}", net.netmask()));
        put(format!("dhcp-option=option:domain-search,{}", network.domain));
        if !network.nat {
            // Without NAT there is no route to other networks.
            put("dhcp-option=option:router".to_owned());
        }
        if !network.dns {
            put(format!("dhcp-option=option:dns-server,{}", server.upstream.join(",")));
        }
        if let Some(six) = network.net6() {
            put("enable-ra".to_owned());
            put("quiet-dhcp6".to_owned());
            put("quiet-ra".to_owned());
            put(format!("dhcp-range={},static,slaac,64,{LEASE}", six.host(0)));
            // A lifetime of 0 means no default route, because the host does not forward IPv6.
            put(format!("ra-param={},0,0", network.bridge));
            put(format!("dhcp-option=option6:domain-search,{}", network.domain));
        }
    }
    Ok(text)
}

/// A path that dnsmasq reads literally: quotes, escapes, commas and comments are special there.
fn plain(path: &Path) -> NodeResult<&str> {
    let fits = |c: char| c.is_alphanumeric() || "/-_.+:@=".contains(c);
    path.to_str().filter(|text| text.chars().all(fits)).ok_or_else(|| {
        Failure::new(format!(
            "dnsmasq cannot be given the path '{}': it has special characters",
            path.display()
        ))
    })
}

/// The user that dnsmasq runs as: Debian's package makes one.
pub fn user(passwd: &Path) -> &'static str {
    let text = fs::read_to_string(passwd).unwrap_or_default();
    if text.lines().any(|line| line.starts_with("dnsmasq:")) { "dnsmasq" } else { "nobody" }
}

/// Returns the process that serves a bridge.
pub fn running(proc: &Path, files: &Files) -> Option<Pid> {
    let pid: i32 = fs::read_to_string(&files.pid).ok()?.trim().parse().ok()?;
    let line = fs::read(proc.join(pid.to_string()).join("cmdline")).ok()?;
    let path = files.config.as_os_str().as_encoded_bytes();
    // Process ids are reused, but the configuration's path is only ours.
    let is_ours = line.split(|byte| *byte == 0).any(|word| word.ends_with(path));
    if is_ours { Pid::from_raw(pid) } else { None }
}

/// Starts the process, or has it read again what has changed.
///
/// # Errors
/// What dnsmasq says.
pub fn start(proc: &Path, files: &Files, texts: &Texts) -> NodeResult<()> {
    let running = running(proc, files);
    let same = |path: &Path, text: &str| fs::read(path).is_ok_and(|old| old == text.as_bytes());
    let restart = running.is_none() || !same(&files.config, &texts.config);
    let reread = !same(&files.hosts, &texts.hosts) || !same(&files.dhcp, &texts.dhcp);
    if !restart && !reread {
        return Ok(());
    }
    for (path, text) in [(&files.hosts, &texts.hosts), (&files.dhcp, &texts.dhcp)] {
        write(path, text)?;
    }
    // It reads again as a user of its own, who may not be allowed to come here.
    if let (Some(pid), false, true) = (running, restart, anybody_may_read(&files.hosts)) {
        return kill_process(pid, Signal::HUP).map_err(|errno| failed(&errno.into()));
    }
    stop(proc, files)?;
    // Write this after the process has started: if it does not start, the next call tries again.
    if let Some(parent) = files.leases.parent() {
        fs::create_dir_all(parent).map_err(|error| Failure::io("can't create", parent, &error))?;
    }
    write(&files.config, &texts.config)?;
    Tool::new("dnsmasq", "dnsmasq-base").arg(format!("--conf-file={}", files.config.display())).run()
}

fn write(path: &Path, text: &str) -> NodeResult<()> {
    files::replace(path, text.as_bytes(), 0o644).map_err(|error| Failure::io("can't write", path, &error))
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::new(format!("can't signal dnsmasq - {}", crate::error::os_text(error)))
}

/// Whether every user may search each directory above a file.
fn anybody_may_read(path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .all(|directory| fs::metadata(directory).is_ok_and(|meta| meta.mode() & 0o001 != 0))
}

/// Ends the process and returns when it is gone.
///
/// # Errors
/// When it does not end.
pub fn stop(proc: &Path, files: &Files) -> NodeResult<()> {
    let Some(pid) = running(proc, files) else { return Ok(()) };
    let deadline = Instant::now() + PATIENCE;
    // Do not wait for its pid file to go: it removes that while it still holds its ports.
    let process = Process::of(pid.as_raw_nonzero().get().unsigned_abs());
    let _ = kill_process(pid, Signal::TERM);
    if process.wait_until(deadline) {
        return Ok(());
    }
    Err(Failure::new(format!("dnsmasq (process {}) does not end", pid.as_raw_nonzero())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let layout = Layout::new("/r", "vm".parse().unwrap());
        Files::of(&layout, "vmbr0")
    }

    fn network(keys: &[(&str, &str)]) -> (Network, Net4) {
        let mut network = Network::new("vmbr0").unwrap();
        for (key, value) in [("address", "10.1.2.1/24")].iter().chain(keys) {
            network.set(key, value).unwrap();
        }
        let net = network.address.unwrap();
        (network, net)
    }

    fn container(vmid: &str, text: &str) -> (Vmid, ContainerConfig) {
        let vmid = vmid.parse().unwrap();
        let config =
            ContainerConfig::parse(text.as_bytes(), pvect_core::config::ParseMode::Strict).unwrap().0;
        (vmid, config)
    }

    fn configured(network: &Network, net: &Net4, user: &str) -> String {
        let server = Server { user, host: "vm", upstream: &["9.9.9.9".to_owned()] };
        texts(network, net, &files(), &server, &[], &Addresses::default()).unwrap().config
    }

    #[test]
    fn the_configuration_binds_it_to_one_bridge() {
        let (one, net) = network(&[]);
        let text = configured(&one, &net, "dnsmasq");
        assert_eq!(
            text,
            "# Made by pvect at each start of a container; set in etc/pve/network.cfg.\nuser=dnsmasq\n\
             interface=vmbr0\nexcept-interface=lo\nbind-dynamic\npid-file=/r/run/network/vmbr0.pid\nno-hosts\n\
             addn-hosts=/r/run/network/vmbr0.hosts\nexpand-hosts\nlocal=/pvect.internal/\ndomain-needed\n\
             bogus-priv\ndomain=pvect.internal\ndhcp-leasefile=/r/lib/network/vmbr0.leases\n\
             dhcp-hostsfile=/r/run/network/vmbr0.dhcp\ndhcp-authoritative\nno-ping\nquiet-dhcp\n\
             dhcp-ignore=tag:!known\ndhcp-ignore-names\ndhcp-range=10.1.2.128,static,255.255.255.0,12h\n\
             dhcp-option=option:domain-search,pvect.internal\n"
        );
        let (six, net) = network(&[("ip6", "fd00:1::1/64"), ("nat", "0"), ("dns", "0")]);
        let text = configured(&six, &net, "nobody");
        for line in [
            "port=0",
            "dhcp-option=option:router",
            "dhcp-option=option:dns-server,9.9.9.9",
            "enable-ra",
            "dhcp-range=fd00:1::,static,slaac,64,12h",
            "ra-param=vmbr0,0,0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        let (none, net) = network(&[("dhcp", "0")]);
        let text = configured(&none, &net, "nobody");
        assert!(!text.contains("dhcp"), "{text}");
    }

    #[test]
    fn containers_have_their_names() {
        let (one, net) = network(&[("ip6", "fd00:1::1/64")]);
        let containers = [
            container(
                "101",
                "hostname: web\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp\n",
            ),
            container(
                "102",
                "hostname: db.lab.org\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=10.1.2.5/24,\
                 ip6=fd00:1::5/64\n",
            ),
            container("103", "net0: name=eth0,bridge=other,hwaddr=BC:24:11:00:00:03,ip=dhcp\n"),
            container("104", "net1: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp\n"),
            container("105", "hostname: vm\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:05,ip=dhcp\n"),
            container("106", "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:06,ip=10.1.2.5/24\n"),
        ];
        let server = Server { user: "dnsmasq", host: "vm", upstream: &[] };
        let macs = ["BC:24:11:00:00:01", "BC:24:11:00:00:05"].into_iter().filter_map(Mac::parse).collect();
        let mut addresses = Addresses::default();
        let none = BTreeSet::new();
        let range = (Ipv4Addr::new(10, 1, 2, 130), Ipv4Addr::new(10, 1, 2, 131));
        let limits =
            super::super::addresses::Limits { range, net, fixed: &none, starting: &none, leases: &[] };
        assert_eq!(addresses.assign(&macs, &limits), []);
        let texts = texts(&one, &net, &files(), &server, &containers, &addresses).unwrap();
        let (first, second) = (addresses.of(*macs.first().unwrap()), addresses.of(*macs.last().unwrap()));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(
            texts.hosts,
            format!(
                "10.1.2.1 vm\nfd00:1::1 vm\n{first} web\n10.1.2.5 db.lab.org db\nfd00:1::5 db.lab.org db\n\
                 10.1.2.5 CT106\n"
            )
        );
        // A repeated MAC or IP address belongs to the first container; a container cannot have the host's name.
        assert_eq!(
            texts.dhcp,
            format!(
                "bc:24:11:00:00:01,id:*,{first},[fd00:1::be24:11ff:fe00:1],web\n\
                 bc:24:11:00:00:02,id:*,10.1.2.5,[fd00:1::5],db\n\
                 bc:24:11:00:00:05,id:*,{second},[fd00:1::be24:11ff:fe00:5]\n\
                 bc:24:11:00:00:06,id:*,[fd00:1::be24:11ff:fe00:6],CT106\n"
            )
        );
    }

    #[test]
    fn a_process_of_another_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "vm".parse().unwrap());
        let files = Files::of(&layout, "vmbr0");
        fs::create_dir_all(layout.network_run()).unwrap();
        let proc = dir.path().join("proc");
        fs::create_dir_all(proc.join("77")).unwrap();
        fs::write(&files.pid, "77\n").unwrap();
        assert_eq!(running(&proc, &files), None);
        fs::write(proc.join("77/cmdline"), "vi\0/etc/passwd\0").unwrap();
        assert_eq!(running(&proc, &files), None);
        let line = format!("dnsmasq\0--conf-file={}\0", files.config.display());
        fs::write(proc.join("77/cmdline"), line).unwrap();
        assert_eq!(running(&proc, &files).map(|pid| pid.as_raw_nonzero().get()), Some(77));
        assert!(plain(Path::new("/a,b")).is_err() && plain(Path::new("/a#b \"")).is_err());
    }
}
