//! How full the root file systems of containers are.
//!
//! In a running container anything may be its root: a FUSE file system is answered for by a program of the guest, which
//! may never answer, and who waits for it can then not even be killed. So only file systems that the kernel answers for
//! by itself are asked here; the others are asked by a process of its own, which is left behind when it hangs.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstatvfs, open, statx};
use rustix::io::{read, retry_on_intr};

/// How long any other file system may take to say how full it is. Source: pve-container, `vmstatus`.
const ANSWER: Duration = Duration::from_secs(1);
/// How often to check whether it has answered.
const STEP: Duration = Duration::from_millis(2);
/// How much of a table of mounts is read: the root is at its beginning.
const TABLE_LIMIT: usize = 64 << 10;
/// The program that asks.
const PROGRAM: &str = "/usr/bin/stat";

/// File systems for which the kernel answers by itself. An overlay is not one of them: it may be on top of any file
/// system.
const OF_KERNEL: [&[u8]; 14] = [
    b"ext4",
    b"ext3",
    b"ext2",
    b"xfs",
    b"btrfs",
    b"zfs",
    b"tmpfs",
    b"ramfs",
    b"rootfs",
    b"f2fs",
    b"bcachefs",
    b"squashfs",
    b"erofs",
    b"vfat",
];

/// Returns used and total bytes of the root file system of a process, as `df` counts them; `None` if they cannot be
/// determined, or not in time.
pub(crate) fn root_use(proc_root: &Path, pid: u32) -> Option<(u64, u64)> {
    let directory = proc_root.join(pid.to_string());
    let root = directory.join("root");
    if is_of_kernel(&directory, &root) != Some(true) {
        return ask(&root, Path::new(PROGRAM), ANSWER);
    }
    // Since the check it can only have become another mount if init itself changed its root.
    let fs = fstatvfs(open(&root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
    Some((bytes(fs.f_blocks.saturating_sub(fs.f_bfree)), bytes(fs.f_blocks)))
}

/// Whether a process's root is on a file system of the kernel's own; `None` when it is not in the table of mounts.
fn is_of_kernel(directory: &Path, root: &Path) -> Option<bool> {
    // This does not ask the file system: the kernel itself knows the number of the mount.
    let found = statx(CWD, root, AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID).ok()?;
    if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        // Before Linux 5.8 there is no such number: it may be any file system.
        return Some(false);
    }
    Some(OF_KERNEL.contains(&kind_of(directory, found.stx_mnt_id)?.as_slice()))
}

/// The kind of file system of a mount. Source: proc_pid_mountinfo(5).
fn kind_of(directory: &Path, mount: u64) -> Option<Vec<u8>> {
    let file = open(directory.join("mountinfo"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (mut table, mut room) = (Vec::new(), [0; 1024]);
    let mut number = String::new();
    write!(number, "{mount} ").ok()?;
    while table.len() < TABLE_LIMIT {
        // The kernel produces only as many lines as are read, and the root's is usually the first.
        let count = retry_on_intr(|| read(&file, &mut room)).ok()?;
        if count == 0 {
            return None;
        }
        table.extend_from_slice(&room[..count]);
        let end = table.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = table[..end].split(|byte| *byte == b'\n');
        if let Some(line) = lines.find(|line| line.starts_with(number.as_bytes())) {
            let mut words = line.split(|byte| *byte == b' ').skip_while(|word| *word != b"-").skip(1);
            return words.next().map(<[u8]>::to_vec);
        }
    }
    None
}

/// Asks through a program. If the program hangs, it is killed, and a thread reaps it when it ends.
fn ask(root: &Path, program: &Path, limit: Duration) -> Option<(u64, u64)> {
    let mut child = Command::new(program)
        .args(["--file-system", "--format=%S %b %f", "--"])
        .arg(root)
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                let _ = child.kill();
                // It may hang in the kernel, and must not remain as a zombie when it ends.
                std::thread::spawn(move || child.wait());
                return None;
            }
            None => std::thread::sleep(STEP),
        }
    };
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut()?, &mut text).ok()?;
    let numbers: Vec<u64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [size, blocks, free] if status.success() => {
            let bytes = |count: u64| count.saturating_mul(size);
            Some((bytes(blocks.saturating_sub(free)), bytes(blocks)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cgroup::tests::put;

    fn number_of(path: &Path) -> u64 {
        statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).unwrap().stx_mnt_id
    }

    #[test]
    fn the_kind_is_that_of_the_roots_mount() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let number = number_of(&root);
        let line =
            |number: u64, kind: &str| format!("{number} 30 0:50 / / rw,nosuid shared:5 - {kind} x rw\n");
        let look = |table: &str| {
            put(dir.path(), "mountinfo", table);
            is_of_kernel(dir.path(), &root)
        };
        assert_eq!(look(&line(number, "ext4")), Some(true));
        for kind in ["fuse", "fuse.sshfs", "fuseblk", "overlay", "nfs4", "9p", "ext", "ext44"] {
            assert_eq!(look(&line(number, kind)), Some(false), "{kind}");
        }
        // Another mount at the same place does not count; the right one may come late.
        assert_eq!(look(&line(number * 10, "ext4")), None);
        let many = line(number * 10, "ext4").repeat(100) + &line(number, "fuse");
        assert_eq!(look(&many), Some(false));
        assert_eq!(look(&format!("{number} 30 0:50 / / rw")), None);
    }

    #[test]
    fn our_own_root_is_measured() {
        let measured = root_use(Path::new("/proc"), std::process::id()).unwrap();
        assert!(measured.1 > 0 && measured.0 <= measured.1, "{measured:?}");
        // Both ways agree.
        let asked = ask(Path::new("/"), Path::new(PROGRAM), Duration::from_secs(30)).unwrap();
        assert_eq!(asked.1, measured.1);
    }

    #[test]
    fn one_that_does_not_answer_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("hangs");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let begun = Instant::now();
        assert_eq!(ask(Path::new("/"), &program, Duration::from_millis(50)), None);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        for text in ["#!/bin/sh\necho 1 2\n", "#!/bin/sh\necho 1 2 3; exit 1\n"] {
            std::fs::write(&program, text).unwrap();
            assert_eq!(ask(Path::new("/"), &program, Duration::from_secs(30)), None, "{text}");
        }
    }
}
