//! How fast a call may copy: `--bwlimit`, and `bwlimit` of the storages.

use pvect_core::Call;

use crate::rights::Asker;
use crate::{Node, NodeResult, storage};

/// Returns how fast a call may copy between storages, or unpack to them, KiB a second: as it asks; else the lowest limit of these storages
/// for the operation. Who may not change the storages cannot ask for more than they allow.
///
/// Source: pve-storage, `get_bandwidth_limit`.
pub(super) fn of(
    node: &Node,
    call: &Call,
    operation: &str,
    places: impl IntoIterator<Item = String>,
) -> NodeResult<Option<u64>> {
    let asked = call.get("bwlimit").and_then(whole);
    let asker = Asker::of_this_process(node)?;
    let is_free =
        |place: &str| asked.is_some() && asker.may(&format!("/storage/{place}"), "Datastore.Allocate");
    let storages = storage::Storages::load(&node.layout)?;
    let places = places.into_iter().filter(|place| !is_free(place));
    let limits: Vec<u64> =
        places.filter_map(|place| storages.find(&place).ok()?.bandwidth(operation)).collect();
    let all = asked.into_iter().chain(limits).filter(|limit| *limit > 0);
    Ok(all.min())
}

/// A limit in whole KiB a second.
fn whole(text: &str) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a limit of this size is none"
    )]
    text.parse::<f64>().ok().map(|limit| limit.max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use pvect_core::Verb;

    use super::*;

    #[test]
    fn limits_are_whole_kibibytes() {
        for (text, limit) in
            [("0", Some(0)), ("100", Some(100)), ("1.5", Some(1)), ("-1", Some(0)), ("x", None)]
        {
            assert_eq!(whole(text), limit, "{text}");
        }
    }

    #[test]
    fn the_lowest_limit_holds_unless_root_asks_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        std::fs::create_dir_all(dir.path().join("etc/pve")).unwrap();
        let text = "dir: a\n\tpath /a\n\tbwlimit default=300\ndir: b\n\tpath /b\n\tbwlimit clone=100,restore=0\n\
                    dir: c\n\tpath /c\n";
        std::fs::write(node.layout.storage_cfg(), text).unwrap();
        let limit = |call: &Call, operation: &str, places: &[&str]| {
            of(&node, call, operation, places.iter().map(|place| (*place).to_owned())).unwrap()
        };
        let plain = Call::new(Verb::Clone);
        for (operation, places, expected) in [
            ("clone", &["a", "b", "c"][..], Some(100)),
            ("move", &["a", "b"], Some(300)),
            ("clone", &["c"], None),
            ("clone", &["nosuch"], None),
        ] {
            assert_eq!(limit(&plain, operation, places), expected, "{operation} {places:?}");
        }
        let asked = |text: &str| Call::new(Verb::Clone).option("bwlimit", text);
        assert_eq!(limit(&asked("500"), "clone", &["b"]), Some(500));
        assert_eq!(limit(&asked("0"), "clone", &["b"]), None);
        assert_eq!((limit(&plain, "restore", &["a"]), limit(&plain, "restore", &["b"])), (Some(300), None));
    }
}
