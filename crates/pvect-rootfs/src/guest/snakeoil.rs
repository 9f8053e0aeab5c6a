//! The self-signed certificate that Debian's package ssl-cert makes: a template that has it gives every container the same
//! private key.

use super::{Guest, Note};
use crate::NodeResult;

const KEY: &str = "/etc/ssl/private/ssl-cert-snakeoil.key";
const UNIT: &str = "proxmox-regenerate-snakeoil.service";
const TARGET: &str = "first-boot-complete.target";

/// Removes the template's key. A guest with systemd makes a new one at its first boot; for others a note says that
/// somebody has to. Source: pve-container, `Setup/Debian.pm`.
pub fn replace(guest: &Guest<'_>) -> NodeResult<Vec<Note>> {
    let is_debian = matches!(guest.system.ostype.as_str(), "debian" | "devuan" | "ubuntu");
    if !is_debian || !guest.files.is_file(KEY) {
        return Ok(Vec::new());
    }
    let init = guest.files.read_link("/sbin/init");
    let has_systemd = init.is_some_and(|init| init.file_name().is_some_and(|name| name == "systemd"));
    let said = if has_systemd {
        let path = format!("/etc/systemd/system/{UNIT}");
        guest.write(&path, &unit(), 0o644)?;
        guest.symlink(&path, &format!("/etc/systemd/system/{TARGET}.wants/{UNIT}"))?;
        vec![format!("Setting up '{UNIT}' to regenerate snakeoil certificate..")]
    } else {
        vec![
            "Template contains pre-generated snakeoil certificate!".to_owned(),
            "Run `make-ssl-cert generate-default-snakeoil -f` to regenerate it!".to_owned(),
        ]
    };
    guest.remove(KEY)?;
    Ok(said.into_iter().map(Note::Line).collect())
}

/// Source: systemd.unit(5), systemd.special(7), make-ssl-cert(8).
fn unit() -> String {
    format!(
        "[Unit]\nDescription=Make a snakeoil certificate of this container's own\n\
         ConditionPathExists=/etc/ssl/certs/ssl-cert-snakeoil.pem\nConditionFirstBoot=yes\n\
         Wants={TARGET}\nBefore={TARGET}\n\n\
         [Service]\nType=oneshot\nExecStart=/usr/sbin/make-ssl-cert generate-default-snakeoil -f\n"
    )
}
