//! One request to pct: a verb with its arguments and options.

mod check;
mod late;
pub mod rules;

use std::fmt;

use secrecy::SecretString;

pub use crate::schema::MASK;
use crate::{Verb, Vmid};

/// The value of an option.
#[derive(Clone)]
pub enum Value {
    /// Open text.
    Text(String),
    /// Never shown and never put into argv.
    Secret(SecretString),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => fmt::Debug::fmt(text, f),
            Self::Secret(_) => f.write_str(MASK),
        }
    }
}

/// A verb with its arguments and options, not yet an argv: each transport makes its own of it.
#[derive(Clone)]
pub struct Call {
    verb: Verb,
    args: Vec<String>,
    options: Vec<(String, Value)>,
    command: Vec<String>,
    passthrough: Vec<String>,
}

/// Shows the words for pct, secrets masked: an argument may hold one (the token of remote-migrate).
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.masked_argv()).finish()
    }
}

impl Call {
    /// Starts a call of a verb that names no container (`list`, `rescan`, `cpusets`).
    pub fn new(verb: Verb) -> Self {
        Self { verb, args: Vec::new(), options: Vec::new(), command: Vec::new(), passthrough: Vec::new() }
    }

    /// Starts a call about one container.
    pub fn on(verb: Verb, vmid: Vmid) -> Self {
        Self::new(verb).arg(vmid.to_string())
    }

    /// Adds a positional argument.
    #[must_use]
    pub fn arg(mut self, text: impl Into<String>) -> Self {
        self.args.push(text.into());
        self
    }

    /// Adds or replaces the positional argument of this place; those before it that are not given stay empty.
    #[must_use]
    pub fn arg_at(mut self, index: usize, text: impl Into<String>) -> Self {
        if self.args.len() <= index {
            self.args.resize(index + 1, String::new());
        }
        if let Some(slot) = self.args.get_mut(index) {
            *slot = text.into();
        }
        self
    }

    /// Takes an option out of the call.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.options.retain(|(known, _)| known != name);
        self
    }

    /// Sets an option by its full name (`memory`, `net0`); a later value replaces an earlier one.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name.into(), Value::Text(value.into()));
        self
    }

    /// Sets a boolean option.
    #[must_use]
    pub fn flag(self, name: impl Into<String>, on: bool) -> Self {
        self.option(name, if on { "1" } else { "0" })
    }

    /// Sets a secret option (`password`).
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: SecretString) -> Self {
        self.set(name.into(), Value::Secret(value));
        self
    }

    /// Sets the command of `exec`, each word as it is.
    #[must_use]
    pub fn command<I, S>(mut self, words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds words for pct that pvect does not know (options of a newer version), unchecked.
    #[must_use]
    pub fn passthrough<I, S>(mut self, words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.passthrough = words.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the words for pct that are not checked.
    pub fn passthrough_words(&self) -> &[String] {
        &self.passthrough
    }

    fn set(&mut self, name: String, value: Value) {
        match self.options.iter_mut().find(|(known, _)| *known == name) {
            Some(slot) => slot.1 = value,
            None => self.options.push((name, value)),
        }
    }

    /// Returns the verb.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Returns the container that the call is about, where the first argument names one.
    pub fn vmid(&self) -> Option<Vmid> {
        if self.verb.spec().takes_vmid() { self.args.first()?.parse().ok() } else { None }
    }

    /// Returns the positional arguments.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Returns the options in the order they were set.
    pub fn options(&self) -> &[(String, Value)] {
        &self.options
    }

    /// Returns the open value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|(known, value)| match value {
            Value::Text(text) if known == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the secret value of an option.
    pub fn get_secret(&self, name: &str) -> Option<&SecretString> {
        self.options.iter().find_map(|(known, value)| match value {
            Value::Secret(secret) if known == name => Some(secret),
            _ => None,
        })
    }

    /// Returns the command of `exec`.
    pub fn command_words(&self) -> &[String] {
        &self.command
    }

    /// Returns whether an option is set, to whatever value.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| known == name)
    }

    /// Returns the words after `pct`: verb, arguments, options, `--` and the command.
    ///
    /// An optional argument that is empty was left out; those after it go by their names (`--target-vmid 102`).
    /// Secret options are left out (pct asks for them on its terminal, see [`Call::get_secret`]); the secret
    /// positional of remote-migrate has no other way and is in it. Every option has an explicit value, so no
    /// optional value of pct's parser can eat the next word.
    pub fn argv(&self) -> Vec<String> {
        self.words(false)
    }

    /// Returns the words after `pct` for logs, errors and `--dry-run`: secrets replaced by [`MASK`].
    pub fn masked_argv(&self) -> Vec<String> {
        self.words(true)
    }

    fn words(&self, masked: bool) -> Vec<String> {
        let spec = self.verb.spec();
        let mut words = vec![spec.name.to_owned()];
        let mut skipped = false;
        for (index, arg) in self.args.iter().enumerate() {
            let known = spec.args.get(index);
            if known.is_some_and(|spec| spec.optional && !spec.rest) && arg.is_empty() {
                skipped = true;
                continue;
            }
            if let Some(known) = known.filter(|_| skipped) {
                words.push(format!("--{}", known.name));
            }
            let secret = known.is_some_and(|spec| spec.secret);
            words.push(if masked && secret { MASK.to_owned() } else { arg.clone() });
        }
        for (name, value) in &self.options {
            match value {
                Value::Text(text) => {
                    let secret = spec.option(name).is_some_and(|(option, _)| option.secret);
                    words.push(format!("--{name}"));
                    words.push(if masked && secret { MASK.to_owned() } else { text.clone() });
                }
                // Without a value pct asks for it on its terminal.
                Value::Secret(_) => words.push(format!("--{name}")),
            }
        }
        words.extend(self.passthrough.iter().cloned());
        if !self.command.is_empty() {
            words.push("--".to_owned());
            words.extend(self.command.iter().cloned());
        }
        words
    }
}

/// Quotes words for a POSIX shell, for showing a command line to people.
pub fn shell_quoted<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Report;

    fn vmid() -> Vmid {
        "101".parse().unwrap()
    }

    #[test]
    fn argv_has_arguments_options_and_command_in_order() {
        let call = Call::on(Verb::Exec, vmid()).flag("keep-env", false).command(["ls", "-la"]);
        assert_eq!(call.argv(), ["exec", "101", "--keep-env", "0", "--", "ls", "-la"]);
    }

    #[test]
    fn a_secret_is_in_no_argv_and_no_debug() {
        let call =
            Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar").secret("password", "hunter22".into());
        assert_eq!(call.argv(), ["create", "101", "local:vztmpl/x.tar", "--password"]);
        assert!(!format!("{call:?}").contains("hunter22"));
        let call = Call::on(Verb::Create, vmid()).option("password", "hunter22");
        assert!(!call.masked_argv().join(" ").contains("hunter22"));
    }

    /// pct's report of a call that breaks the schema or a rule.
    fn report(call: Call) -> String {
        Report::new(&call.checked().unwrap_err()).text
    }

    fn set(name: &str, value: &str) -> Call {
        Call::on(Verb::Set, vmid()).option(name, value)
    }

    const HEAD: &str = "400 Parameter verification failed.\n";

    #[test]
    fn a_good_call_is_made_canonical() {
        let call = set("onboot", "Yes")
            .option("memory", "256")
            .option("debug", "")
            .option("net0", "name=eth0,firewall=on");
        let call = call.checked().unwrap();
        assert_eq!(
            call.argv(),
            [
                "set",
                "101",
                "--onboot",
                "1",
                "--memory",
                "256",
                "--debug",
                "1",
                "--net0",
                "name=eth0,firewall=on"
            ]
        );
    }

    #[test]
    fn violations_are_reported_in_pcts_words() {
        for (name, value, text) in [
            ("memory", "abc", "memory: type check ('integer') failed - got 'abc'"),
            ("memory", "8", "memory: value must have a minimum value of 16"),
            ("memory", "-5", "memory: value must have a minimum value of 16"),
            ("memory", "256.5", "memory: type check ('integer') failed - got '256.5'"),
            ("cores", "0", "cores: value must have a minimum value of 1"),
            ("cores", "9999", "cores: value must have a maximum value of 8192"),
            ("cpulimit", "99999", "cpulimit: value must have a maximum value of 8192"),
            ("cpulimit", "x", "cpulimit: type check ('number') failed - got 'x'"),
            ("hostname", "bad_name", "hostname: invalid format - value does not look like a valid DNS name"),
            ("hostname", "-x", "hostname: invalid format - value does not look like a valid DNS name"),
            ("tags", "bad!tag", "tags: invalid format - invalid characters in tag"),
            ("nameserver", "x", "nameserver: invalid format - value does not look like a valid IP address"),
            ("startup", "bogus", "startup: invalid format - unable to parse startup options"),
            ("timezone", "../etc/passwd", "timezone: invalid format - invalid time zone '../etc/passwd'"),
            ("hookscript", "x", "hookscript: invalid format - unable to parse volume ID 'x'"),
            ("entrypoint", "", "entrypoint: value does not match the regex pattern"),
            (
                "lock",
                "bogus",
                "lock: value 'bogus' does not have a value in the enumeration 'backup, create, destroyed, disk, \
                 fstrim, migrate, mounted, rollback, snapshot, snapshot-delete'",
            ),
            (
                "digest",
                "00000000000000000000000000000000000000000",
                "digest: value may only be 40 characters long",
            ),
            ("delete", "x", "delete: invalid format - invalid configuration ID 'x'"),
            (
                "net0",
                "bogus",
                "net0: invalid format - value without key, but schema does not define a default key",
            ),
            (
                "net0",
                "bridge=vmbr0",
                "net0: invalid format - format error\nnet0.name: property is missing and it is not optional",
            ),
            (
                "net0",
                "name=eth0,bridge=vmbr0,ip=10.0.0.5",
                "net0: invalid format - format error\n\
                 net0.ip: invalid format - value does not look like a valid ipv4 network configuration",
            ),
            (
                "net0",
                "name=eth0,bogus=1",
                "net0: invalid format - format error\nnet0.bogus: property is not defined in schema and the schema \
                 does not allow additional properties",
            ),
            (
                "net0",
                "name=eth0,hwaddr=zz",
                "net0: invalid format - format error\n\
                 net0.hwaddr: invalid format - value does not look like a valid unicast MAC address",
            ),
            (
                "dev0",
                "/no/such",
                "dev0: invalid format - format error\n\
                 dev0.path: invalid format - /no/such is not a valid device path",
            ),
            (
                "mp2",
                "local:1",
                "mp2: invalid format - format error\nmp2.mp: property is missing and it is not optional",
            ),
        ] {
            assert_eq!(report(set(name, value)), format!("{HEAD}{text}\n"), "{name}={value}");
        }
    }

    #[test]
    fn vmids_are_refused_in_pcts_words() {
        let format = "vmid: invalid format - value does not look like a valid VM ID";
        for id in ["99", "1000000000", "0101", "+101", "-5", "9999999999999999999999"] {
            assert_eq!(report(Call::new(Verb::Status).arg(id)), format!("{HEAD}{format}\n"), "{id}");
        }
        for id in ["abc", "1e3", " 101", "", "101.5", "0x65", "../101", "101\n"] {
            let text = format!("{HEAD}vmid: type check ('integer') failed - got '{id}'\n");
            assert_eq!(report(Call::new(Verb::Status).arg(id)), text);
        }
    }

    #[test]
    fn the_other_kinds_of_report() {
        for (call, text) in [
            (Call::on(Verb::Create, vmid()), "400 not enough arguments\n"),
            (Call::on(Verb::Set, vmid()).arg("memory").arg("256"), "400 too many arguments\n"),
            (set("onboot", "maybe"), "400 unable to parse boolean option\n"),
            (set("bogus", "1").option("memory", "1"), "Unknown option: bogus\n400 unable to parse option\n"),
            (set("net32", "name=eth0"), "Unknown option: net32\n400 unable to parse option\n"),
            (Call::on(Verb::Set, vmid()), "no options specified\n"),
            (set("digest", &"0".repeat(40)), "no options specified\n"),
            (set("unprivileged", "1"), "unable to modify read-only option: 'unprivileged'\n"),
        ] {
            assert_eq!(report(call), text);
        }
        let report = |call: Call| Report::new(&call.checked().unwrap_err());
        assert!(!report(Call::on(Verb::Set, vmid())).usage);
        assert!(report(set("memory", "x")).usage);
    }

    #[test]
    fn options_that_exclude_each_other() {
        let both = Call::on(Verb::Config, vmid()).flag("current", true).option("snapshot", "snap1");
        assert_eq!(
            report(both),
            format!(
                "{HEAD}snapshot: cannot use 'snapshot' parameter with 'current'\n\
                 current: cannot use 'snapshot' parameter with 'current'\n"
            )
        );
        let one = Call::on(Verb::Config, vmid()).flag("current", false).option("snapshot", "snap1");
        assert!(one.checked().is_ok());
        assert_eq!(
            report(set("hostname", "x").option("delete", "hostname")),
            format!("{HEAD}delete: you can't use '-hostname' and -delete hostname' at the same time\n")
        );
        assert_eq!(
            report(set("delete", "swap").option("revert", "swap")),
            format!("{HEAD}delete: you can't use '-delete swap' and '-revert swap' at the same time\n")
        );
        assert_eq!(report(set("delete", "bogus")), format!("{HEAD}delete: unknown option 'bogus'\n"));
        assert!(set("delete", "mp1,onboot net0").checked().is_ok());
        let create = Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar").flag("unique", true);
        assert_eq!(report(create), format!("{HEAD}restore: missing property required by 'unique'\n"));
        let text = "both 'storage' and 'target-vmid' missing, either needs to be set";
        assert_eq!(
            report(Call::on(Verb::MoveVolume, vmid()).arg("rootfs")),
            format!("{HEAD}target-vmid: {text}\nstorage: {text}\n")
        );
    }

    #[test]
    fn arguments_of_other_verbs() {
        for (call, text) in [
            (
                Call::on(Verb::Snapshot, vmid()).arg(""),
                "snapname: invalid format - invalid configuration ID ''".to_owned(),
            ),
            (
                Call::on(Verb::Snapshot, vmid()).arg("bad name"),
                "snapname: invalid format - invalid configuration ID 'bad name'".to_owned(),
            ),
            (
                Call::on(Verb::Snapshot, vmid()).arg("a".repeat(41)),
                "snapname: value may only be 40 characters long".to_owned(),
            ),
            (
                Call::on(Verb::Resize, vmid()).arg("rootfs").arg("abc"),
                "size: value does not match the regex pattern".to_owned(),
            ),
            (
                Call::on(Verb::Clone, vmid()).arg("50"),
                "newid: invalid format - value does not look like a valid VM ID".to_owned(),
            ),
            (
                Call::on(Verb::Shutdown, vmid()).option("timeout", "abc"),
                "timeout: type check ('integer') failed - got 'abc'".to_owned(),
            ),
        ] {
            assert_eq!(report(call), format!("{HEAD}{text}\n"));
        }
        let keys: Vec<String> = (0..256).map(|index| format!("mp{index}")).collect();
        assert_eq!(
            report(Call::on(Verb::Resize, vmid()).arg("bogus").arg("+1G")),
            format!(
                "{HEAD}disk: value 'bogus' does not have a value in the enumeration 'rootfs, {}'\n",
                keys.join(", ")
            )
        );
        assert!(Call::on(Verb::Resize, vmid()).arg("mp7").arg("+1.5G").checked().is_ok());
        let missing =
            Call::on(Verb::RemoteMigrate, vmid()).arg("102").arg("host=h,apitoken=t").checked().unwrap_err();
        let names: Vec<_> = missing.iter().map(|violation| violation.name.as_str()).collect();
        assert_eq!(names, ["target-bridge", "target-storage"]);
    }

    #[test]
    fn secrets_are_in_no_violation() {
        let create = Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar");
        let found = create.secret("password", "tiny".into()).checked().unwrap_err();
        assert_eq!(found[0].pct_text(), "password: value must be at least 5 characters long");
        assert!(!format!("{found:?}").contains("tiny"));
        let migrate = Call::on(Verb::RemoteMigrate, vmid()).arg("102").arg("host=h!,apitoken=hunter22");
        let found = migrate.checked().unwrap_err();
        assert!(!format!("{found:?}").contains("hunter22"), "{found:?}");
        let migrate = Call::on(Verb::RemoteMigrate, vmid()).arg("102").arg("hunter22");
        assert!(!format!("{:?}", migrate.checked().unwrap_err()).contains("hunter22"));
    }

    #[test]
    fn an_unknown_option_names_the_nearest() {
        let text = |name: &str| set(name, "1").checked().unwrap_err()[0].to_string();
        assert_eq!(text("memroy"), "--memroy: pct set has no such option; did you mean --memory?");
        assert_eq!(text("nets0"), "--nets0: pct set has no such option; did you mean --net0?");
        assert_eq!(text("net99"), "--net99: pct set has no such option; did you mean --net[n]?");
        assert_eq!(text("host"), "--host: pct set has no such option; did you mean --hostname?");
        assert_eq!(text("zzzzzz"), "--zzzzzz: pct set has no such option");
    }

    #[test]
    fn shell_quoting_leaves_plain_words() {
        assert_eq!(shell_quoted(&["pct", "exec", "a b", "it's", ""]), r"pct exec 'a b' 'it'\''s' ''");
    }
}
