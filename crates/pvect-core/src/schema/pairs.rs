//! The pairs of a property string: split, checked and printed by its schema.

use super::{Format, Kind, PropertySchema, Reason, Violation, scalar};
use crate::shape;
use crate::size::DiskSize;

/// The pairs of a property string, checked, in the order in which they were written; booleans are 1 or 0.
pub type Pairs = Vec<(String, String)>;

/// Splits and checks a property string.
///
/// # Errors
/// Every violation: pct's line for `name` itself, then those of keys, named `name.key`. A string that cannot be split
/// (a second bare value, a repeated key) is one violation.
pub fn parse(schema: &PropertySchema, name: &str, text: &str) -> Result<Pairs, Vec<Violation>> {
    let format_error = |pct: String, allowed: &str, value: &str| {
        let (allowed, value) = (allowed.to_owned(), value.to_owned());
        Violation::option(name, Reason::Format { pct, allowed, value })
    };
    let mut pairs = split(schema, text).map_err(|(pct, part)| {
        vec![format_error(pct, "KEY=VALUE pairs, each key once, joined with commas", part)]
    })?;
    let violations = check_pairs(schema, name, &mut pairs);
    if violations.is_empty() {
        return Ok(pairs);
    }
    let mut all = vec![format_error("format error".to_owned(), "a key is wrong or missing", text)];
    all.extend(violations);
    Err(all)
}

/// Splits without checking the values; an error has pct's words and the wrong part.
fn split<'a>(schema: &PropertySchema, text: &'a str) -> Result<Pairs, (String, &'a str)> {
    let mut pairs = Pairs::new();
    for part in text.split(',') {
        if part.chars().all(shape::is_blank) {
            continue;
        }
        let (key, value) = match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('\n') => {
                (key, value)
            }
            Some(_) => return Err(("missing key in comma-separated list property".to_owned(), part)),
            None => match schema.default_key {
                Some(key) => (key, part),
                None => {
                    return Err((
                        "value without key, but schema does not define a default key".to_owned(),
                        part,
                    ));
                }
            },
        };
        if pairs.iter().any(|(known, _)| known == key) {
            return Err((format!("duplicate key in comma-separated list property: {key}"), part));
        }
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

fn check_pairs(schema: &PropertySchema, name: &str, pairs: &mut Pairs) -> Vec<Violation> {
    let mut violations = Vec::new();
    for property in schema.properties {
        let full_name = format!("{name}.{}", property.name);
        match pairs.iter_mut().find(|(key, _)| key == property.name) {
            Some((_, value)) => match scalar::value(&full_name, property.kind, value) {
                Ok(canonical) => *value = canonical,
                Err(found) => violations.extend(found),
            },
            None if property.required => violations.push(Violation::option(full_name, Reason::Missing)),
            None => {}
        }
    }
    let unknown = pairs.iter().filter(|(key, _)| schema.property(key).is_none());
    violations.extend(unknown.map(|(key, _)| {
        let allowed = schema.properties.iter().map(|property| property.name.to_owned()).collect();
        Violation::option(format!("{name}.{key}"), Reason::UnknownProperty { allowed })
    }));
    violations
}

/// Prints pairs in Proxmox VE's order: the default key as a bare value, then required keys, then the rest, each by byte
/// order; sizes as the largest unit that divides them. If a key is repeated, the first one counts; keys that the schema
/// does not have are left out.
///
/// If the value of the default key would be read as another pair, or as empty, it is written with its key, so that the
/// printed text means what was parsed.
pub fn print(schema: &PropertySchema, pairs: &[(String, String)]) -> String {
    let rank = |key: &str, required: bool| match schema.default_key {
        Some(default) if default == key => 0,
        _ if required => 1,
        _ => 2,
    };
    let mut properties: Vec<_> = schema.properties.iter().collect();
    properties.sort_by_key(|property| (rank(property.name, property.required), property.name));
    let parts = properties.into_iter().filter_map(|property| {
        let (key, value) = pairs.iter().find(|(key, _)| key == property.name)?;
        let value = match property.kind {
            Kind::Text(Format::DiskSize) => {
                DiskSize::parse(value).map_or_else(|| value.clone(), |size| size.to_string())
            }
            _ => value.clone(),
        };
        let is_bare = schema.default_key == Some(key.as_str())
            && !value.contains('=')
            && !value.chars().all(shape::is_blank);
        Some(if is_bare { value } else { format!("{key}={value}") })
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Parses a property string, replaces the pairs in `changes`, and prints it.
///
/// What is not changed keeps its spelling, as in Proxmox VE: an IPv6 address, a `firewall=0`. A change to `None`
/// removes the key.
///
/// # Errors
/// Every violation of `text` and of the new values.
pub fn update(
    schema: &PropertySchema,
    name: &str,
    text: &str,
    changes: &[(&str, Option<&str>)],
) -> Result<String, Vec<Violation>> {
    let mut pairs = parse(schema, name, text)?;
    for (key, value) in changes {
        pairs.retain(|(known, _)| known != key);
        pairs.extend(value.map(|value| ((*key).to_owned(), value.to_owned())));
    }
    let violations = check_pairs(schema, name, &mut pairs);
    if violations.is_empty() { Ok(print(schema, &pairs)) } else { Err(violations) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::properties::{MOUNT_POINT, ROOTFS};

    #[test]
    fn what_is_printed_means_what_was_split() {
        for text in ["volume=volume=/etc,mp=/x", "volume=mp=/y,mp=/x", "volume=a:b=c,mp=/x"] {
            // The schema accepts only some of these; those that it accepts must survive.
            let pairs = split(&MOUNT_POINT, text).unwrap();
            let printed = print(&MOUNT_POINT, &pairs);
            assert_eq!(split(&MOUNT_POINT, &printed).unwrap(), pairs, "{text}: {printed}");
        }
        assert_eq!(print(&ROOTFS, &[("volume".to_owned(), "a:1".to_owned())]), "a:1");
        assert_eq!(print(&ROOTFS, &[("volume".to_owned(), "a=b".to_owned())]), "volume=a=b");
        assert_eq!(print(&ROOTFS, &[("volume".to_owned(), " ".to_owned())]), "volume= ");
    }
}
