//! What one source file names: its modules, its `use` items, its paths. Code under `#[cfg(test)]` is left out.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path, a segment each.
pub(crate) type Path = Vec<String>;

/// One name that a `use` brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    /// What is brought in.
    pub(crate) path: Path,
    /// Under which name.
    pub(crate) name: String,
    /// Whether others see it too.
    pub(crate) public: bool,
}

/// What a file names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Modules in files of their own.
    pub(crate) modules: Vec<String>,
    /// What `use` brings in.
    pub(crate) uses: Vec<Use>,
    /// Every other path, single words too.
    pub(crate) paths: BTreeSet<Path>,
}

impl Names {
    /// Reads the tokens of a file.
    pub(crate) fn read(tokens: TokenStream) -> Self {
        let mut names = Self::default();
        names.take(tokens);
        names
    }

    fn take(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        let mut public = false;
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    if let Some(after) = attribute(after) {
                        rest = after;
                    }
                }
                // A method or a field is not a path.
                TokenTree::Punct(mark) if mark.as_char() == '.' => {
                    if let Some((TokenTree::Ident(_), after)) = after.split_first() {
                        rest = after;
                    }
                }
                TokenTree::Group(group) => self.take(group.stream()),
                TokenTree::Ident(word) if word == "pub" => {
                    public = true;
                    if let Some((TokenTree::Group(_), after)) = after.split_first() {
                        rest = after;
                    }
                    continue;
                }
                TokenTree::Ident(word) if word == "use" => rest = self.take_use(after, public),
                TokenTree::Ident(word) if word == "mod" => {
                    if let [TokenTree::Ident(name), end, after @ ..] = after {
                        if is_mark(end, ';') {
                            self.modules.push(name.to_string());
                            rest = after;
                        }
                    }
                }
                TokenTree::Ident(_) => {
                    let (path, after) = path(token, after);
                    self.paths.insert(path);
                    rest = after;
                }
                _ => {}
            }
            public = false;
        }
    }

    /// Takes the tree after `use`, to the semicolon.
    fn take_use<'a>(&mut self, tokens: &'a [TokenTree], public: bool) -> &'a [TokenTree] {
        let end = tokens.iter().position(|token| is_mark(token, ';')).unwrap_or(tokens.len());
        let (tree, rest) = tokens.split_at(end);
        self.take_tree(&Vec::new(), tree, public);
        rest
    }

    fn take_tree(&mut self, before: &Path, tree: &[TokenTree], public: bool) {
        for branch in tree.split(|token| is_mark(token, ',')) {
            let mut path = before.clone();
            let mut alias = None;
            let mut tokens = branch.iter();
            while let Some(token) = tokens.next() {
                match token {
                    TokenTree::Ident(word) if word == "as" => alias = tokens.next().map(ToString::to_string),
                    TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                    TokenTree::Ident(word) => path.push(word.to_string()),
                    TokenTree::Group(group) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.take_tree(&path, &inner, public);
                        path.clear();
                    }
                    _ => {}
                }
            }
            if let Some(name) = alias.or_else(|| path.last().cloned()) {
                self.uses.push(Use { path, name, public });
            }
        }
    }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == mark)
}

/// Reads `a::b::c` from its first word on; turbofish ends it.
fn path<'a>(first: &TokenTree, mut rest: &'a [TokenTree]) -> (Path, &'a [TokenTree]) {
    let mut path = vec![first.to_string()];
    while let [one, two, TokenTree::Ident(word), after @ ..] = rest {
        if !is_mark(one, ':') || !is_mark(two, ':') {
            break;
        }
        path.push(word.to_string());
        rest = after;
    }
    (path, rest)
}

/// Skips an attribute, and what follows one that says `cfg(test)`; `None` where there is none.
fn attribute(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    let (TokenTree::Group(group), rest) = tokens.split_first()? else { return None };
    if group.delimiter() != Delimiter::Bracket {
        return None;
    }
    let text: String = group.stream().to_string().split_whitespace().collect();
    if text != "cfg(test)" {
        return Some(rest);
    }
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(mark) => mark.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    let end = rest.iter().position(ends).map_or(rest.len(), |end| end + 1);
    Some(rest.split_at(end).1)
}
