//! Tags: normalised as Proxmox VE writes them.

use std::collections::BTreeSet;

use crate::schema::split_list;

/// Normalises a list of tags (separated by `,`, `;` or blanks): lower case, sorted, no duplicates, joined with `;`.
///
/// In a list separated by NULs, separators inside an entry separate tags, too. A tag never contains one, so a
/// normalised list does not change when it is normalised again. Source: the default `tag-style` of datacenter.cfg.
pub fn normalise(text: &str) -> String {
    let tags: BTreeSet<String> =
        split_list(text).into_iter().flat_map(split_list).map(str::to_lowercase).collect();
    tags.into_iter().collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_normalised() {
        for (text, tags) in [
            ("b;a;B", "a;b"),
            ("a b", "a;b"),
            ("web,prod", "prod;web"),
            ("", ""),
            (" ; ,", ""),
            ("%\0Q\n", "%;q"),
            ("b,a\0C", "a;b;c"),
        ] {
            assert_eq!(normalise(text), tags, "{text:?}");
            assert_eq!(normalise(tags), tags, "{text:?}");
        }
    }
}
