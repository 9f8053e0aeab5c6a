//! Parameters of a request: from the query, a form or a JSON object, checked against what is asked for.

use std::collections::BTreeMap;

use pvect_core::schema::{Format, Kind, Reason, Violation, check};
use pvect_core::{Call, Verb};
use serde_json::Value;

use crate::refusal::Refusal;

/// The parameters, by name. A `Debug` of them shows names alone: there are passwords among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a parameter has to be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The name.
    pub name: &'static str,
    /// Type and bounds.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
}

/// A parameter that may be left out.
pub const fn optional(name: &'static str, kind: Kind) -> Wanted {
    Wanted { name, kind, required: false }
}

/// A parameter that must be there.
pub const fn required(name: &'static str, kind: Kind) -> Wanted {
    Wanted { name, kind, required: true }
}

/// Any text.
pub const TEXT: Kind = Kind::Text(Format::Any);
/// A whole number from 0 on.
pub const COUNT: Kind = Kind::Integer { min: Some(0), max: None };

impl Params {
    /// Decodes `a=1&b=2`; of a name that comes twice the values are joined with NUL, as Proxmox VE does.
    ///
    /// # Errors
    /// 400 for what is no UTF-8.
    pub fn of_form(text: &[u8]) -> Result<Self, Refusal> {
        let mut params = Self::default();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let value = decode(value, true)?;
            params
                .0
                .entry(decode(name, true)?)
                .and_modify(|known| {
                    known.push('\0');
                    known.push_str(&value);
                })
                .or_insert(value);
        }
        Ok(params)
    }

    /// Reads a JSON object of plain values; lists of them are joined.
    ///
    /// # Errors
    /// 400 for what is none.
    pub fn of_json(text: &[u8]) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::new(400, format!("malformed JSON body: {what}"));
        let object = match serde_json::from_slice(text) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(wrong("not an object")),
            Err(error) => return Err(wrong(&error.to_string())),
        };
        let mut params = Self::default();
        for (name, value) in object {
            let text = match &value {
                Value::Null => continue,
                Value::Array(list) => {
                    let words: Option<Vec<String>> = list.iter().map(plain).collect();
                    words.map(|words| words.join("\0"))
                }
                one => plain(one),
            };
            let text = text.ok_or_else(|| wrong(&format!("'{name}' is no plain value")))?;
            params.0.insert(name, text);
        }
        Ok(params)
    }

    /// Adds others; theirs win.
    pub fn merge(&mut self, others: Self) {
        self.0.extend(others.0);
        // It keeps browsers from answering out of their cache.
        self.0.remove("_dc");
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Returns one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns all, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns a whole number; none where it is missing or none.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Returns whether a boolean is true.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).and_then(pvect_core::property::boolean) == Some(true)
    }

    /// Checks all parameters: each that is there must be wanted and of its kind, each required one be there.
    ///
    /// # Errors
    /// 400 with all that is wrong.
    pub fn check(&self, wanted: &[Wanted]) -> Result<(), Refusal> {
        let mut found = Vec::new();
        for (name, value) in &self.0 {
            match wanted.iter().find(|one| one.name == name) {
                Some(one) => found.extend(check::value(name, one.kind, value).err().into_iter().flatten()),
                None => found.push(unknown(name)),
            }
        }
        let missing = wanted.iter().filter(|one| one.required && self.get(one.name).is_none());
        found.extend(missing.map(|one| Violation::option(one.name, Reason::Missing)));
        if found.is_empty() { Ok(()) } else { Err(Refusal::parameters(&found)) }
    }

    /// Makes the call of a verb: parameters that are positionals on the command line go into their places.
    ///
    /// # Errors
    /// 400 with all that is wrong.
    pub fn call(mut self, verb: Verb) -> Result<Call, Refusal> {
        let mut call = Call::new(verb);
        let mut missing = Vec::new();
        for (index, arg) in verb.spec().args.iter().enumerate() {
            match self.0.remove(arg.name) {
                Some(value) => call = call.arg_at(index, value),
                // Something in its place, so that the others are checked too.
                None if !arg.optional => {
                    missing.push(Violation::option(arg.name, Reason::Missing));
                    call = call.arg_at(index, "");
                }
                None => {}
            }
        }
        for (name, value) in self.0 {
            let secret = verb.spec().option(&name).is_some_and(|(option, _)| option.secret);
            call = if secret { call.secret(name, value.into()) } else { call.option(name, value) };
        }
        match call.verified() {
            Ok(call) if missing.is_empty() => Ok(call),
            Ok(_) => Err(Refusal::parameters(&missing)),
            Err(found) => {
                let is_missing = |name: &str| missing.iter().any(|one| one.name == name);
                let mut found: Vec<Violation> =
                    found.into_iter().filter(|one| !is_missing(&one.name)).collect();
                found.extend(missing);
                Err(Refusal::parameters(&found))
            }
        }
    }
}

fn unknown(name: &str) -> Violation {
    Violation::option(name, Reason::UnknownProperty { allowed: Vec::new() })
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(u8::from(*on).to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Decodes `%41`, and `+` as a blank in forms.
///
/// # Errors
/// 400 for what is no UTF-8.
pub fn decode(text: &[u8], form: bool) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let coded = pair.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        match (first, coded.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) if form => bytes.push(b' '),
            _ => bytes.push(*first),
        }
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| Refusal::new(400, "parameters are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(params: &Params) -> Vec<String> {
        params.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn forms_and_objects_are_read() {
        let params = Params::of_form(b"a=1+2&b=%c3%a4%2B&c&a=3&x=%zz").unwrap();
        assert_eq!(shown(&params), ["a=1 2\x003", "b=\u{e4}+", "c=", "x=%zz"]);
        assert_eq!(Params::of_form(b"a=%ff").unwrap_err().status, 400);
        let params = Params::of_json(br#"{"a":1,"b":true,"c":"x","d":["p","q"],"e":null}"#).unwrap();
        assert_eq!(shown(&params), ["a=1", "b=1", "c=x", "d=p\0q"]);
        assert_eq!(Params::of_json(b"[1]").unwrap_err().message, "malformed JSON body: not an object\n");
        assert_eq!(Params::of_json(br#"{"a":{}}"#).unwrap_err().status, 400);
    }

    #[test]
    fn calls_take_parameters_by_name() {
        let call = Params::of_form(b"vmid=101&ostemplate=local:vztmpl/a.tar.zst&password=hunter22&memory=64")
            .unwrap()
            .call(Verb::Create)
            .unwrap();
        assert_eq!(
            call.masked_argv(),
            ["create", "101", "local:vztmpl/a.tar.zst", "--memory", "64", "--password"]
        );
        let refusal = Params::of_form(b"vmid=7&memory=1").unwrap().call(Verb::Create).unwrap_err();
        let names: Vec<&str> = refusal.errors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["vmid", "memory", "ostemplate"]);
        let call = Params::of_form(b"vmid=101&volume=rootfs&target-vmid=102").unwrap().call(Verb::MoveVolume);
        assert_eq!(call.unwrap().argv(), ["move-volume", "101", "rootfs", "--target-vmid", "102"]);
    }

    #[test]
    fn unknown_parameters_are_refused() {
        let wanted = [optional("type", Kind::Enum(&["vm"])), required("start", COUNT)];
        let refusal = Params::of_form(b"type=x&bogus=1").unwrap().check(&wanted).unwrap_err();
        let texts: Vec<&str> = refusal.errors.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "property is not defined in schema and the schema does not allow additional properties",
                "value 'x' does not have a value in the enumeration 'vm'",
                "property is missing and it is not optional",
            ]
        );
        assert!(Params::of_form(b"start=3").unwrap().check(&wanted).is_ok());
    }
}
