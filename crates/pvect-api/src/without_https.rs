//! Stands in for `http` in a build without the feature `https`.

use std::convert::Infallible;
use std::time::Duration;

use pvect_core::{Error, Result};

use crate::answer::Raw;
use crate::config::{ApiConfig, Credentials};
use crate::fault::About;
use crate::ticket::Ticket;

/// Never made.
pub(crate) struct Http(Infallible);

impl Http {
    /// # Errors
    /// [`Error::Unsupported`], always.
    pub(crate) fn new(_config: &ApiConfig) -> Result<Self> {
        let what = "this build cannot use the HTTPS API: it was made without the feature 'https'".to_owned();
        Err(Error::Unsupported { what, vmid: None })
    }

    #[expect(clippy::unused_async, reason = "it is called as the one that sends is")]
    pub(crate) async fn send(
        &self,
        _about: &About<'_>,
        _credentials: &Credentials,
        _ticket: Option<&Ticket>,
        _limit: Duration,
    ) -> Result<Raw> {
        match self.0 {}
    }
}
