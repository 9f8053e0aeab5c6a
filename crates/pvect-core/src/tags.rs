//! Tags: normalised as Proxmox VE writes them.

use std::collections::BTreeSet;

use crate::schema::split_list;

/// Normalises a list of tags (separated by `,`, `;` or blanks): lower case, sorted, no duplicates, joined with `;`.
///
/// Source: the default `tag-style` of datacenter.cfg.
pub fn normalise(text: &str) -> String {
    let tags: BTreeSet<String> = split_list(text).into_iter().map(str::to_lowercase).collect();
    tags.into_iter().collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_normalised() {
        for (text, tags) in
            [("b;a;B", "a;b"), ("a b", "a;b"), ("web,prod", "prod;web"), ("", ""), (" ; ,", "")]
        {
            assert_eq!(normalise(text), tags, "{text:?}");
        }
    }
}
