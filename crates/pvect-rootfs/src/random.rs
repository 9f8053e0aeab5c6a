//! Random bytes of the system.

use std::io::Read;
use std::path::Path;

use crate::{Failure, NodeResult};

/// Returns random bytes, good for salts and addresses.
///
/// # Errors
/// When `/dev/urandom` cannot be read.
pub fn bytes<const N: usize>() -> NodeResult<[u8; N]> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; N];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::io("can't read", path, &error))?;
    Ok(bytes)
}

/// Makes a MAC address of Proxmox's prefix: `BC:24:11:` and three random bytes.
///
/// # Errors
/// As [`bytes`].
pub fn mac_address() -> NodeResult<String> {
    let [a, b, c] = bytes()?;
    Ok(format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_have_the_prefix_and_differ() {
        let (one, two) = (super::mac_address().unwrap(), super::mac_address().unwrap());
        assert!(one.starts_with("BC:24:11:") && one.len() == 17);
        assert_ne!(one, two);
    }
}
