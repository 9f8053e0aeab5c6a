//! Parameters of a request: from the query, a form or a JSON object, checked against what is asked for.
//!
//! A name that comes twice, in query and body together, and a list of JSON have their values joined with NUL. Only
//! lists may have such values: everywhere else one who checks and one who acts could take different parts of them.

use std::collections::BTreeMap;

use pvect_core::schema::{Format, Kind, Reason, Violation, check, split_list};
use pvect_core::{Call, Verb};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::refusal::Refusal;

/// The parameters, by name. Their `Debug` output shows names only, because there may be passwords among the values.
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
    /// Whether it may be there several times.
    pub many: bool,
}

/// A parameter that may be left out.
pub const fn optional(name: &'static str, kind: Kind) -> Wanted {
    Wanted { name, kind, required: false, many: false }
}

/// A parameter that must be there.
pub const fn required(name: &'static str, kind: Kind) -> Wanted {
    Wanted { name, kind, required: true, many: false }
}

/// A parameter that may be left out, and may be there several times.
pub const fn many(name: &'static str, kind: Kind) -> Wanted {
    Wanted { name, kind, required: false, many: true }
}

/// Any text.
pub const TEXT: Kind = Kind::Text(Format::Any);
/// A whole number from 0 on.
pub const COUNT: Kind = Kind::Integer { min: Some(0), max: None };

impl Params {
    /// Decodes `a=1&b=2`.
    ///
    /// # Errors
    /// 400 for text that is not UTF-8, and for an empty name.
    pub fn of_form(text: &[u8]) -> Result<Self, Refusal> {
        let mut params = Self::default();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            params.add(decode(name, true)?, decode(value, true)?)?;
        }
        Ok(params)
    }

    /// Adds a value.
    ///
    /// # Errors
    /// 400 for an empty name.
    pub fn add(&mut self, name: String, value: String) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::new(400, "a parameter has no name"));
        }
        let known = self.0.entry(name).and_modify(|known| {
            known.push('\0');
            known.push_str(&value);
        });
        known.or_insert(value);
        Ok(())
    }

    /// Reads a JSON object of plain values and lists of them.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn of_json(text: &[u8]) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::new(400, format!("malformed JSON body: {what}"));
        let object = match serde_json::from_slice(text) {
            Ok(Object(pairs)) => pairs,
            Err(error) if error.is_data() => return Err(wrong("not an object")),
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
            let text = text.ok_or_else(|| wrong(&format!("'{name}' is not a plain value")))?;
            params.add(name, text)?;
        }
        Ok(params)
    }

    /// Adds others.
    ///
    /// # Errors
    /// As [`Params::add`].
    pub fn merge(&mut self, others: Self) -> Result<(), Refusal> {
        others.0.into_iter().try_for_each(|(name, value)| self.add(name, value))?;
        // Clients add it to keep browsers from answering out of their cache.
        self.0.remove("_dc");
        Ok(())
    }

    /// Removes parameters that are also in the path.
    ///
    /// # Errors
    /// 400 where the two differ.
    pub fn agree(&mut self, place: &BTreeMap<&'static str, String>) -> Result<(), Refusal> {
        for (name, value) in place {
            if self.0.remove(*name).is_some_and(|given| given != *value) {
                let text = "duplicate parameter (already defined in URI) with conflicting values!";
                return Err(Refusal::parameter(*name, text));
            }
        }
        Ok(())
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

    /// Returns a whole number; `None` when it is missing or not a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Returns whether a boolean is true.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).and_then(pvect_core::property::boolean) == Some(true)
    }

    /// Checks all parameters: each must be known and have the right type, and the required ones must be there.
    ///
    /// # Errors
    /// 400 with all that is wrong.
    pub fn check(&self, wanted: &[Wanted]) -> Result<(), Refusal> {
        let mut found = Vec::new();
        for (name, value) in &self.0 {
            match wanted.iter().find(|one| one.name == name) {
                Some(one) if one.many => {
                    let checked =
                        value.split('\0').filter_map(|value| check::value(name, one.kind, value).err());
                    found.extend(checked.flatten());
                }
                Some(_) if value.contains('\0') => return Err(several(name)),
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
        self.settle(verb)?;
        for (index, arg) in verb.spec().args.iter().enumerate() {
            match self.0.remove(arg.name) {
                Some(value) => call = call.arg_at(index, value),
                // A placeholder, so that the others are checked too.
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

impl Params {
    /// Joins the values of a parameter that was given several times, if it is a list and no value contains a separator.
    /// Others are refused.
    fn settle(&mut self, verb: Verb) -> Result<(), Refusal> {
        for (name, value) in self.0.iter_mut().filter(|(_, value)| value.contains('\0')) {
            let kind = verb.spec().option(name).map(|(option, _)| option.kind);
            match kind {
                // Its entries are separated by NUL.
                Some(Kind::Text(Format::Environment)) => {}
                Some(kind) if matches!(kind, Kind::List(_)) || LISTS.contains(&name.as_str()) => {
                    let words: Vec<&str> = value.split('\0').collect();
                    if words.iter().any(|word| split_list(word) != [*word]) {
                        return Err(several(name));
                    }
                    *value = words.join(",");
                }
                // Unknown ones are reported with everything else that is wrong.
                None if verb.spec().args.iter().all(|arg| arg.name != name) => {}
                _ => return Err(several(name)),
            }
        }
        Ok(())
    }
}

/// Options that are lists although their type is text.
const LISTS: [&str; 2] = ["delete", "revert"];

fn several(name: &str) -> Refusal {
    Refusal::parameter(name, "there is more than one value, or NUL in it")
}

/// The pairs of a JSON object in their order, including repeated names.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
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
/// 400 for text that is not UTF-8.
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
mod tests;
