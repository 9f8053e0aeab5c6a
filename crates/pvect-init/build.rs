//! Builds `src/program.rs`, linked statically: it runs in root file systems that have no libraries.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/program.rs");
    println!("cargo::rerun-if-changed=src/spec.rs");
    let directory = env::var("OUT_DIR")?;
    let output = Path::new(&directory).join("pvect-init");
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "pvect_init"]);
    rustc.args(["--target", &env::var("TARGET")?]);
    let options = [
        "target-feature=+crt-static",
        "relocation-model=static",
        "panic=abort",
        "opt-level=s",
        "strip=symbols",
    ];
    rustc.args(options.iter().flat_map(|option| ["-C", option]));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.arg("-o").arg(&output).arg("src/program.rs");
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("the static program cannot be built ({status}): is libc6-dev installed?").into());
    }
    Ok(())
}
