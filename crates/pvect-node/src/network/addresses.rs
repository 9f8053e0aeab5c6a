//! `lib/network/<bridge>.addresses`: which address DHCP gives to which interface.
//!
//! The node decides it, not the server: the rules of the packet filter know the address before a container starts, and
//! no guest can have a second one or use up the range. An interface keeps its address as long as the range holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

use super::leases::Lease;
use super::mac::Mac;
use super::subnet::Net4;
use crate::{Failure, NodeResult, files};

/// What limits the choice of an address.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// First and last address of the range, from which new rows are chosen. Those that are there stay when it changes:
    /// their containers may run.
    pub range: (Ipv4Addr, Ipv4Addr),
    /// The network, and the host's own address in it.
    pub net: Net4,
    /// The fixed addresses of the configurations. A row that is there already outlasts them: what is only configured
    /// takes nothing from a container that runs.
    pub fixed: &'a BTreeSet<Ipv4Addr>,
    /// The fixed addresses of the container that starts now; these take a row away.
    pub starting: &'a BTreeSet<Ipv4Addr>,
    /// What the server gave: an interface goes on with the address that it has.
    pub leases: &'a [Lease],
}

/// The table of one bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<Mac, Ipv4Addr>);

impl Addresses {
    /// Reads the file; without one the table is empty.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(path: &Path) -> NodeResult<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::io("can't read", path, &error)),
        }
    }

    /// Parses lines of `MAC ADDRESS`; what is neither has no row.
    fn parse(text: &str) -> Self {
        let mut used = BTreeSet::new();
        let row = |line: &str| {
            let (mac, address) = line.split_once(' ')?;
            Some((Mac::parse(mac)?, address.trim().parse::<Ipv4Addr>().ok()?))
        };
        Self(text.lines().filter_map(row).filter(|(_, address)| used.insert(*address)).collect())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> NodeResult<()> {
        let text: String = self.0.iter().map(|(mac, address)| format!("{mac} {address}\n")).collect();
        let directory = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        directory
            .and_then(|()| files::replace(path, text.as_bytes(), 0o644))
            .map_err(|error| Failure::io("can't write", path, &error))
    }

    /// The address of an interface.
    pub fn of(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.0.get(&mac).copied()
    }

    /// Sees to it that each of these interfaces has an address. Returns those for which none is left.
    pub fn assign(&mut self, wanted: &BTreeSet<Mac>, limits: &Limits<'_>) -> Vec<Mac> {
        let (first, last) = limits.range;
        let host = limits.net.address;
        let fits = |address: Ipv4Addr| (first..=last).contains(&address) && address != host;
        self.0.retain(|_, address| {
            limits.net.contains(*address) && *address != host && !limits.starting.contains(address)
        });
        let mut used: BTreeSet<Ipv4Addr> = self.0.values().copied().collect();
        used.extend(limits.fixed);
        used.extend(limits.starting);
        used.insert(host);
        let leased: BTreeMap<Mac, Ipv4Addr> = limits
            .leases
            .iter()
            .filter_map(|lease| Some((Mac::parse(&lease.mac)?, lease.ip.parse().ok()?)))
            .collect();
        let of_leases: BTreeSet<Ipv4Addr> = leased.values().copied().collect();
        let mut without = Vec::new();
        for mac in wanted {
            if self.0.contains_key(mac) {
                continue;
            }
            let before = leased.get(mac).copied().filter(|address| fits(*address) && !used.contains(address));
            let chosen = before
                // The server does not give an address anew as long as somebody else has it.
                .or_else(|| {
                    free(*mac, limits.range, |address| {
                        !used.contains(&address) && !of_leases.contains(&address)
                    })
                })
                .or_else(|| free(*mac, limits.range, |address| !used.contains(&address)))
                .or_else(|| {
                    self.retire(wanted, |address| {
                        fits(address)
                            && !limits.fixed.contains(&address)
                            && !limits.starting.contains(&address)
                    })
                });
            match chosen {
                Some(address) => {
                    used.insert(address);
                    self.0.insert(*mac, address);
                }
                None => without.push(*mac),
            }
        }
        without
    }

    /// Takes the row of an interface that is no more.
    fn retire(&mut self, wanted: &BTreeSet<Mac>, fits: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        let (gone, address) = self
            .0
            .iter()
            .find(|(mac, address)| !wanted.contains(mac) && fits(**address))
            .map(|(mac, address)| (*mac, *address))?;
        self.0.remove(&gone);
        Some(address)
    }
}

/// The first free address of a range, looked for from a place that the interface chooses: a new one seldom gets what
/// another one had just now.
fn free(
    mac: Mac,
    (first, last): (Ipv4Addr, Ipv4Addr),
    is_free: impl Fn(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let (first, last) = (u64::from(u32::from(first)), u64::from(u32::from(last)));
    let size = last.checked_sub(first)? + 1;
    (0..size)
        .filter_map(|step| u32::try_from(first + (mac.bits() + step) % size).ok().map(Ipv4Addr::from))
        .find(|address| is_free(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(last: u8) -> Mac {
        Mac::parse(&format!("bc:24:11:00:00:{last:02x}")).unwrap()
    }

    fn four(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 1, 2, last)
    }

    #[test]
    fn each_interface_has_an_address_and_keeps_it() {
        let none = BTreeSet::new();
        let fixed = BTreeSet::from([four(131)]);
        let leases = [Lease { mac: mac(3).to_string(), ip: four(129).to_string(), name: None }];
        let limits = Limits {
            range: (four(128), four(131)),
            net: Net4::parse("10.1.2.1/24").unwrap(),
            fixed: &fixed,
            starting: &none,
            leases: &leases,
        };
        let mut table = Addresses::default();
        assert_eq!(table.assign(&BTreeSet::from([mac(3)]), &limits), []);
        assert_eq!(table.of(mac(3)), Some(four(129)), "it goes on with its lease");
        assert_eq!(table.assign(&BTreeSet::from([mac(1), mac(2), mac(3)]), &limits), []);
        let all: BTreeSet<_> = (1..=3).filter_map(|last| table.of(mac(last))).collect();
        assert_eq!(all, BTreeSet::from([four(128), four(129), four(130)]));
        let before = table.clone();
        assert_eq!(table.assign(&BTreeSet::from([mac(1), mac(2), mac(3), mac(4)]), &limits), [mac(4)]);
        assert_eq!(table, before);
        // What is no more makes room only when there is no other.
        assert_eq!(table.assign(&BTreeSet::from([mac(1), mac(2)]), &limits), []);
        assert_eq!(table, before);
        assert_eq!(table.assign(&BTreeSet::from([mac(1), mac(2), mac(4)]), &limits), []);
        assert_eq!((table.of(mac(4)), table.of(mac(3))), (Some(four(129)), None));
        // Another range is for new ones; another network for all.
        let moved = Limits { range: (four(10), four(20)), ..limits };
        table.assign(&BTreeSet::from([mac(1), mac(2), mac(4)]), &moved);
        assert_eq!(table.of(mac(4)), Some(four(129)));
        let mut other = table.clone();
        let net = Net4::parse("10.9.9.1/24").unwrap();
        let range = (Ipv4Addr::new(10, 9, 9, 128), Ipv4Addr::new(10, 9, 9, 200));
        other.assign(&BTreeSet::from([mac(1)]), &Limits { net, range, ..limits });
        assert!(net.contains(other.of(mac(1)).unwrap()) && other.0.len() == 1);
        // A fixed address that is only configured takes nothing; that of a start does.
        let taken = BTreeSet::from([table.of(mac(1)).unwrap()]);
        let limits = Limits { fixed: &taken, ..limits };
        table.assign(&BTreeSet::from([mac(1)]), &limits);
        assert_eq!(table.of(mac(1)), taken.first().copied());
        table.assign(&BTreeSet::from([mac(1)]), &Limits { starting: &taken, ..limits });
        assert_ne!(table.of(mac(1)), taken.first().copied());
    }

    #[test]
    fn the_file_is_read_and_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib/vmbr0.addresses");
        assert_eq!(Addresses::load(&path).unwrap(), Addresses::default());
        let table = Addresses(BTreeMap::from([(mac(1), four(130)), (mac(2), four(131))]));
        table.save(&path).unwrap();
        assert_eq!(Addresses::load(&path).unwrap(), table);
        let odd = Addresses::parse("x\nbc:24:11:00:00:01 10.1.2.130\nbc:24:11:00:00:02 10.1.2.130\nbc 1\n");
        assert_eq!(odd.0.len(), 1, "an address is nobody else's");
    }
}
