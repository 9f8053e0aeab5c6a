//! What all requests share.

use pvect_node::Node;

use crate::error::ServeError;
use crate::options::Options;
use crate::refusal::Refusal;
use crate::ticket::Tickets;
use crate::users::Users;
use crate::work::Workers;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) node: Node,
    pub(crate) users: Users,
    pub(crate) tickets: Tickets,
    pub(crate) workers: Workers,
    pub(crate) options: Options,
}

impl Shared {
    pub(crate) fn new(node: Node, options: Options) -> Result<Self, ServeError> {
        let users = Users::new(&node);
        let dir = users.secret_dir().map_err(ServeError::Users)?;
        let tickets = Tickets::load(&dir)
            .map_err(|source| ServeError::System { what: "no key for tickets".to_owned(), source })?;
        Ok(Self { workers: Workers::new(node.clone()), node, users, tickets, options })
    }
}

/// Runs work that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Refusal::failed("internal error")))
}
