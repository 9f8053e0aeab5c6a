//! The endpoints: one table, from the table of verbs and from what is the API's alone.

mod access;
mod cluster;
mod lxc;
mod node;
mod permission;
mod storage;
mod tasks;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;

use pvect_core::schema::VERBS;
use pvect_core::{Call, Verb, Vmid};
use pvect_node::worker::Job;
use serde_json::{Value, json};

pub(crate) use access::{Admitted, capabilities, check_login};
pub(crate) use upload::upload;

use crate::params::{Params, decode};
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::users::UserConfig;

/// A request to an endpoint.
pub(crate) struct Asked {
    /// What all requests share.
    pub(crate) shared: Arc<Shared>,
    /// The user or token.
    pub(crate) who: String,
    /// The parts of the path that vary.
    pub(crate) place: BTreeMap<&'static str, String>,
    /// The parameters.
    pub(crate) params: Params,
}

/// The answer of an endpoint.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Data.
    Data(Value),
    /// A part of more.
    Total(Value, u64),
    /// A verb for a worker.
    Work(Call),
    /// Another job for a worker.
    Job(Job),
}

pub(crate) type Answer = Result<Reply, Refusal>;

/// How an endpoint is run.
#[derive(Clone)]
pub(crate) enum Run {
    /// By a function that may block.
    Answer(Arc<dyn Fn(&Asked) -> Answer + Send + Sync>),
    /// The one whose body is a stream.
    Upload,
}

struct Endpoint {
    method: &'static str,
    path: &'static str,
    run: Run,
}

/// All endpoints.
pub(crate) struct Endpoints(Vec<Endpoint>);

/// An endpoint that is found, and the parts of its path that vary.
type Found = (Run, BTreeMap<&'static str, String>);

/// Method, path and what answers.
type Row = (&'static str, &'static str, fn(&Asked) -> Answer);

impl Endpoints {
    pub(crate) fn new() -> Self {
        let mut all = Vec::new();
        for spec in &VERBS {
            // Restore is create with an option.
            if let Some(twin) = spec.api.filter(|_| spec.verb != Verb::Restore) {
                let verb = spec.verb;
                let run = Run::Answer(Arc::new(move |asked| lxc::verb(asked, verb)));
                all.push(Endpoint { method: twin.method, path: twin.path, run });
            }
        }
        let tables: [&[Row]; 6] = [
            access::ENDPOINTS,
            cluster::ENDPOINTS,
            lxc::ENDPOINTS,
            node::ENDPOINTS,
            storage::ENDPOINTS,
            tasks::ENDPOINTS,
        ];
        for (method, path, run) in tables.into_iter().flatten() {
            all.push(Endpoint { method, path, run: Run::Answer(Arc::new(run)) });
        }
        all.push(Endpoint {
            method: "POST",
            path: "/nodes/{node}/storage/{storage}/upload",
            run: Run::Upload,
        });
        Self(all)
    }

    /// Finds the endpoint of a path. For GET on a path without an endpoint but with others below it, the answer is
    /// their names.
    ///
    /// # Errors
    /// 400 for a path that is not UTF-8.
    pub(crate) fn find(&self, method: &str, path: &str) -> Result<Option<Found>, Refusal> {
        let parts: Result<Vec<String>, Refusal> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(part.as_bytes(), false))
            .collect();
        let parts = parts?;
        for endpoint in self.0.iter().filter(|endpoint| endpoint.method == method) {
            let names: Vec<&'static str> = segments(endpoint.path).collect();
            // A volume's name has slashes: it is the rest of the path.
            let is_rest = names.last() == Some(&"{volume}") && parts.len() > names.len();
            let parts = if is_rest { joined(&parts, names.len()) } else { parts.clone() };
            if names.len() != parts.len() {
                continue;
            }
            if let Some(place) = matched(&names, &parts) {
                return Ok(Some((endpoint.run.clone(), place)));
            }
        }
        Ok(if method == "GET" { self.index(&parts) } else { None })
    }

    fn index(&self, parts: &[String]) -> Option<Found> {
        let mut names: Vec<&'static str> = Vec::new();
        let mut place = BTreeMap::new();
        for endpoint in &self.0 {
            let all: Vec<&'static str> = segments(endpoint.path).collect();
            let Some(next) = all.get(parts.len()).filter(|next| !next.starts_with('{')) else { continue };
            if let Some(found) = matched(&all[..parts.len()], parts) {
                place.extend(found);
                if !names.contains(next) {
                    names.push(next);
                }
            }
        }
        if names.is_empty() {
            return None;
        }
        names.sort_unstable();
        let list: Vec<Value> = names.iter().map(|name| json!({ "name": name, "subdir": name })).collect();
        let run = move |asked: &Asked| {
            asked.check_node()?;
            asked.params.check(&[])?;
            Ok(Reply::Data(Value::Array(list.clone())))
        };
        Some((Run::Answer(Arc::new(run)), place))
    }
}

fn segments(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// The parts, with everything from the last place on joined into one.
fn joined(parts: &[String], count: usize) -> Vec<String> {
    let (first, rest) = parts.split_at(count.saturating_sub(1));
    first.iter().cloned().chain([rest.join("/")]).collect()
}

fn matched(names: &[&'static str], parts: &[String]) -> Option<BTreeMap<&'static str, String>> {
    let mut place = BTreeMap::new();
    for (name, part) in names.iter().zip(parts) {
        match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => {
                place.insert(name, part.clone());
            }
            None if name == part => {}
            None => return None,
        }
    }
    Some(place)
}

impl Asked {
    pub(crate) fn node(&self) -> &pvect_node::Node {
        &self.shared.node
    }

    /// Returns a part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.place.get(name).map_or("", String::as_str)
    }

    /// Refuses another node than this one, because there is no cluster to pass the request on to.
    pub(crate) fn check_node(&self) -> Result<(), Refusal> {
        match self.place.get("node") {
            Some(name) if name != "localhost" && name != self.node().name.as_str() => {
                Err(Refusal::failed(format!(
                    "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Returns the container of the path.
    pub(crate) fn vmid(&self) -> Result<Vmid, Refusal> {
        let text = self.part("vmid");
        text.parse().map_err(|_| match text.parse::<i64>() {
            Ok(_) => Refusal::parameter("vmid", "invalid format - value does not look like a valid VM ID\n"),
            Err(_) => Refusal::parameter("vmid", format!("type check ('integer') failed - got '{text}'")),
        })
    }

    pub(crate) fn rights(&self) -> Result<UserConfig, Refusal> {
        self.shared.users.load().map_err(|error| Refusal::failed(error.to_string()))
    }

    /// Refuses a user without this privilege.
    pub(crate) fn check(&self, path: &str, privilege: &str) -> Result<(), Refusal> {
        self.check_any(path, &[privilege])
    }

    /// Refuses a user without any of these privileges.
    pub(crate) fn check_any(&self, path: &str, privileges: &[&str]) -> Result<(), Refusal> {
        let rights = self.rights()?;
        match privileges.iter().any(|privilege| rights.may(&self.who, path, privilege)) {
            true => Ok(()),
            false => Err(Refusal::forbidden(&format!("{path}, {}", privileges.join("|")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_twin_has_its_endpoint() {
        let endpoints = Endpoints::new();
        for spec in &VERBS {
            let Some(twin) = spec.api else { continue };
            let path = twin.path.replace("{node}", "vm").replace("{vmid}", "101").replace("{snapname}", "s1");
            assert!(endpoints.find(twin.method, &path).unwrap().is_some(), "{}", spec.name);
        }
        for (method, path, found) in [
            ("GET", "/", true),
            ("GET", "/nodes/vm", true),
            ("GET", "/nodes/vm/lxc/101", true),
            ("GET", "/nodes/vm/lxc/101/status", true),
            ("GET", "/nodes/vm/qemu", false),
            ("PUT", "/version", false),
            ("GET", "/version/", true),
            ("POST", "/nodes/vm/lxc/101/vncproxy", false),
            ("DELETE", "/nodes/vm/storage/local/content/local:vztmpl/a.tar", true),
            ("DELETE", "/nodes/vm/storage/local/content/local%3Avztmpl%2Fa.tar", true),
            ("DELETE", "/nodes/vm/storage/local/content", false),
        ] {
            assert_eq!(endpoints.find(method, path).unwrap().is_some(), found, "{method} {path}");
        }
    }
}
