// What the program reads: words that each end with a NUL. `A` begins a word of the command line, `E` a variable
// `NAME=VALUE`. Both the node and the program compile this file.

/// What is to be started.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The command line; the first word is the program.
    pub words: Vec<Vec<u8>>,
    /// Variables, `NAME=VALUE`; a later one of the same name counts.
    pub variables: Vec<Vec<u8>>,
}

impl Spec {
    /// Writes it down. What holds a NUL is left out: no command line and no environment can hold one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.words.iter().map(|word| (b'A', word));
        let variables = self.variables.iter().map(|variable| (b'E', variable));
        let mut bytes = Vec::new();
        for (kind, text) in words.chain(variables).filter(|(_, text)| !text.contains(&0)) {
            bytes.push(kind);
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        bytes
    }

    /// Reads what [`Spec::to_bytes`] wrote; `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut spec = Self::default();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            let (entry, behind) = (&rest[..end], &rest[end + 1..]);
            match entry.split_first()? {
                (b'A', word) => spec.words.push(word.to_vec()),
                (b'E', variable) => spec.variables.push(variable.to_vec()),
                _ => return None,
            }
            rest = behind;
        }
        (rest.is_empty() && !spec.words.is_empty()).then_some(spec)
    }
}
