//! What a backup may bring: an archive deserves no more trust than whoever made it.

use pvect_core::ContainerConfig;
use pvect_core::config::Section;
use pvect_core::property::{Features, MountPoint, MountSource};

use super::Plan;
use super::backup::Backup;
use crate::change::is_family;
use crate::rights::judge::{self, Target};
use crate::rights::{Asker, Denied};
use crate::{Node, NodeResult};

/// Removes from a backup what the asker could not set, and reports each of these.
///
/// # Errors
/// When it would make an unprivileged container privileged, or a privileged one that the asker may not have.
pub(super) fn backup(
    asker: &Asker,
    node: &Node,
    plan: &Plan,
    old: Option<&ContainerConfig>,
    backup: &mut Backup,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    if asker.is_root() {
        return Ok(());
    }
    let was = backup.config.is_unprivileged() || old.is_some_and(ContainerConfig::is_unprivileged);
    let is_unprivileged = plan.unprivileged.unwrap_or(backup.config.is_unprivileged());
    if was && !is_unprivileged {
        let text = "changing from unprivileged to privileged is only allowed for root@pam";
        return Err(Denied::check(text).into());
    }
    if !is_unprivileged {
        judge::privileged(asker, node)?;
    }
    let target = Target { vmid: plan.vmid, is_unprivileged };
    let main = &mut backup.config.main;
    let keys: Vec<String> = main.keys().into_iter().map(str::to_owned).collect();
    for key in keys {
        let value = main.get(&key).map(std::borrow::Cow::into_owned).unwrap_or_default();
        let judged = if key == "rootfs" || is_family(&key, "unused") || NOT_TAKEN.contains(&key.as_str()) {
            // A volume is made again on the storage that was judged; the rest is not taken over.
            Ok(())
        } else if is_family(&key, "mp") && !is_of_the_host(&key, &value) {
            Ok(())
        } else {
            let before = old.and_then(|old| old.main.get(&key));
            judge::option(asker, target, &key, before.as_deref(), Some(&value))
        };
        if let Err(denied) = judged {
            log(&format!("skipping '{key}' of the backup, root has to set it: {}", denied.0));
            main.remove(&key);
        }
    }
    if !main.raw.is_empty() {
        log("skipping the raw LXC options of the backup, root has to set them");
        main.raw.clear();
    }
    Ok(())
}

/// Whether a container may have the firewall rules of a backup; warns about them if necessary.
pub(super) fn rules(asker: &Asker, rules: &[u8], warn: &mut dyn FnMut(&str)) -> bool {
    if !crate::network::allows_more(rules) {
        return true;
    }
    if asker.is_root() {
        warn(
            "the backup brings addresses that the container may use besides its own: the sets ipfilter-net[n]",
        );
        return true;
    }
    warn(
        "skipping the backup's firewall rules: they allow extra addresses (ipfilter-net[n]), which only root may do",
    );
    false
}

/// Options of a backup that a restore does not take over, or decides by itself.
const NOT_TAKEN: [&str; 5] = ["digest", "lock", "parent", "template", "unprivileged"];

/// Reports what in a backup acts on the host once the container starts: a warning for each if it is trusted, otherwise
/// it is left out. `log` gets each line, and whether it is a warning.
pub(super) fn acting(main: &mut Section, trusts: bool, log: &mut dyn FnMut(&str, bool)) {
    for found in acting_on_the_host(main) {
        if trusts {
            log(&found.text, true);
            continue;
        }
        log(&format!("left out, as --trust-config 0 asks: {}", found.text), false);
        if found.is_raw {
            main.raw.retain(|(key, _)| *key != found.key);
        } else {
            main.remove(&found.key);
        }
    }
}

/// Something in a backup that acts on the host.
struct Acting {
    text: String,
    key: String,
    is_raw: bool,
}

/// Lists what in a backup acts on the host once the container starts.
fn acting_on_the_host(main: &Section) -> Vec<Acting> {
    let mut found = Vec::new();
    for key in main.keys() {
        let value = main.get(key).unwrap_or_default();
        let what = if key == "hookscript" {
            "a program that runs on the host"
        } else if is_family(key, "dev") {
            "a device of the host"
        } else if is_family(key, "mp") && is_of_the_host(key, &value) {
            "a directory or device of the host"
        } else if key == "features"
            && Features::parse(&value).is_ok_and(|features| features.mknod || !features.mount.is_empty())
        {
            "more rights in the kernel"
        } else {
            continue;
        };
        let text = format!("the backup brings {what}: {key}: {value}");
        found.push(Acting { text, key: key.to_owned(), is_raw: false });
    }
    for (key, value) in &main.raw {
        let text = format!("the backup brings a raw option of LXC, which acts on the host: {key}: {value}");
        found.push(Acting { text, key: key.clone(), is_raw: true });
    }
    found
}

/// Whether a mount point is not a volume of a storage; one that cannot be parsed counts as such.
fn is_of_the_host(key: &str, value: &str) -> bool {
    let source = MountPoint::parse(key, value).map(|point| point.fs.source);
    !matches!(source, Ok(MountSource::Volume(_) | MountSource::Allocate { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::UserConfig;

    #[test]
    fn addresses_besides_its_own_are_for_root_to_allow() {
        let (root, user) =
            ["root@pam", "alice@pve"].map(|name| Asker::new(name, UserConfig::default())).into();
        for (asker, text, taken, said) in [
            (&root, "[RULES]\nIN ACCEPT\n", true, 0),
            (&user, "[RULES]\nIN ACCEPT\n", true, 0),
            (&root, "[IPSET ipfilter-net0]\n10.1.2.5\n", true, 1),
            (&user, "[IPSET ipfilter-net0]\n10.1.2.5\n", false, 1),
        ] {
            let mut lines = Vec::new();
            let found = rules(asker, text.as_bytes(), &mut |line| lines.push(line.to_owned()));
            assert_eq!((found, lines.len()), (taken, said), "{text}");
        }
    }
}
