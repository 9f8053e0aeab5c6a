//! Traps bytes-vs-gib and exit-zero: a plain number means bytes, and a failed resize ends with 0.

use pvect_core::backend::ConfigView;
use pvect_core::property::{MountPoint, RootFs};
use pvect_core::size::DiskSize;
use pvect_core::{CheckedCall, ContainerConfig, Error, ErrorKind, Events, Inspect, Outcome, Result, Vmid};

use super::{Manner, not_done};
use crate::Client;

/// From here on a plain number can only mean bytes.
const SURELY_BYTES: u64 = 1 << 30;

/// Resizes a volume and checks that its recorded size grew.
pub(super) async fn run(
    client: &Client,
    call: &CheckedCall,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let size = call.args().get(2).map(String::as_str).unwrap_or_default();
    if bytes_in_doubt(size).is_some() && !manner.bytes {
        let number = size.trim_start_matches('+');
        let text = format!(
            "'{size}' would be bytes: write +{number}G to add GiB or {number}G for the whole size; add --bytes if bytes \
             are meant"
        );
        return Err(Error::bad_argument("size", text));
    }
    let disk = call.args().get(1).cloned().unwrap_or_default();
    let Some(vmid) = call.vmid().filter(|_| manner.verify) else { return client.plain(call, events).await };
    let before = match recorded(client, vmid, &disk).await {
        Ok(size) => size,
        Err(error) if error.kind() == ErrorKind::PctCommandFailed => None,
        Err(error) => return Err(error),
    };
    let outcome = client.plain(call, events).await?;
    match recorded(client, vmid, &disk).await? {
        Some(after) if before.is_none_or(|before| after > before) => Ok(outcome),
        after => {
            let shown =
                |size: Option<DiskSize>| size.map_or("not recorded".to_owned(), |size| size.to_string());
            let message = format!(
                "pct reports success, but the size of {disk} is {} as before",
                if after == before {
                    shown(after)
                } else {
                    format!("{}, not {}", shown(after), shown(before))
                }
            );
            Err(not_done(client, call, &outcome, message))
        }
    }
}

/// Returns the size in GiB for a plain number that may have been meant as GiB: `8G` for `8`, `+8G` for `+8`.
pub fn bytes_in_doubt(size: &str) -> Option<String> {
    let number = size.strip_prefix('+').unwrap_or(size);
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let sure = number.parse::<f64>().is_ok_and(|bytes| bytes >= SURELY_BYTES as f64);
    (plain && !sure).then(|| format!("{size}G"))
}

/// The size that the configuration records for a volume.
async fn recorded(client: &Client, vmid: Vmid, disk: &str) -> Result<Option<DiskSize>, Error> {
    let config = client.config(vmid, &ConfigView::Current).await?;
    Ok(size_of(&config, disk))
}

fn size_of(config: &ContainerConfig, disk: &str) -> Option<DiskSize> {
    let text = config.main.get(disk)?;
    if disk == "rootfs" {
        RootFs::parse(&text).ok()?.size
    } else {
        MountPoint::parse(disk, &text).ok()?.fs.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_plain_numbers_are_in_doubt() {
        for (size, doubt) in [
            ("8", Some("8G")),
            ("+8", Some("+8G")),
            ("1.5", Some("1.5G")),
            ("8G", None),
            ("+512M", None),
            ("8589934592", None),
            ("", None),
            ("+", None),
        ] {
            assert_eq!(bytes_in_doubt(size).as_deref(), doubt, "{size}");
        }
    }
}
