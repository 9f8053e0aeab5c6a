//! What pvect does around a call so that pct's traps stay closed: it refuses what pct would do silently, and looks
//! whether what pct reports as done was done.
//!
//! Each file is one concern; `docs/traps.md` describes them for people.

mod address;
mod archive;
mod copy;
mod environment;
mod fingerprint;
mod guard;
mod ha;
mod local_files;
mod make;
mod outside;
mod resize;
mod same;
mod set;
mod template;
mod tree;
mod verify;

use std::time::Duration;

use pvect_core::error::{Exit, Run};
use pvect_core::{Call, CheckedCall, Error, ErrorKind, Events, Outcome, Result, Verb};

use super::Client;

pub(super) use make::as_run;
pub use resize::bytes_in_doubt;

/// How a call is carried out, beyond pct's own options. The default is the careful way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// reboot even if the container is locked, rollback even if it runs.
    pub force: bool,
    /// df of a stopped container, which mounts it.
    pub mount: bool,
    /// Wait until the HA manager has done what was asked.
    pub wait: bool,
    /// start, and create and restore that start: wait until the container has an address, this long at most.
    pub wait_address: Option<Duration>,
    /// A plain number of resize means bytes, as pct takes it.
    pub bytes: bool,
    /// Check that push, pull, resize and template did what they report.
    pub verify: bool,
    /// push and pull whole directories.
    pub recursive: bool,
    /// Let pull fill the disk; without it pull of a directory, and on the standalone node of a file, leaves 5 % free.
    pub fill: bool,
    /// set only what differs from the present configuration.
    pub if_changed: bool,
    /// Let remote-migrate hand its token to pct in argv.
    pub token_in_argv: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            force: false,
            mount: false,
            wait: true,
            wait_address: None,
            bytes: false,
            verify: true,
            recursive: false,
            fill: false,
            if_changed: false,
            token_in_argv: false,
        }
    }
}

impl Client {
    /// Checks one call and carries it out with a [`Manner`].
    ///
    /// # Errors
    /// `InvalidArgument` for values that break the schema; as [`Client::carry_out_checked`].
    pub async fn carry_out(&self, call: &Call, manner: &Manner, events: &mut dyn Events) -> Result<Outcome> {
        self.carry_out_checked(&self.checked(call.clone())?, manner, events).await
    }

    /// Carries out one call with a [`Manner`]; [`pvect_core::Operate::operate`] is this with [`Manner::default`].
    ///
    /// # Errors
    /// As [`pvect_core::Operate::operate`]; [`Error::Refused`] for what has to be asked for explicitly, and
    /// `PctOperationFailed` when pct reports success and the effect is not there; with [`Manner::wait_address`] as
    /// [`Client::wait_for_address`], when all else is done.
    pub async fn carry_out_checked(
        &self,
        call: &CheckedCall,
        manner: &Manner,
        events: &mut dyn Events,
    ) -> Result<Outcome> {
        let call = &*self.checked_again(call)?;
        // On the heap: in one future, what a program awaits would be nested deeper than its compiler goes by default.
        let carried_out = |call, manner, events| Box::pin(self.carry_out_once(call, manner, events));
        let Some(limit) = manner.wait_address else { return carried_out(call, manner, events).await };
        let vmid = address::expected(self, call)?;
        let outcome = carried_out(call, manner, events).await?;
        self.wait_for_address(vmid, limit).await?;
        Ok(outcome)
    }

    async fn carry_out_once(
        &self,
        call: &CheckedCall,
        manner: &Manner,
        events: &mut dyn Events,
    ) -> Result<Outcome> {
        if self.check {
            // Check this before anything is read, so that pct is not started for a wrong value.
            local_files::check(call, self.node.config.transport.ssh().is_none())?;
        }
        self.node.refuse_machines(call)?;
        if !self.way.takes_care_of(call.verb()) {
            return self.plain(call, events).await;
        }
        // The real one fills a disk without being asked.
        let call = &match manner.fill && self.node.config.json_list && call.verb() == Verb::Pull {
            true => call.clone().with_passthrough(["--fill".to_owned(), "1".to_owned()]),
            false => call.clone(),
        };
        match call.verb() {
            Verb::Resize => resize::run(self, call, manner, events).await,
            Verb::Template => template::run(self, call, manner, events).await,
            Verb::Push | Verb::Pull if manner.recursive => tree::run(self, call, manner, events).await,
            Verb::Push | Verb::Pull => copy::run(self, call, manner, events).await,
            Verb::Create | Verb::Restore => make::run(self, call, manner, events).await,
            Verb::Set => set::run(self, call, manner, events).await,
            Verb::Start | Verb::Stop | Verb::Shutdown | Verb::Migrate => {
                ha::run(self, call, manner, events).await
            }
            Verb::Reboot | Verb::Rollback | Verb::Df | Verb::RemoteMigrate => {
                guard::check(self, call, manner).await?;
                self.plain(call, events).await
            }
            _ => self.plain(call, events).await,
        }
    }
}

/// The error for a missing effect although pct reports success.
fn not_done(client: &Client, call: &Call, outcome: &Outcome, message: String) -> Error {
    let run = Run {
        argv: client.command_line(call),
        exit: Some(Exit::Status(outcome.status)),
        stdout: String::from_utf8_lossy(&outcome.stdout).into_owned(),
        stderr: String::new(),
    };
    let kind = ErrorKind::PctOperationFailed;
    Error::Failed { kind, message, vmid: call.vmid(), run: Box::new(run) }
}
