//! The records of all containers: what is known from the last list is used again where nothing has changed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pvect_core::{Status, Vmid};
use pvect_native::{NativeBackend, Records};
use pvect_node::Node;

/// Lists the containers of one node.
#[derive(Debug)]
pub(crate) struct Listed {
    backend: NativeBackend,
    /// Nothing while a list is made: another one that is made meanwhile knows nothing, and waits for nobody.
    known: Mutex<Option<Known>>,
}

/// What is known from the last time.
#[derive(Debug)]
struct Known {
    records: Records,
    /// Records and their texts.
    texts: BTreeMap<Vmid, (Status, String)>,
}

impl Listed {
    pub(crate) fn new(node: &Node) -> Self {
        let backend = NativeBackend::new(node.layout.lxc(), node.layout.configs());
        Self { backend, known: Mutex::new(None) }
    }

    /// Reads the records of some of all containers, by number.
    pub(crate) fn records(&self, all: &[Vmid], some: &[Vmid]) -> Vec<Status> {
        self.knowing(all, |known| known.records.read(some))
    }

    /// As [`Listed::records`], as a JSON array; `text` makes the text of one.
    pub(crate) fn text(&self, all: &[Vmid], some: &[Vmid], text: impl Fn(&Status) -> String) -> String {
        self.knowing(all, |known| {
            let mut list = String::from("[");
            for status in known.records.read(some) {
                if list.len() > 1 {
                    list.push(',');
                }
                match known.texts.get(&status.vmid) {
                    Some((same, text)) if *same == status => list.push_str(text),
                    _ => {
                        let text = text(&status);
                        list.push_str(&text);
                        known.texts.insert(status.vmid, (status, text));
                    }
                }
            }
            list.push(']');
            list
        })
    }

    fn knowing<T>(&self, all: &[Vmid], work: impl FnOnce(&mut Known) -> T) -> T {
        let taken = self.known.lock().unwrap_or_else(PoisonError::into_inner).take();
        let nothing = || Known { records: Records::new(self.backend.clone()), texts: BTreeMap::new() };
        let mut known = taken.unwrap_or_else(nothing);
        let done = work(&mut known);
        known.records.keep(all);
        known.texts.retain(|vmid, _| all.binary_search(vmid).is_ok());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_again_when_its_record_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let layout = pvect_node::Layout::new(dir.path(), name.clone());
        let node = Node { layout, name, helper: "/bin/false".into() };
        std::fs::create_dir_all(node.layout.configs()).unwrap();
        let vmids: Vec<Vmid> = ["101", "102"].map(|id| id.parse().unwrap()).into();
        let put = |vmid: Vmid, name: &str| {
            std::fs::write(node.layout.config(vmid), format!("hostname: {name}\n")).unwrap();
        };
        put(vmids[0], "a");
        put(vmids[1], "b");
        let listed = Listed::new(&node);
        let made = std::cell::Cell::new(0);
        let list = |some: &[Vmid]| {
            listed.text(&vmids, some, |status| {
                made.set(made.get() + 1);
                status.name.clone().unwrap_or_default()
            })
        };
        assert_eq!((list(&vmids).as_str(), list(&vmids).as_str(), made.get()), ("[a,b]", "[a,b]", 2));
        put(vmids[1], "c");
        assert_eq!((list(&vmids).as_str(), list(&vmids[1..]).as_str(), made.get()), ("[a,c]", "[c]", 3));
        assert_eq!(list(&[]), "[]");
        std::fs::remove_file(node.layout.config(vmids[0])).unwrap();
        assert_eq!((list(&vmids).as_str(), made.get()), ("[c]", 3));
        assert_eq!(listed.records(&[], &vmids).len(), 1);
        let known = listed.known.lock().unwrap();
        assert!(known.as_ref().unwrap().texts.is_empty());
    }
}
