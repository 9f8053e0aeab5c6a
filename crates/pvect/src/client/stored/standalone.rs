//! What the storages of the standalone node keep, by the node's own program: its helper verbs answer in JSON.

use std::path::Path;

use pvect_core::error::Finding;
use pvect_core::schema::TimeClass;
use pvect_core::{Error, ErrorKind, NodeName, Result, VolumeId};
use pvect_pct::Captured;
use pvect_rootfs::{Failure, FailureKind};
use serde::de::DeserializeOwned;

use super::tables::{first_line, run_of};
use crate::Client;

impl Client {
    /// Lists what is on a storage.
    pub(super) async fn standalone_list<T: DeserializeOwned>(
        &self,
        verb: &str,
        (root, node): (&Path, &NodeName),
        storage: &str,
    ) -> Result<Vec<T>> {
        let words = [verb, &root.to_string_lossy(), node.as_str(), storage];
        let done = self.node.helper(TimeClass::Read).run_words(&words, TimeClass::Read).await?;
        answer(&done, &words)
    }

    /// Removes a template.
    pub(super) async fn standalone_remove(
        &self,
        (root, node): (&Path, &NodeName),
        volume: &VolumeId,
    ) -> Result<()> {
        let words = ["remove-template", &root.to_string_lossy(), node.as_str(), volume.as_str()];
        let done = self.node.helper(TimeClass::Long).run_words(&words, TimeClass::Long).await?;
        answer(&done, &words)
    }
}

/// Reads the answer of a helper verb: what it found, or its failure.
fn answer<T: DeserializeOwned>(done: &Captured, words: &[&str]) -> Result<T> {
    let run = Box::new(run_of(done, "__node", words));
    let failed = |kind, message| Err(Error::Failed { kind, message, vmid: None, run: run.clone() });
    match serde_json::from_slice::<Result<T, Failure>>(&done.stdout) {
        Ok(Ok(found)) if done.status == 0 => Ok(found),
        Ok(Err(Failure { kind: FailureKind::NoVolume { volume }, .. })) => {
            let finding = Finding::NoTemplate { volume };
            Err(Error::Found { finding, vmid: None, run: Some(run) })
        }
        Ok(Err(Failure { kind: FailureKind::NoStorage { .. }, text, .. })) => {
            failed(ErrorKind::NotFound, text)
        }
        Ok(Err(failure)) => failed(ErrorKind::PctOperationFailed, failure.text),
        Err(error) if done.status == 0 => Err(Error::InvalidOutput { what: error.to_string(), run }),
        _ => {
            let text = first_line(&run.stderr).unwrap_or("the standalone node's program failed").to_owned();
            failed(ErrorKind::PctOperationFailed, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: i32, stdout: &str, stderr: &str) -> Result<Vec<String>> {
        let done = Captured { status, stdout: stdout.into(), stderr: stderr.into() };
        answer(&done, &["templates", "/root", "node", "local"])
    }

    #[test]
    fn an_answer_is_what_was_found_or_the_failure_of_its_kind() {
        assert_eq!(read(0, r#"{"Ok":["a"]}"#, "").unwrap(), ["a"]);
        let of = |failure: Failure| {
            let text = serde_json::to_string(&Err::<(), _>(failure)).unwrap();
            let error = read(1, &text, "text on stderr\n").unwrap_err();
            assert_eq!(error.run().unwrap().stderr, "text on stderr\n");
            assert_eq!(error.run().unwrap().argv[..2], ["__node", "templates"]);
            (error.kind(), error.to_string())
        };
        assert_eq!(
            of(Failure::no_storage("x")),
            (ErrorKind::NotFound, "storage 'x' does not exist".to_owned())
        );
        assert_eq!(
            of(Failure::no_volume(&"local:vztmpl/x.tar.zst".parse().unwrap())),
            (ErrorKind::NotFound, "volume 'local:vztmpl/x.tar.zst' does not exist".to_owned())
        );
        // This is not a missing storage, whatever the text says.
        assert_eq!(
            of(Failure::new("can't read '/x' - it does not exist")),
            (ErrorKind::PctOperationFailed, "can't read '/x' - it does not exist".to_owned())
        );
    }

    #[test]
    fn what_is_not_an_answer_is_a_failure() {
        let error = read(1, "", "unknown helper verb\n").unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::PctOperationFailed, "unknown helper verb")
        );
        assert_eq!(read(0, "?", "").unwrap_err().kind(), ErrorKind::PctInvalidOutput);
        // A status that contradicts the answer.
        assert_eq!(read(1, r#"{"Ok":[]}"#, "").unwrap_err().kind(), ErrorKind::PctOperationFailed);
    }
}
