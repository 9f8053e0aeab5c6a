//! Making a container, with the next free number when none is asked for.

use pvect_core::call::Value;
use pvect_core::{Call, CheckedCall, Error, ErrorKind, Events, Outcome, Result, Verb, Vmid};
use secrecy::SecretString;

use super::options::{ContainerOptions, CreateOptions};
use super::{Client, Manner};
use crate::names::{self, Ids};

/// How often to try another number when somebody else took one meanwhile.
const TRIES: usize = 64;

/// A container to make.
#[derive(Debug, Clone)]
pub struct Create {
    verb: Verb,
    vmid: Option<Vmid>,
    template: String,
    options: Vec<(String, Value)>,
    passthrough: Vec<String>,
}

impl Create {
    /// Starts with a template: a volume id (`local:vztmpl/...`) or an absolute path.
    pub fn new(template: impl Into<String>) -> Self {
        Self {
            verb: Verb::Create,
            vmid: None,
            template: template.into(),
            options: Vec::new(),
            passthrough: Vec::new(),
        }
    }

    /// Makes it from a backup instead.
    #[must_use]
    pub fn restore(mut self) -> Self {
        self.verb = Verb::Restore;
        self
    }

    /// Asks for this number.
    #[must_use]
    pub fn vmid(mut self, vmid: Vmid) -> Self {
        self.vmid = Some(vmid);
        self
    }

    /// Sets an option of `pct create`.
    #[must_use]
    pub fn option(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.value(name, Value::Text(value.into()))
    }

    /// Sets an option to a value that may be a secret.
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: Value) -> Self {
        self.options.push((name.into(), value));
        self
    }

    /// Sets options of the container.
    #[must_use]
    pub fn container(self, options: &ContainerOptions) -> Self {
        self.take(&options.add_to(Call::new(Verb::Create)))
    }

    /// Sets options of the verb itself.
    #[must_use]
    pub fn with(self, options: &CreateOptions) -> Self {
        self.take(&options.add_to(Call::new(Verb::Create)))
    }

    fn take(self, call: &Call) -> Self {
        call.options().iter().fold(self, |create, (name, value)| create.value(name.clone(), value.clone()))
    }

    /// Sets root's password; it is in no argv.
    #[must_use]
    pub fn password(self, password: SecretString) -> Self {
        self.value("password", Value::Secret(password))
    }

    /// With `false`, leaves out what a backup's configuration would do on the host: hook scripts, directories and devices
    /// of the host, raw lines. The standalone node has this; a real pct refuses it.
    #[must_use]
    pub fn trust_config(self, trusts: bool) -> Self {
        self.passthrough(["--trust-config".to_owned(), u8::from(trusts).to_string()])
    }

    /// Adds arguments for pct that are not checked.
    #[must_use]
    pub fn passthrough(mut self, words: impl IntoIterator<Item = String>) -> Self {
        self.passthrough.extend(words);
        self
    }

    /// Returns the call for a number.
    pub fn call(&self, vmid: Vmid) -> Call {
        let mut call = Call::on(self.verb, vmid).arg(self.template.clone());
        for (name, value) in &self.options {
            call = match value {
                Value::Text(text) => call.option(name.clone(), text.clone()),
                Value::Secret(secret) => call.secret(name.clone(), secret.clone()),
            };
        }
        call.passthrough(self.passthrough.clone())
    }
}

impl Client {
    /// Returns the lowest number that no container or virtual machine of the cluster has.
    ///
    /// It is not reserved: somebody else may take it; [`Client::create`] handles that.
    ///
    /// # Errors
    /// When the containers cannot be listed or every number is taken.
    pub async fn next_free_vmid(&self) -> Result<Vmid> {
        let mut ids = self.ids().await?;
        ids.taken.extend(self.list().await?.iter().map(|entry| entry.vmid));
        next(&ids.taken, ids.range)
    }

    /// Makes the container and returns its number.
    ///
    /// Without a number of its own it gets the lowest free one, or the next when somebody took that meanwhile.
    ///
    /// # Errors
    /// As [`Client::carry_out`]; a number that was asked for and is taken is `AlreadyExists`.
    pub async fn create(&self, create: &Create, events: &mut dyn Events) -> Result<(Vmid, Outcome)> {
        self.create_in(create, &Manner::default(), events).await
    }

    /// As [`Client::create`], with a [`crate::Manner`].
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn create_in(
        &self,
        create: &Create,
        manner: &Manner,
        events: &mut dyn Events,
    ) -> Result<(Vmid, Outcome)> {
        if let Some(vmid) = create.vmid {
            return Ok((vmid, self.carry_out(&create.call(vmid), manner, events).await?));
        }
        let call = self.checked(create.call(Vmid::MIN))?;
        self.with_free_number(|vmid| call.clone().with_vmid(0, vmid), manner, events).await
    }

    /// Runs what makes a container with the lowest free number, or with the next when somebody took that meanwhile, and
    /// returns the number.
    ///
    /// # Errors
    /// As [`Client::carry_out_checked`]; when every number is taken.
    pub async fn with_free_number(
        &self,
        call: impl Fn(Vmid) -> CheckedCall,
        manner: &Manner,
        events: &mut dyn Events,
    ) -> Result<(Vmid, Outcome)> {
        let Ids { mut taken, range, .. } = self.ids().await?;
        taken.extend(self.list().await?.iter().map(|entry| entry.vmid));
        let mut tries = 0;
        loop {
            let vmid = next(&taken, range)?;
            tries += 1;
            match self.carry_out_checked(&call(vmid), manner, events).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < TRIES => {
                    tracing::info!(%vmid, "the number was taken meanwhile");
                    taken.insert(vmid);
                    taken.extend(self.ids().await?.taken);
                }
                other => return other.map(|outcome| (vmid, outcome)),
            }
        }
    }
}

fn next(taken: &std::collections::BTreeSet<Vmid>, range: (u32, u32)) -> Result<Vmid> {
    names::next_free(taken, range).ok_or_else(|| Error::NotFound {
        what: format!("every number from {} to {} is taken", range.0, range.1.saturating_sub(1)),
        vmid: None,
    })
}
