//! Helper verbs that this program runs as a process of its own (hooks of LXC, copies inside a container's
//! namespaces): `pvect __node WORD ...`. They are no interface for users.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use pvect_core::{NodeName, Vmid};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{Gid, LinkNameSpaceType, Uid};
use serde::Serialize;

use crate::error::os_text;
use crate::helper_verbs::{FILE_SYSTEM_USE, POST_STOP, PUSH_INTO};
use crate::interrupt::Interrupt;
use crate::storage::stored;
use crate::storage::usage::Usage;
use crate::transfer::Target;
use crate::transfer::place::Place;
use crate::transfer::wanted::Wanted;
use crate::{Failure, Layout, Node, NodeResult, Output, backup, runtime, setup, store, worker};

/// Runs one helper verb and returns the exit status; what went wrong is on stderr.
pub fn run(words: &[String]) -> u8 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        [PUSH_INTO, root, users, destination, user, group, perms] => {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let wanted = Wanted { user: given(user), group: given(group), perms: given(perms) };
            push_into([root, users], destination, &wanted)
        }
        [setup::NAME, ids, root, ref below @ ..] => return setup::run_confined(ids, root, below),
        [FILE_SYSTEM_USE, root, path] => Usage::print(Path::new(root), path),
        [worker::NAME, root, name] => return worker::run(root, name),
        // LXC adds words of its own.
        [POST_STOP, root, name, vmid, ..] => post_stop(root, name, vmid),
        [backup::LIST, root, name, storage] => answer(backup::list(root, name, storage)),
        [stored::LIST, root, name, storage] => answer(stored::list(root, name, storage)),
        [stored::REMOVE, root, name, volume] => answer(stored::remove(root, name, volume)),
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

/// Prints what a verb found, or its failure, as a line of JSON: a client decides by the failure's kind.
fn answer<T: Serialize>(found: NodeResult<T>) -> NodeResult<()> {
    let unsaid = |error: &dyn std::fmt::Display| Failure::new(format!("can't answer - {error}"));
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &found).map_err(|error| unsaid(&error))?;
    writeln!(out).and_then(|()| out.flush()).map_err(|error| unsaid(&error))?;
    found.map(drop)
}

/// Switches to the rights of a container's root and copies stdin into a file below the container's root directory.
///
/// The container's mount namespace is not entered: every path is looked up below the directory that is open here.
fn push_into([root, users]: [&str; 2], destination: &str, wanted: &Wanted) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    let open = |path: &str, flags: OFlags| {
        rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Failure::io("failed to open", Path::new(path), &errno.into()))
    };
    let source = std::io::stdin().as_fd().try_clone_to_owned();
    let source = source.map_err(|error| Failure::new(format!("failed to read - {}", os_text(&error))))?;
    let root = open(root, OFlags::PATH | OFlags::DIRECTORY)?;
    join(&open(users, OFlags::RDONLY)?, &open("/proc/self/ns/user", OFlags::RDONLY)?)?;
    let inside = Place::Inside(&root);
    let attributes = wanted.resolve(inside)?;
    Target::create(inside, destination, attributes)?.fill(&File::from(source), &interrupt)
}

/// Gives this process the users of a container and its root's rights, and none beyond them.
///
/// The process must have no other thread.
fn join(users: &OwnedFd, ours: &OwnedFd) -> NodeResult<()> {
    let failed = |errno: rustix::io::Errno| {
        Failure::new(format!("failed to enter the container's user namespace - {}", os_text(&errno.into())))
    };
    let number = |place: &OwnedFd| rustix::fs::fstat(place).map(|stat| (stat.st_dev, stat.st_ino));
    if number(users).map_err(failed)? == number(ours).map_err(failed)? {
        return Ok(());
    }
    rustix::thread::move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))
        .and_then(|()| rustix::thread::set_thread_groups(&[]))
        .and_then(|()| rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
        .and_then(|()| rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT))
        .map_err(failed)
}

fn post_stop(root: &str, name: &str, vmid: &str) -> NodeResult<()> {
    let bad = |what: &str| Failure::new(format!("bad {what}"));
    let name: NodeName = name.parse().map_err(|_| bad("node name"))?;
    let vmid: Vmid = vmid.parse().map_err(|_| bad("vmid"))?;
    let helper = std::env::current_exe().map_err(|_| bad("program"))?;
    let node = Node { layout: Layout::new(root, name.clone()), name, helper };
    let config = store::load(&node, vmid)?.config;
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    runtime::run_hookscript(&node, vmid, &config, "post-stop", &mut Output::new(&mut out, &mut err))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_are_refused() {
        for words in [&[][..], &["bogus"], &["push-into", "1"], &["push-into", "x", "y", "/x", "", "", ""]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(run(&words), 1, "{words:?}");
        }
    }
}
