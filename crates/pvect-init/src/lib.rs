//! Starts a container's program with its environment, and with that environment in force nowhere else.
//!
//! LXC 5 and 6.0 set `lxc.environment` before they run hooks, which are programs of the host: an image that brings
//! `LD_PRELOAD` would run its own code there. So the environment of a container travels in a file that only its first
//! program can read, and [`PROGRAM`], started by LXC with nothing of it, takes it from there and becomes the container's
//! own program.

mod spec;

pub use spec::Spec;

/// The program: a static executable for this machine.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pvect-init"));
/// Where the container has the program. `/dev` is a file system of LXC's: nothing is left in the container's own.
pub const PROGRAM_PATH: &str = "/dev/.pvect-init";
/// Where the container has the bytes of the [`Spec`].
pub const SPEC_PATH: &str = "/dev/.pvect-init.spec";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let spec = Spec {
            words: vec![b"/bin/sh".to_vec(), Vec::new(), b"a b\n".to_vec()],
            variables: vec![b"A=b=c".to_vec(), b"\xff=".to_vec()],
        };
        assert_eq!(Spec::parse(&spec.to_bytes()), Some(spec));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        for bytes in [&b""[..], b"Ax", b"Ax\0Ey", b"Xx\0", b"\0", b"EA=1\0"] {
            assert_eq!(Spec::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_program_needs_no_library() {
        assert_eq!(&PROGRAM[..4], b"\x7fELF");
        let interpreter = b"/ld-linux";
        assert!(!PROGRAM.windows(interpreter.len()).any(|window| window == interpreter));
    }
}
