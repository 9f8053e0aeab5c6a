//! A node for unit tests.

use std::path::PathBuf;

use pvect_core::NodeName;

use crate::{Layout, Node};

/// The node `vm` below a root, which is not made; its helper does nothing.
pub(crate) fn node(root: impl Into<PathBuf>) -> Node {
    let name: NodeName = "vm".parse().unwrap();
    Node { layout: Layout::new(root, name.clone()), name, helper: "/bin/false".into() }
}
