//! Conditions that chain `let` with `&&`, and match guards with `let`: Rust has them since 1.88 and 1.95, and the Rust of
//! `rust-version` is older. A compiler of today accepts them, and Clippy does not look for them.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Returns the lines of a source on which a condition has a `let` that the oldest Rust does not know there.
///
/// Macros' arguments are looked at too.
///
/// # Errors
/// What is not Rust.
pub fn lines(source: &str) -> Result<Vec<usize>, String> {
    let tokens: TokenStream = source.parse().map_err(|error| format!("not Rust: {error}"))?;
    let mut lines = Vec::new();
    look(tokens, &mut lines);
    lines.sort_unstable();
    lines.dedup();
    Ok(lines)
}

fn look(tokens: TokenStream, lines: &mut Vec<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let before = tokens.get(..at).unwrap_or_default();
        let after = tokens.get(at..).unwrap_or_default();
        match token {
            TokenTree::Group(group) => look(group.stream(), lines),
            TokenTree::Ident(word)
                if word == "let" && (is_chained(before) || is_condition(before, after)) =>
            {
                lines.push(word.span().start().line);
            }
            _ => {}
        }
    }
}

fn is_mark(token: Option<&TokenTree>, mark: char, spacing: Spacing) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == mark && found.spacing() == spacing)
}

/// Whether the tokens before a `let` end in `&&`.
fn is_chained(before: &[TokenTree]) -> bool {
    matches!(before, [.., one, two]
        if is_mark(Some(one), '&', Spacing::Joint) && is_mark(Some(two), '&', Spacing::Alone))
}

fn is_word(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == name)
}

/// Whether a value that begins so has a block of its own.
fn has_block(token: &TokenTree) -> bool {
    ["async", "const", "for", "if", "loop", "match", "unsafe", "while"]
        .iter()
        .any(|name| is_word(Some(token), name))
}

/// Whether a `let` after `if` or `while` is followed by an operator `&&`, or by the arrow of a match, before the block.
fn is_condition(before: &[TokenTree], after: &[TokenTree]) -> bool {
    let opens = matches!(before.last(), Some(TokenTree::Ident(word)) if word == "if" || word == "while");
    let is_block =
        |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    // A pattern may have braces: `let Point { x, y } = ...`.
    let is_equals = |token: &TokenTree| is_mark(Some(token), '=', Spacing::Alone);
    let Some(value) = after.iter().position(is_equals).filter(|_| opens) else { return false };
    let value = after.get(value + 1..).unwrap_or_default();
    // So may the value: `match x { ... }`, `unsafe { ... }`, `if x { ... } else { ... }`.
    let own = usize::from(value.first().is_some_and(has_block));
    let mut blocks = value.iter().enumerate().filter(|(_, token)| is_block(token)).map(|(at, _)| at);
    let mut end = blocks.by_ref().nth(own).unwrap_or(value.len());
    while is_word(value.get(end.saturating_sub(1)), "else") {
        end = blocks.next().unwrap_or(value.len());
    }
    let mut condition = value.get(..=end).unwrap_or(value).windows(3);
    condition.any(|three| match three {
        // After a value it is an operator; elsewhere it borrows twice.
        [value, one, two] if is_mark(Some(one), '&', Spacing::Joint) => {
            is_mark(Some(two), '&', Spacing::Alone)
                && !matches!(value, TokenTree::Punct(mark) if mark.as_char() != '?')
        }
        [_, one, two] => is_mark(Some(one), '=', Spacing::Joint) && is_mark(Some(two), '>', Spacing::Alone),
        _ => false,
    })
}
