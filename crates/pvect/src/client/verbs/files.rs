//! What happens inside a container: commands, shells, files. [`Client::exec`] keeps what a command writes.

use pvect_core::{Call, Outcome, Result, Verb, Vmid};

use crate::Client;
use crate::client::Manner;
use crate::client::options::TransferOptions;

/// A command that takes over the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestCommand {
    /// A command with its arguments.
    Exec(Vec<String>),
    /// A shell of root.
    Enter,
    /// The console; the letter that ends it after Ctrl-, as in `^b` (`^a` when unset).
    Console(Option<String>),
}

impl Client {
    /// Runs something in a container on the caller's terminal, without the caller's environment; returns its status.
    ///
    /// # Errors
    /// As [`Client::interactive`].
    pub async fn attach(&self, vmid: Vmid, what: &GuestCommand) -> Result<i32> {
        let call = match what {
            GuestCommand::Exec(words) => {
                Call::on(Verb::Exec, vmid).flag("keep-env", false).command(words.clone())
            }
            GuestCommand::Enter => Call::on(Verb::Enter, vmid).flag("keep-env", false),
            GuestCommand::Console(escape) => {
                let call = Call::on(Verb::Console, vmid);
                escape.iter().fold(call, |call, letter| call.option("escape", letter.clone()))
            }
        };
        self.interactive(&self.checked(call)?).await
    }

    /// Copies a file of this machine into a running container and compares both.
    ///
    /// # Errors
    /// `NotRunning`; `PctOperationFailed` when the copy failed, although pct exits with 0 then.
    pub async fn push(&self, vmid: Vmid, file: &str, destination: &str) -> Result<Outcome> {
        self.push_with(vmid, file, destination, &TransferOptions::default()).await
    }

    /// As [`Client::push`], with owner and mode of the copy.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub async fn push_with(
        &self,
        vmid: Vmid,
        file: &str,
        destination: &str,
        options: &TransferOptions,
    ) -> Result<Outcome> {
        let call = Call::on(Verb::Push, vmid).arg(file).arg(destination);
        self.ask(&options.add_to(call)).await
    }

    /// Copies the contents of a directory of this machine into a directory of a running container, with owners and modes,
    /// and compares every file.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub async fn push_directory(&self, vmid: Vmid, directory: &str, destination: &str) -> Result<Outcome> {
        let call = Call::on(Verb::Push, vmid).arg(directory).arg(destination);
        self.carry_out(&call, &Manner { recursive: true, ..Manner::default() }, &mut ()).await
    }

    /// Copies a file of a running container to this machine and compares both.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub async fn pull(&self, vmid: Vmid, path: &str, destination: &str) -> Result<Outcome> {
        self.pull_with(vmid, path, destination, &TransferOptions::default()).await
    }

    /// As [`Client::pull`], with owner and mode of the copy.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub async fn pull_with(
        &self,
        vmid: Vmid,
        path: &str,
        destination: &str,
        options: &TransferOptions,
    ) -> Result<Outcome> {
        let call = Call::on(Verb::Pull, vmid).arg(path).arg(destination);
        self.ask(&options.add_to(call)).await
    }

    /// As [`Client::push_directory`], the other way.
    ///
    /// Device nodes and pipes are left out, and set-user-ID bits removed: what is harmless in a container is not on
    /// its host.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub async fn pull_directory(&self, vmid: Vmid, path: &str, destination: &str) -> Result<Outcome> {
        let call = Call::on(Verb::Pull, vmid).arg(path).arg(destination);
        self.carry_out(&call, &Manner { recursive: true, ..Manner::default() }, &mut ()).await
    }
}
