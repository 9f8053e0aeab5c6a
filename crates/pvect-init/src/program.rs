//! The first program of a container whose configuration has an environment: it becomes the container's own program,
//! with that environment. It is static, and holds on to nothing.

#![forbid(unsafe_code)]

include!("spec.rs");

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Where the node puts what is to be started.
const PATH: &str = "/dev/.pvect-init.spec";
/// More than a kernel takes as command line and environment.
const LIMIT: u64 = 8 << 20;

fn main() -> ExitCode {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(PATH).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes));
    if let Err(error) = read {
        eprintln!("pvect-init: can't read '{PATH}': {error}");
        return ExitCode::from(125);
    }
    let Some(spec) = Spec::parse(&bytes) else {
        eprintln!("pvect-init: '{PATH}' is damaged");
        return ExitCode::from(125);
    };
    let mut words = spec.words.iter().map(|word| OsStr::from_bytes(word));
    let Some(program) = words.next() else { return ExitCode::from(125) };
    let mut command = Command::new(program);
    command.args(words);
    for variable in &spec.variables {
        // As in an environment itself: the first character may be '=' and still belong to the name.
        let end = variable.iter().skip(1).position(|byte| *byte == b'=').map(|end| end + 1);
        if let Some(end) = end {
            command.env(OsStr::from_bytes(&variable[..end]), OsStr::from_bytes(&variable[end + 1..]));
        }
    }
    let error = command.exec();
    eprintln!("pvect-init: can't run '{}': {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}
