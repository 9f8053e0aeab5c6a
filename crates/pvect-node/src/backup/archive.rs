//! Writes an archive: GNU tar, run as the container's own root, packed on the way into the file.
//!
//! As vzdump does it: in a user namespace with the container's map of ids, so owners are those that the container
//! sees, and tar can reach nothing that the container's root could not. The directories are handed over open, as its
//! working directory and its stdin: their paths on the host need not be open to that user.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pvect_core::config::IdMap;

use super::options::Compress;
use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::tool::Watcher;
use crate::{Failure, NodeResult};

const BLOCK: usize = 256 * 1024;
/// The size of the pipe for tar's output, in bytes: the largest that Linux allows every user.
const PIPE: usize = 1 << 20;
/// How much of tar's messages is kept, in bytes.
const WORDS_LIMIT: u64 = 256 * 1024;
/// The level of the program zstd.
const ZSTD_LEVEL: i32 = 3;
/// Source: pve-storage, `COMMON_TAR_FLAGS`, and pve-container's vzdump.
const FLAGS: [&str; 13] = [
    "cpf",
    "-",
    "--totals",
    "--one-file-system",
    "-p",
    "--sparse",
    "--numeric-owner",
    "--acls",
    "--xattrs",
    "--xattrs-include=user.*",
    "--xattrs-include=security.capability",
    "--warning=no-file-ignored",
    "--warning=no-xattr-write",
];

/// What goes into an archive.
pub(super) struct Contents<'a> {
    /// Where `etc/vzdump/pct.conf` and `pct.fw` lie.
    pub(super) config: &'a Path,
    /// The root of the container.
    pub(super) root: OwnedFd,
    /// `.`, and `./path` of each mount point.
    pub(super) sources: Vec<String>,
    /// Patterns; those that begin with `/` are anchored at the root.
    pub(super) excludes: &'a [String],
    /// The map of ids; empty for a privileged container.
    pub(super) id_maps: &'a [IdMap],
}

/// How an archive is packed and written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub(super) compress: Compress,
    /// How many threads zstd packs with: 0 is half of the cores, `None` all of them.
    pub(super) zstd: Option<u64>,
    /// KiB per second of what tar writes; 0 is no limit.
    pub(super) bwlimit: u64,
}

impl Packing {
    /// The real vzdump uses one thread unless told otherwise, which leaves most of the host's cores idle.
    fn threads(self) -> u32 {
        /// The most that zstd accepts.
        const MOST: u64 = 256;
        let cores = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let wanted = match self.zstd {
            None => cores,
            Some(0) => cores / 2,
            Some(count) => count,
        };
        u32::try_from(wanted.clamp(1, MOST)).unwrap_or(1)
    }
}

/// Writes the archive into a file; what tar says goes to `log`.
///
/// # Errors
/// When tar fails or is missing, or the file cannot be written; `interrupted by signal`.
pub(super) fn write(
    contents: &Contents<'_>,
    file: File,
    packing: Packing,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    let words = words(contents);
    let root = contents.root.try_clone();
    let root = root.map_err(|error| Failure::new(format!("can't open the root - {}", os_text(&error))))?;
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(contents.config)
        .process_group(0)
        .stdin(Stdio::from(root))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::not_installed(&words[0], "lxc tar"),
            _ => Failure::new(format!("can't run {} - {}", words[0], os_text(&error))),
        })?;
    let watcher = Watcher::start(&child, interrupt.flag());
    let copied = pack(&mut child, file, packing, log);
    if copied.is_err() {
        let _ = child.kill();
    }
    // Before the wait: until then the process id certainly belongs to the child.
    drop(watcher);
    let status =
        child.wait().map_err(|error| Failure::new(format!("can't wait for tar - {}", os_text(&error))))?;
    interrupt.check()?;
    let written = copied?;
    if !status.success() {
        let reason = match status.code() {
            Some(code) => format!("exit code {code}"),
            None => "got a signal".to_owned(),
        };
        return Err(Failure::new(format!("command '{}' failed: {reason}", words.join(" "))));
    }
    written.sync_all().map_err(|error| Failure::new(format!("can't sync the archive - {}", os_text(&error))))
}

/// Moves tar's output into the file; returns the file.
fn pack(child: &mut Child, file: File, packing: Packing, log: &mut dyn FnMut(&str)) -> NodeResult<File> {
    let failed =
        |error: std::io::Error| Failure::new(format!("can't write the archive - {}", os_text(&error)));
    let (Some(mut from), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::new("tar has no output"));
    };
    let said = std::thread::spawn(move || {
        let mut lines = BufReader::new(errors.take(WORDS_LIMIT));
        let mut all = Vec::new();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            all.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
        // Read on beyond the limit: a full pipe would stop tar.
        let _ = std::io::copy(&mut lines.into_inner().into_inner(), &mut std::io::sink());
        all
    });
    // A large pipe lets tar go on while a block is compressed. If the system does not allow one, the backup only takes
    // longer.
    let _ = rustix::pipe::fcntl_setpipe_size(&from, PIPE);
    let mut packer = Packer::new(file, packing).map_err(failed)?;
    let copied = copy(&mut from, &mut packer, packing.bwlimit).map_err(failed);
    // Otherwise tar would block on a full pipe and keep its stderr open.
    drop(from);
    for line in said.join().unwrap_or_default() {
        log(&line);
    }
    copied?;
    packer.finish().map_err(failed)
}

fn copy(from: &mut impl Read, to: &mut impl Write, kib_per_second: u64) -> std::io::Result<()> {
    let mut block = vec![0; BLOCK];
    let (started, mut sum) = (Instant::now(), 0_u64);
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&block[..count])?;
        sum += count as u64;
        if let Some(milliseconds) = (sum * 1000).checked_div(kib_per_second * 1024) {
            std::thread::sleep(Duration::from_millis(milliseconds).saturating_sub(started.elapsed()));
        }
    }
}

fn words(contents: &Contents<'_>) -> Vec<String> {
    let mut words = Vec::new();
    if !contents.id_maps.is_empty() {
        words.push("lxc-usernsexec".to_owned());
        for map in contents.id_maps {
            let kind = if map.user { 'u' } else { 'g' };
            words.push("-m".to_owned());
            words.push(format!("{kind}:{}:{}:{}", map.container, map.host, map.count));
        }
        words.push("--".to_owned());
    }
    words.push("tar".to_owned());
    words.extend(FLAGS.map(str::to_owned));
    words.extend(["./etc/vzdump/pct.conf", "./etc/vzdump/pct.fw"].map(str::to_owned));
    words.push("--directory=/proc/self/fd/0".to_owned());
    words.push("--no-anchored".to_owned());
    if !contents.id_maps.is_empty() {
        words.push("--exclude=lost+found".to_owned());
    }
    let anchored = |pattern: &&String| pattern.starts_with('/');
    words.extend(contents.excludes.iter().filter(|one| !anchored(one)).map(|one| format!("--exclude={one}")));
    words.push("--anchored".to_owned());
    words.extend(contents.excludes.iter().filter(anchored).map(|one| format!("--exclude=.{one}")));
    words.extend(contents.sources.iter().cloned());
    words
}

/// A file that is compressed as it is written.
enum Packer {
    Plain(File),
    Gzip(flate2::write::GzEncoder<File>),
    Zstd(zstd::stream::write::Encoder<'static, File>),
}

impl Packer {
    fn new(file: File, packing: Packing) -> std::io::Result<Self> {
        Ok(match packing.compress {
            Compress::None => Self::Plain(file),
            Compress::Gzip => Self::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Compress::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                // With one thread, zstd compresses in ours.
                if packing.threads() > 1 {
                    encoder.multithread(packing.threads())?;
                }
                Self::Zstd(encoder)
            }
        })
    }

    fn finish(self) -> std::io::Result<File> {
        match self {
            Self::Plain(file) => Ok(file),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> OwnedFd {
        File::open("/").unwrap().into()
    }

    #[test]
    fn tar_is_run_as_vzdump_does() {
        let excludes = ["/tmp/?*".to_owned(), "*.bak".to_owned()];
        let map = IdMap { user: true, container: 0, host: 100_000, count: 65_536 };
        let contents = Contents {
            config: Path::new("/"),
            root: directory(),
            sources: vec![".".into(), "./data".into()],
            excludes: &excludes,
            id_maps: &[map],
        };
        let line = words(&contents).join(" ");
        assert!(line.starts_with("lxc-usernsexec -m u:0:100000:65536 -- tar cpf - --totals "), "{line}");
        let end = "--no-anchored --exclude=lost+found --exclude=*.bak --anchored --exclude=./tmp/?* . ./data";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn zstd_takes_the_cores_that_it_may() {
        let threads = |zstd| Packing { compress: Compress::Zstd, zstd, bwlimit: 0 }.threads();
        let cores = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
        assert_eq!(threads(None), cores.min(256));
        assert_eq!(threads(Some(0)), (cores / 2).clamp(1, 256));
        assert_eq!((threads(Some(1)), threads(Some(3)), threads(Some(u64::MAX))), (1, 3, 256));
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
        for zstd in [Some(1), Some(4)] {
            let mut file = tempfile::tempfile().unwrap();
            let packing = Packing { compress: Compress::Zstd, zstd, bwlimit: 0 };
            let mut packer = Packer::new(file.try_clone().unwrap(), packing).unwrap();
            packer.write_all(&bytes).unwrap();
            packer.finish().unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            assert!(zstd::decode_all(file).unwrap() == bytes, "{zstd:?}");
        }
    }

    #[test]
    fn a_limit_slows_down() {
        let mut to = Vec::new();
        let started = Instant::now();
        copy(&mut &[7_u8; 20_480][..], &mut to, 200).unwrap();
        assert_eq!(to.len(), 20_480);
        assert!(started.elapsed() >= Duration::from_millis(95));
    }
}
