//! Templates for notes.

use pvect_core::Vmid;

/// The variables of a template for notes.
const NOTE_VARIABLES: [&str; 4] = ["cluster", "guestname", "node", "vmid"];

pub(super) fn check_notes(template: &str) -> Result<(), String> {
    if template.contains('\n') {
        return Err("contains a line feed".to_owned());
    }
    let mut unknown = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let after = &rest[start + 2..];
        let Some(end) = after.find("}}") else { break };
        let name = &after[..end];
        if !name.contains([' ', '{', '}']) && !NOTE_VARIABLES.contains(&name) {
            unknown.push(format!("variable '{name}'"));
        }
        rest = &after[end + 2..];
    }
    let mut letters = template.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            let next = letters.next().filter(|next| !['n', '\\'].contains(next));
            unknown.extend(next.map(|next| format!("escape sequence '\\{next}'")));
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(format!("found unknown: {}", unknown.join(", "))) }
}

/// Fills a checked template for notes.
pub(in crate::backup) fn notes(template: &str, guest: &str, node: &str, vmid: Vmid) -> String {
    let mut text = String::new();
    let mut letters = template.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(if letters.next() == Some('n') { '\n' } else { '\\' }),
            _ => text.push(letter),
        }
    }
    for (name, value) in
        [("cluster", "standalone node"), ("guestname", guest), ("node", node), ("vmid", &vmid.to_string())]
    {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_filled() {
        let text = notes(r"{{guestname}} ({{vmid}}) on {{node}}\n\\x", "web1", "vm", "101".parse().unwrap());
        assert_eq!(text, "web1 (101) on vm\n\\x");
    }
}
