//! Other programs of the node than pct, run the same way.

use pvect_core::error::{Exit, Finding, Run};
use pvect_core::schema::TimeClass;
use pvect_core::{Call, Error, Result, Verb};

use crate::backend::{Captured, PctBackend};
use crate::config::{PctConfig, Transport};
use crate::program;
use crate::runner::{Request, Streams};

impl PctConfig {
    /// Returns how another program of this machine is run: the one beside pct, or else the node's own. A path is used
    /// as it is. Through sudo, a program that cannot be seen is assumed to be beside pct.
    ///
    /// # Errors
    /// [`Finding::NoProgram`]. `words` are the arguments that it was to get.
    pub fn beside(&self, program: &str, words: &[String]) -> Result<Self> {
        // Perhaps only root can see the program.
        let unseen = || {
            let sudo = matches!(self.transport, Transport::Sudo { .. });
            sudo.then(|| self.program.with_file_name(program))
        };
        let Some(path) = program::find_beside(&self.program, program).or_else(unseen) else {
            let argv = std::iter::once(program.to_owned()).chain(words.iter().cloned()).collect();
            return Err(Error::Found {
                finding: Finding::NoProgram { program: program.to_owned() },
                vmid: None,
                run: Some(Box::new(Run { argv, ..Run::default() })),
            });
        };
        Ok(Self { program: path, prefix_args: Vec::new(), ..self.clone() })
    }
}

impl PctBackend {
    /// Runs another program of the node, in the same way as pct, with the time limit of a class. A name without a
    /// directory means the program beside pct, or else the node's own.
    ///
    /// # Errors
    /// When it does not exist or cannot be run to its end. A status other than 0 is not an error.
    pub async fn run_other(&self, program: &str, words: &[&str], class: TimeClass) -> Result<Captured> {
        let config = self.pct_config();
        let config = match config.transport.ssh() {
            Some(_) => PctConfig { program: program.into(), prefix_args: Vec::new(), ..config.clone() },
            None => config.beside(program, &owned(words))?,
        };
        Self::new(config).with_cancel(self.runner.cancel().clone()).run_words(words, class).await
    }

    /// Runs the program with words of any kind, and with the time limit of a class.
    ///
    /// # Errors
    /// As [`PctBackend::run_other`].
    pub async fn run_words(&self, words: &[&str], class: TimeClass) -> Result<Captured> {
        let call = Call::new(Verb::List);
        let request = Request {
            shown: owned(words),
            words: owned(words),
            limit: self.pct_config().limit_of(class),
            stop_on_flood: true,
            ..Request::default()
        };
        let finished = self.ended(&call, &request, Streams::default(), &mut ()).await?;
        match finished.exit {
            Some(Exit::Status(status)) => {
                Ok(Captured { status, stdout: finished.stdout, stderr: finished.stderr })
            }
            _ => self.verdict(&call, &finished).map(|_| Captured::default()),
        }
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_root_can_see_is_not_missing_for_sudo() {
        let dir = tempfile::tempdir().unwrap();
        let local = PctConfig::new(dir.path().join("pct"));
        assert!(local.beside("no-such-program", &[]).is_err());
        let sudo = PctConfig { transport: Transport::sudo(), ..local };
        assert_eq!(sudo.beside("no-such-program", &[]).unwrap().program, dir.path().join("no-such-program"));
    }
}
