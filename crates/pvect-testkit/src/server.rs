//! The HTTPS API of a standalone node, for one test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use crate::TestNode;

/// A running `pvect node serve`. Dropped, it is ended by SIGTERM.
#[derive(Debug)]
pub struct TestServer {
    child: Child,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The SHA-256 fingerprint of its certificate.
    pub fingerprint: String,
}

impl TestServer {
    /// Starts the server of a node on a free port and returns when it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(node: &TestNode) -> Self {
        let mut child = node
            .command(["node", "serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("pvect can be started; build it first");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        let mut next = || lines.next().expect("the server says where it listens").expect("the line is text");
        let first = next();
        let port = first.rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in '{first}'"));
        let second = next();
        let fingerprint = second.strip_prefix("fingerprint ").unwrap_or_default().to_owned();
        Self { child, port, fingerprint }
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it by SIGTERM and returns its exit status.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn stop(mut self) -> i32 {
        self.terminate();
        self.child.wait().expect("the server can be waited for").code().unwrap_or(-1)
    }

    fn terminate(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            let _ = self.child.wait();
        }
    }
}

impl TestNode {
    /// Makes a token of the API with all rights of `root@pam` (or, separated, none) and returns `NAME=SECRET`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn token(&self, name: &str, separated: bool) -> String {
        let privsep = if separated { "1" } else { "0" };
        let secret = self.pvect(&["node", "token", "add", name, "--privsep", privsep]).ok();
        format!("{name}={}", secret.trim())
    }

    /// Gives a user of the API a password.
    ///
    /// # Panics
    /// When it cannot be given.
    pub fn user(&self, name: &str, password: &str) {
        let mut command = self.command(["node", "user", "add", name, "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("pvect can be started");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin.write_all(password.as_bytes()).expect("pvect reads the password");
        drop(stdin);
        assert!(child.wait().expect("pvect can be waited for").success());
    }
}
