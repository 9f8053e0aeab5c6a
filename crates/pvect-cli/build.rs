//! Links the unwinder of GCC into the program instead of libgcc_s.so.1.
//!
//! Loading that library is a tenth of the time that a read takes, and on a virtual machine more: it asks for the CPU's
//! features (CPUID), which traps. Where the archive is not beside the compiler, the shared library is used as ever.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let native = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    if !native || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // What it does not find it prints as it was given.
    let asked = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    let path =
        asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if Path::new(&path).is_absolute() && Path::new(&path).exists() {
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle=gcc_eh");
    }
}
