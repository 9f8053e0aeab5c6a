//! Circles in a graph: nodes from each of which one comes back to it.

use std::collections::{BTreeMap, BTreeSet};

/// Who uses whom, by name.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Returns the circles, largest first, each with its nodes in order: the strongly connected components of more than one
/// node.
pub fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|node| (node, reachable(graph, node))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (node, beyond) in &reached {
        let back = |other: &&&String| reached.get(**other).is_some_and(|nodes| nodes.contains(*node));
        let circle: Vec<String> = beyond.iter().filter(back).map(|name| (*name).clone()).collect();
        if circle.len() > 1 && !seen.contains(*node) {
            seen.extend(circle.iter().cloned());
            circles.push(circle);
        }
    }
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

/// Every node to which a way of one step or more leads.
fn reachable<'a>(graph: &'a Graph, from: &String) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&String> = graph.get(from).into_iter().flatten().collect();
    while let Some(node) = waiting.pop() {
        if found.insert(node) {
            waiting.extend(graph.get(node).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_largest_first() {
        let arrows =
            [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("d", "e"), ("e", "f"), ("f", "d"), ("g", "a")];
        let mut graph = Graph::new();
        for (from, to) in arrows {
            graph.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
        assert_eq!(circles(&graph), [vec!["d", "e", "f"], vec!["b", "c"]]);
    }
}
