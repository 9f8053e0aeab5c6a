//! A call as backends take it: checked once, or taken as it is on request.

use std::ops::Deref;

use crate::call::Value;
use crate::{Call, Error, Result, Vmid};

/// A call for a backend.
///
/// [`CheckedCall::check`] checks it against the schema and puts values into canonical form; [`CheckedCall::unchecked`]
/// takes it as it is, and [`CheckedCall::is_strict`] says which. It dereferences to the [`Call`] in it. Secret options
/// are [`Value::Secret`] in it, however they were given.
#[derive(Debug, Clone)]
pub struct CheckedCall {
    call: Call,
    vmid: Option<Vmid>,
    strict: bool,
}

impl CheckedCall {
    /// Checks a call as a client does before it starts pct; see [`Call::checked`].
    ///
    /// # Errors
    /// `InvalidArgument` with all violations.
    pub fn check(call: Call) -> Result<Self> {
        Self::with_strictness(call, true)
    }

    /// Takes a call as it is, for a pct whose options differ from those of the schema: what is wrong is left to pct.
    pub fn unchecked(call: Call) -> Self {
        let call = with_secrets(call);
        Self { vmid: call.vmid(), call, strict: false }
    }

    /// Checks a call, or with `strict` off takes it as it is.
    ///
    /// # Errors
    /// As [`CheckedCall::check`].
    pub fn with_strictness(call: Call, strict: bool) -> Result<Self> {
        if !strict {
            return Ok(Self::unchecked(call));
        }
        let call = with_secrets(call).checked().map_err(Error::InvalidArgument)?;
        Ok(Self { vmid: call.vmid(), call, strict })
    }

    /// Returns the container that the call is about, where the first argument names one.
    pub fn vmid(&self) -> Option<Vmid> {
        self.vmid
    }

    /// Returns whether it was checked; otherwise it was taken as it is.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Replaces an argument with a container's number. Arguments that a number can replace accept every number, so no
    /// further check is needed.
    #[must_use]
    pub fn with_vmid(mut self, index: usize, vmid: Vmid) -> Self {
        self.call = self.call.arg_at(index, vmid.to_string());
        self.vmid = self.call.vmid();
        self
    }

    /// Adds arguments for pct that are not checked.
    #[must_use]
    pub fn with_passthrough(mut self, words: impl IntoIterator<Item = String>) -> Self {
        let all: Vec<String> = self.call.passthrough_words().iter().cloned().chain(words).collect();
        self.call = self.call.passthrough(all);
        self
    }

    /// Removes an option from the call.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.call = self.call.without(name);
        self
    }

    /// Changes the call in any other way, and checks the result as strictly as the call itself was.
    ///
    /// # Errors
    /// As [`CheckedCall::check`].
    pub fn adjusted(&self, change: impl FnOnce(Call) -> Call) -> Result<Self> {
        Self::with_strictness(change(self.call.clone()), self.strict)
    }
}

impl Deref for CheckedCall {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

/// Turns plain values of secret options into secrets, so that they do not get into argv.
fn with_secrets(call: Call) -> Call {
    let spec = call.verb().spec();
    let open = |(name, value): &(String, Value)| match value {
        Value::Text(text) if spec.option(name).is_some_and(|(option, _)| option.secret) => {
            Some((name.clone(), text.clone()))
        }
        _ => None,
    };
    let found: Vec<_> = call.options().iter().filter_map(open).collect();
    found.into_iter().fold(call, |call, (name, text)| call.secret(name, text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Verb};

    fn set(memory: &str) -> Call {
        Call::on(Verb::Set, Vmid::MIN).option("memory", memory)
    }

    #[test]
    fn only_good_values_are_taken() {
        assert_eq!(CheckedCall::check(set("8")).unwrap_err().kind(), ErrorKind::InvalidArgument);
        let call = CheckedCall::check(set("512").option("onboot", "yes")).unwrap();
        assert_eq!(call.argv(), ["set", "100", "--memory", "512", "--onboot", "1"]);
    }

    #[test]
    fn what_is_changed_is_checked_as_strictly_as_before() {
        let strict = CheckedCall::check(set("512")).unwrap();
        assert!(strict.adjusted(|call| call.option("memory", "8")).is_err());
        let loose = CheckedCall::unchecked(set("8"));
        let newer = loose.adjusted(|call| call.option("newer", "x")).unwrap();
        assert_eq!(newer.argv(), ["set", "100", "--memory", "8", "--newer", "x"]);
    }

    #[test]
    fn the_number_follows_the_argument() {
        let other: Vmid = "205".parse().unwrap();
        let call = CheckedCall::check(set("512")).unwrap().with_vmid(0, other);
        assert_eq!((call.vmid(), call.argv()[1].as_str()), (Some(other), "205"));
        let clone =
            CheckedCall::check(Call::on(Verb::Clone, Vmid::MIN).arg("101")).unwrap().with_vmid(1, other);
        assert_eq!((clone.vmid(), clone.argv()[1..].join(" ")), (Some(Vmid::MIN), "100 205".to_owned()));
    }

    #[test]
    fn a_password_is_a_secret_however_it_was_given() {
        let call = Call::on(Verb::Create, Vmid::MIN).arg("local:vztmpl/x.tar").option("password", "hunter22");
        for call in [CheckedCall::check(call.clone()).unwrap(), CheckedCall::unchecked(call)] {
            assert!(call.get_secret("password").is_some() && !call.argv().join(" ").contains("hunter22"));
        }
    }
}
