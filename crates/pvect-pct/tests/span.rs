//! What is logged of a run. A program of its own: tests beside it, which have no subscriber, would decide whether the
//! places that log are asked at all.

#![allow(clippy::unwrap_used)] // a test may; clippy sees only functions marked as tests

use pvect_core::{Call, CheckedCall, Operate, Verb, Vmid};
use pvect_pct::{PctBackend, PctConfig};

const SECRET: &str = "hunter22";

/// A log in memory.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_run_is_one_span_without_secrets() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("pct");
    std::fs::write(&script, "exit 3\n").unwrap();
    let backend = PctBackend::new(PctConfig {
        prefix_args: vec![script.display().to_string()],
        require_root: false,
        ..PctConfig::new("/bin/sh")
    });
    let vmid = Vmid::try_from(101).unwrap();
    let call = Call::on(Verb::Create, vmid).arg("local:vztmpl/x.tar.gz").secret("password", SECRET.into());
    let error = backend.operate(&CheckedCall::check(call).unwrap(), &mut ()).await.unwrap_err();
    assert!(!format!("{error:?}").contains(SECRET));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains(SECRET), "{text}");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["target"] == "pvect_pct::backend")
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    let span = &lines[0]["span"];
    assert_eq!(span["name"], "pct");
    assert_eq!(span["verb"], "create");
    assert_eq!(span["vmid"], 101);
    assert_eq!(span["argv"], "create 101 local:vztmpl/x.tar.gz --password");
    assert_eq!(span["exit"], "exit status 3");
    assert!(span["duration_ms"].is_u64(), "{span}");
}
