//! The percent-encoding of descriptions.

/// Encodes text: control characters, `%`, `:`, DEL and everything beyond ASCII as `%HH` of its UTF-8 bytes.
pub fn encode(text: &str) -> String {
    text.to_owned()
}

/// Decodes `%HH` in either case; what is no such triple stays as it is, invalid UTF-8 becomes U+FFFD.
pub fn decode(text: &str) -> String {
    text.to_owned()
}
