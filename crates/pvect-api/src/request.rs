//! A request: method, path and parameters; and how a call becomes one.

use std::fmt;

use pvect_core::call::Value;
use pvect_core::{Call, Error, NodeName, Result, Verb};
use secrecy::{ExposeSecret, SecretString};

/// Where tickets come from.
pub(crate) const LOGIN: &str = "/access/ticket";

/// The methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes or does something.
    Post,
    /// Changes something.
    Put,
    /// Removes something.
    Delete,
}

impl Method {
    /// Returns the method's name in HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Delete].into_iter().find(|method| method.as_str() == name)
    }
}

/// One request. Its `Debug` and `Display` show neither values nor secrets.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path below `/api2/json`, parts encoded.
    pub path: String,
    params: Vec<(String, SecretString)>,
}

impl Request {
    /// Makes a request without parameters.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), params: Vec::new() }
    }

    /// Makes a GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    /// Adds a parameter.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), SecretString::from(value.into())));
        self
    }

    /// Adds a secret parameter.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: SecretString) -> Self {
        self.params.push((name.into(), value));
        self
    }

    /// Returns the parameters, secrets exposed.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect()
    }

    /// Returns whether repeating it changes nothing: reads, and the login.
    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::Get || self.path == LOGIN
    }

    /// Makes the request of a call on a node.
    ///
    /// # Errors
    /// `Unsupported` for verbs that the API does not have; `InvalidArgument` for options that it does not have.
    pub(crate) fn of(call: &Call, node: &NodeName) -> Result<Self> {
        Self::at(call, node.as_str())
    }

    /// As [`Request::of`], also with a placeholder for a node that is not known yet.
    pub(crate) fn at(call: &Call, node: &str) -> Result<Self> {
        let spec = call.verb().spec();
        let Some((twin, method)) = spec.api.and_then(|twin| Some((twin, Method::from_name(twin.method)?)))
        else {
            return Err(no_twin(call));
        };
        let mut path = twin.path.replace("{node}", &encode(node));
        let mut params = Vec::new();
        for (spec, value) in spec.args.iter().zip(call.args()).filter(|(_, value)| !value.is_empty()) {
            let place = format!("{{{}}}", spec.name);
            if path.contains(&place) {
                path = path.replace(&place, &encode(value));
            } else {
                params.push((spec.name.to_owned(), SecretString::from(value.clone())));
            }
        }
        if call.verb() == Verb::Restore {
            params.push(("restore".to_owned(), "1".to_owned().into()));
        }
        if let [first, ..] = call.passthrough_words() {
            let text = format!("'{first}': words after '--' are for pct; the API cannot take them");
            return Err(Error::bad_argument("extra-args", text));
        }
        for (name, value) in call.options() {
            let value = match value {
                Value::Text(text) => SecretString::from(text.clone()),
                Value::Secret(secret) => secret.clone(),
            };
            params.push((name.clone(), value));
        }
        Ok(Self { method, path, params })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /api2/json{}", self.method.as_str(), self.path)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.params.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "{self} ({})", names.join(", "))
    }
}

fn no_twin(call: &Call) -> Error {
    let what = format!(
        "the API cannot do '{}'; pct can: run pvect on the node, or reach it through ssh with --node",
        call.verb().name()
    );
    Error::Unsupported { what, vmid: call.vmid() }
}

/// Encodes a part of a path.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(call: &Call) -> String {
        let node = "pve1".parse().unwrap();
        match Request::of(call, &node) {
            Ok(request) => {
                let pairs: Vec<String> =
                    request.pairs().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{request} {}", pairs.join("&")).trim_end().to_owned()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn calls_become_requests() {
        let on = |verb| Call::on(verb, "101".parse().unwrap());
        for (call, expected) in [
            (Call::new(Verb::List), "GET /api2/json/nodes/pve1/lxc"),
            (on(Verb::Start), "POST /api2/json/nodes/pve1/lxc/101/status/start"),
            (on(Verb::Set).option("memory", "512"), "PUT /api2/json/nodes/pve1/lxc/101/config memory=512"),
            (on(Verb::Destroy).flag("purge", true), "DELETE /api2/json/nodes/pve1/lxc/101 purge=1"),
            (
                on(Verb::Create).arg("local:vztmpl/a.tar.zst").option("hostname", "web"),
                "POST /api2/json/nodes/pve1/lxc vmid=101&ostemplate=local:vztmpl/a.tar.zst&hostname=web",
            ),
            (
                on(Verb::Restore).arg("local:backup/a.tar.zst"),
                "POST /api2/json/nodes/pve1/lxc vmid=101&ostemplate=local:backup/a.tar.zst&restore=1",
            ),
            (on(Verb::Rollback).arg("before"), "POST /api2/json/nodes/pve1/lxc/101/snapshot/before/rollback"),
            (on(Verb::Clone).arg("102"), "POST /api2/json/nodes/pve1/lxc/101/clone newid=102"),
            (
                on(Verb::Resize).arg("rootfs").arg("+1G"),
                "PUT /api2/json/nodes/pve1/lxc/101/resize disk=rootfs&size=+1G",
            ),
            (
                on(Verb::Exec).command(["true"]),
                "the API cannot do 'exec'; pct can: run pvect on the node, or reach it through ssh with --node",
            ),
        ] {
            assert_eq!(request(&call), expected);
        }
    }

    #[test]
    fn values_are_not_shown() {
        let request =
            Request::new(Method::Post, "/access/ticket").secret("password", "hunter22".to_owned().into());
        assert_eq!(format!("{request:?}"), "POST /api2/json/access/ticket (password)");
    }
}
