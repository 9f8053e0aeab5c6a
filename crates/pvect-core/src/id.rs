//! Identifiers: newtypes that cannot hold an invalid name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::shape;

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a valid {what}: {rule}")]
pub struct InvalidId {
    /// What was expected, in Proxmox's words ("VM ID", "node name", ...).
    pub what: &'static str,
    /// What was given.
    pub text: String,
    /// What is allowed.
    pub rule: &'static str,
}

/// The number of a container (or virtual machine): 100 to 999999999, unique in the cluster.
///
/// The text form has no sign, no leading zero, no blank. Source: format `pve-vmid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vmid(u32);

impl Vmid {
    /// The smallest id that Proxmox VE accepts.
    pub const MIN: Self = Self(100);
    /// The largest id that Proxmox VE accepts.
    pub const MAX: Self = Self(999_999_999);
    const RULE: &'static str = "a whole number from 100 to 999999999";

    /// Returns the id as a number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the following id, or `None` after the largest.
    pub fn next(self) -> Option<Self> {
        Self::try_from(self.0 + 1).ok()
    }
}

impl TryFrom<u32> for Vmid {
    type Error = InvalidId;

    fn try_from(number: u32) -> Result<Self, InvalidId> {
        if (100..=999_999_999).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidId { what: "VM ID", text: number.to_string(), rule: Self::RULE })
        }
    }
}

impl From<Vmid> for u32 {
    fn from(vmid: Vmid) -> Self {
        vmid.0
    }
}

impl FromStr for Vmid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { what: "VM ID", text: text.to_owned(), rule: Self::RULE };
        if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let number: u32 = text.parse().map_err(|_| invalid())?;
        Self::try_from(number).map_err(|_| invalid())
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(InvalidId { what: $what, text, rule: $rule }) }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The name of a node of the cluster. Source: format `pve-node`.
    NodeName, "node name", "letters, digits and inner hyphens", shape::is_node
);
text_id!(
    /// The name of a storage in `storage.cfg`. Source: format `pve-storage-id`.
    StorageId, "storage name",
    "at least two characters: a letter first, then letters, digits, '-', '_' and '.', a letter or digit last",
    shape::is_storage_id
);
text_id!(
    /// The name of a snapshot: at most 40 characters. `current` and `vzdump` are refused only when one is made.
    SnapshotName, "snapshot name",
    "2 to 40 characters: a letter first, then letters, digits, '-' and '_'",
    |text| shape::is_config_id(text) && text.len() <= 40
);
text_id!(
    /// `STORAGE:VOLUME`, such as `local:101/vm-101-disk-0.raw`.
    VolumeId, "volume id", "STORAGE:VOLUME", shape::is_volume_id
);

impl VolumeId {
    /// Splits into the storage's name and the name of the volume on it.
    pub fn split(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }

    /// Returns the name of the storage.
    pub fn storage(&self) -> &str {
        self.split().0
    }

    /// Returns the name on the storage.
    pub fn volume(&self) -> &str {
        self.split().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vmid_takes_what_proxmox_takes() {
        assert_eq!("100".parse::<Vmid>().unwrap().get(), 100);
        assert_eq!("999999999".parse::<Vmid>().unwrap(), Vmid::MAX);
        for bad in [
            "",
            "99",
            "1000000000",
            "0101",
            "+101",
            " 101",
            "101\n",
            "1e3",
            "101.5",
            "-5",
            "9".repeat(30).as_str(),
        ] {
            assert!(bad.parse::<Vmid>().is_err(), "{bad:?} was taken");
        }
        assert_eq!(Vmid::MAX.next(), None);
    }

    #[test]
    fn names_are_checked() {
        assert!("pve-1".parse::<NodeName>().is_ok());
        assert!("-pve".parse::<NodeName>().is_err());
        assert!("local".parse::<StorageId>().is_ok());
        assert!("l".parse::<StorageId>().is_err());
        assert!("x".parse::<SnapshotName>().is_err());
        assert_eq!("local:vztmpl/a.tar".parse::<VolumeId>().unwrap().split(), ("local", "vztmpl/a.tar"));
    }
}
