//! Checks a call before pct is started.

use secrecy::ExposeSecret;

use super::{Call, Value, late, rules};
use crate::schema::{Reason, Violation, check};

impl Call {
    /// Checks arguments and options, each by itself and with each other, and puts values into canonical form
    /// (booleans as 1 or 0).
    ///
    /// This is what a client checks before it starts pct. The standalone node, which can check some of it only after it
    /// has read the configuration, uses [`Call::verified`] and [`super::rules`].
    ///
    /// # Errors
    /// All violations at once, arguments first.
    pub fn checked(self) -> Result<Self, Vec<Violation>> {
        let call = self.verified()?;
        let mut violations = rules::before_load(&call);
        violations.extend(rules::after_load(&call));
        violations.extend(late::refused(&call));
        if violations.is_empty() { Ok(call) } else { Err(violations) }
    }

    /// Does pct's parameter verification: types, bounds, formats, and options that need each other.
    ///
    /// # Errors
    /// All violations at once, arguments first.
    pub fn verified(mut self) -> Result<Self, Vec<Violation>> {
        let mut violations = self.check_arguments();
        violations.extend(self.check_options());
        violations.extend(rules::together(&self));
        if violations.is_empty() { Ok(self) } else { Err(violations) }
    }

    fn check_arguments(&mut self) -> Vec<Violation> {
        let spec = self.verb.spec();
        let mut violations = Vec::new();
        let required = spec.args.iter().filter(|arg| !arg.optional).count();
        if self.args.len() < required {
            let missing = spec.args.iter().filter(|arg| !arg.optional).skip(self.args.len());
            violations.extend(missing.map(|arg| Violation::positional(arg.name, Reason::Missing)));
        }
        if self.args.len() > spec.args.len() && !spec.args.last().is_some_and(|arg| arg.rest) {
            let extra =
                self.args.iter().skip(spec.args.len()).map(String::as_str).collect::<Vec<_>>().join(" ");
            let text =
                format!("too many arguments: '{extra}'; pct {} takes {}", spec.name, count(spec.args.len()));
            let reason = Reason::TooManyArguments { text };
            violations.push(Violation::positional("arguments", reason));
        }
        // An empty optional argument was left out because a later one is given.
        let given = spec.args.iter().zip(self.args.iter_mut());
        for (arg, text) in given.filter(|(arg, text)| !(arg.optional && text.is_empty() && !arg.rest)) {
            match check::argument(arg, text) {
                Ok(canonical) => *text = canonical,
                Err(found) => violations.extend(found),
            }
        }
        violations
    }

    fn check_options(&mut self) -> Vec<Violation> {
        let spec = self.verb.spec();
        let mut violations = Vec::new();
        for (name, value) in &mut self.options {
            let Some((option, _)) = spec.option(name) else {
                let reason = Reason::UnknownOption { verb: spec.name, nearest: spec.nearest_option(name) };
                violations.push(Violation::option(name.clone(), reason));
                continue;
            };
            match value {
                Value::Text(text) => match check::option(option, name, text) {
                    Ok(canonical) => *text = canonical,
                    Err(found) => violations.extend(found),
                },
                Value::Secret(secret) => {
                    if let Err(found) = check::option(option, name, secret.expose_secret()) {
                        violations.extend(found);
                    }
                }
            }
        }
        violations
    }
}

fn count(arguments: usize) -> String {
    match arguments {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        more => format!("{more} arguments"),
    }
}
