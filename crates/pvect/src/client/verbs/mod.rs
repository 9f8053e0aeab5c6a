//! Every verb of pct as a typed method, a file for each concern. [`Client::carry_out`] takes any [`pvect_core::Call`].

mod files;
mod lifecycle;
mod node;
mod settings;
mod snapshots;
mod volumes;

pub use files::GuestCommand;
pub use node::RemoteEndpoint;

use pvect_core::{Call, Outcome, Result};

use crate::Client;
use crate::client::Manner;

impl Client {
    /// Carries out a call in the careful manner, without reporting its log.
    async fn ask(&self, call: &Call) -> Result<Outcome> {
        self.carry_out(call, &Manner::default(), &mut ()).await
    }
}
