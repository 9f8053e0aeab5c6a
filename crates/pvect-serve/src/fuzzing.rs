//! What the fuzz target calls; not for programs.

use std::sync::LazyLock;

use pvect_core::{Call, Verb};

use crate::api::Endpoints;
use crate::params::Params;

static ENDPOINTS: LazyLock<Endpoints> = LazyLock::new(Endpoints::new);

/// The call that a request makes, from the parameters of the query and of the body, as JSON or as a form. `None` when
/// they are refused.
pub fn call_of(verb: Verb, query: &[u8], body: &[u8], is_json: bool) -> Option<Call> {
    let mut params = Params::of_form(query).ok()?;
    params.merge(if is_json { Params::of_json(body) } else { Params::of_form(body) }.ok()?).ok()?;
    params.call(verb).ok()
}

/// The parts of a path that vary, for a method and a path that an endpoint has.
pub fn place_of(method: &str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (_, place) = ENDPOINTS.find(method, path).ok()??;
    Some(place.into_iter().collect())
}
