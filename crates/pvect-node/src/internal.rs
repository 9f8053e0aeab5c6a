//! Helper verbs that this program runs as a process of its own (hooks of LXC, copies inside a container's
//! namespaces): `pvect __node WORD ...`. They are no interface for users.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use pvect_core::{NodeName, Vmid};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{Gid, LinkNameSpaceType, Uid};

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::transfer::{Target, Wanted};
use crate::{Failure, Layout, Node, NodeResult, Output, runtime, setup, store, worker};

/// The verb that copies stdin into a file of a container: `push-into PID DESTINATION USER GROUP PERMS`, empty words
/// for what is not asked for.
pub(crate) const PUSH_INTO: &str = "push-into";
/// The verb that runs a hook script after a container has ended: `post-stop ROOT NODE VMID`.
pub(crate) const POST_STOP: &str = "post-stop";

/// Runs one helper verb and returns the exit status; what went wrong is on stderr.
pub fn run(words: &[String]) -> u8 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        [PUSH_INTO, pid, destination, user, group, perms] => {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let wanted = Wanted { user: given(user), group: given(group), perms: given(perms) };
            push_into(pid, destination, &wanted)
        }
        [setup::NAME, ids, root, ref below @ ..] => return setup::run_confined(ids, root, below),
        [worker::NAME, root, name] => return worker::run(root, name),
        // LXC adds words of its own.
        [POST_STOP, root, name, vmid, ..] => post_stop(root, name, vmid),
        _ => Err(Failure::new("unknown helper verb")),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.text);
            1
        }
    }
}

/// Joins a container and copies stdin into a file there.
fn push_into(pid: &str, destination: &str, wanted: &Wanted) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    let pid: u32 = pid.parse().map_err(|_| Failure::new("bad process id"))?;
    let source = std::io::stdin().as_fd().try_clone_to_owned();
    let source = source.map_err(|error| Failure::new(format!("failed to read - {}", os_text(&error))))?;
    join(pid)?;
    let attributes = wanted.resolve(Path::new("/"))?;
    Target::create(destination, attributes)?.fill(&File::from(source), &interrupt)
}

/// Makes this process one of a container's: its files, its users, its root's rights.
///
/// The process must have no other thread.
fn join(pid: u32) -> NodeResult<()> {
    let namespace = |name: &str| -> NodeResult<(std::os::fd::OwnedFd, bool)> {
        let path = format!("/proc/{pid}/ns/{name}");
        let failed = |error: std::io::Error| Failure::io("failed to open", Path::new(&path), &error);
        let ours = std::fs::read_link(format!("/proc/self/ns/{name}")).map_err(failed)?;
        let is_other = std::fs::read_link(&path).map_err(failed)? != ours;
        let fd = rustix::fs::openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        Ok((fd.map_err(|errno| failed(errno.into()))?, is_other))
    };
    let failed = |what: &'static str| {
        move |errno: rustix::io::Errno| {
            Failure::new(format!(
                "failed to enter the container's {what} namespace - {}",
                os_text(&errno.into())
            ))
        }
    };
    // Both are opened before the first is entered: /proc is another one then.
    let (mounts, _) = namespace("mnt")?;
    let (users, own_users) = namespace("user")?;
    rustix::thread::move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))
        .map_err(failed("mount"))?;
    rustix::process::chdir("/").map_err(failed("mount"))?;
    if own_users {
        rustix::thread::move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))
            .map_err(failed("user"))?;
        rustix::thread::set_thread_groups(&[])
            .and_then(|()| rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
            .and_then(|()| rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT))
            .map_err(failed("user"))?;
    }
    Ok(())
}

fn post_stop(root: &str, name: &str, vmid: &str) -> NodeResult<()> {
    let bad = |what: &str| Failure::new(format!("bad {what}"));
    let name: NodeName = name.parse().map_err(|_| bad("node name"))?;
    let vmid: Vmid = vmid.parse().map_err(|_| bad("vmid"))?;
    let node = Node { layout: Layout::new(root, name.clone()), name, helper: "/proc/self/exe".into() };
    let config = store::load(&node, vmid)?.config;
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    runtime::run_hookscript(&node, vmid, &config, "post-stop", &mut Output { out: &mut out, err: &mut err })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_are_refused() {
        for words in [&[][..], &["bogus"], &["push-into", "1"], &["push-into", "x", "/x", "", "", ""]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(run(&words), 1, "{words:?}");
        }
    }
}
