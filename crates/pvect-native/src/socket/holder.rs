//! Who holds the name of an abstract socket: any local user can take a free one.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::geteuid;

/// An entry of the table of all sockets: an abstract stream socket that holds its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held<'a> {
    /// The name, without the leading `@`.
    pub(crate) name: &'a [u8],
    /// Whether it takes connections: one that does not still keeps the name from others.
    pub(crate) listens: bool,
    /// Its inode, as decimal digits.
    pub(crate) inode: &'a [u8],
}

/// Returns the abstract stream sockets that hold their names, from the text of `/proc/net/unix`. The ends of
/// connections, which show the same name, are left out.
///
/// Lines that are not entries are skipped. Source: proc_net(5); `__SO_ACCEPTCON` and `SS_UNCONNECTED` of linux/net.h.
pub(crate) fn held_names(table: &[u8]) -> impl Iterator<Item = Held<'_>> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        // Num RefCount Protocol Flags Type St Inode Path; the path may contain blanks.
        let (mut rest, mut fields) = (line, [&b""[..]; 7]);
        for field in &mut fields {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|byte| *byte == b' ')?;
            (*field, rest) = rest.split_at(end);
        }
        let name = rest.strip_prefix(b" @")?;
        let [_, _, _, flags, b"0001", b"01", inode] = fields else { return None };
        Some(Held { name, listens: flags == b"00010000", inode })
    })
}

/// Finds the process that has a socket open, and the user whom the socket belongs to, by the socket's inode. Only for
/// sockets that cannot be asked.
fn holder_of(proc_root: &Path, inode: &[u8]) -> Option<(u32, i32)> {
    let wanted = [b"socket:[", inode, b"]"].concat();
    let processes = std::fs::read_dir(proc_root).ok()?.flatten();
    processes.into_iter().find_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let is_it = |file: &std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str().as_bytes() == wanted)
        };
        let file = files.find(is_it)?;
        // A user's socket still belongs to the user when a set-user-id program inherits it.
        let maker = std::fs::metadata(file.path()).ok()?.uid();
        let uid = if is_believed(maker) { process.metadata().ok()?.uid() } else { maker };
        Some((uid, pid))
    })
}

/// The result of an attempt to connect to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knock {
    /// Root listens, or our own user.
    Open,
    /// Nobody listens.
    Closed,
    /// Somebody listens, but the queue of connections is full, so who it is cannot be asked.
    Busy,
    /// Somebody else listens: uid and pid.
    Foreign(u32, i32),
}

/// Who holds a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// A user whom we believe.
    Ours,
    /// Anybody else, with user and process where one is found.
    Other(Option<(u32, i32)>),
}

/// Returns the user and process at the other end of a connection, if it is not to be believed. Only root runs monitors
/// that we use; our own user is believed too, because we could only deceive ourselves.
///
/// Source: `SO_PEERCRED` of unix(7): the credentials of who called listen(2).
pub(crate) fn foreign_peer(socket: impl AsFd) -> io::Result<Option<(u32, i32)>> {
    let peer = socket_peercred(socket)?;
    let uid = peer.uid.as_raw();
    Ok((!is_believed(uid)).then_some((uid, peer.pid.as_raw_pid())))
}

pub(crate) fn is_believed(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// Finds out who listens on abstract sockets. It uses one socket for all attempts that are refused.
#[derive(Debug, Default)]
pub(crate) struct Knocker {
    socket: Option<OwnedFd>,
}

impl Knocker {
    /// Returns who listens. It does not wait for a listener that is slow to accept.
    pub(crate) fn knock(&mut self, name: &[u8]) -> Knock {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let made = || socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok();
        let Some(socket) = self.socket.take().or_else(made) else { return Knock::Closed };
        let Ok(address) = SocketAddrUnix::new_abstract_name(name) else { return Knock::Closed };
        match connect(&socket, &address) {
            Ok(()) => match foreign_peer(&socket) {
                Ok(None) => Knock::Open,
                Ok(Some((uid, pid))) => Knock::Foreign(uid, pid),
                Err(_) => Knock::Closed,
            },
            Err(error) => {
                self.socket = Some(socket);
                // The queue is full.
                if error == Errno::AGAIN { Knock::Busy } else { Knock::Closed }
            }
        }
    }

    /// Returns who holds a name, even if the holder cannot be asked: a user must not be believed because the queue of
    /// the socket is full.
    pub(crate) fn holder(&mut self, proc_root: &Path, name: &[u8]) -> Holder {
        match self.knock(name) {
            Knock::Open => Holder::Ours,
            Knock::Closed => Holder::Nobody,
            Knock::Foreign(uid, pid) => Holder::Other(Some((uid, pid))),
            Knock::Busy => holder_in_table(proc_root, name),
        }
    }

    /// As [`Knocker::holder`], but also finds a holder that does not listen.
    pub(crate) fn holder_of_name(&mut self, proc_root: &Path, name: &[u8]) -> Holder {
        match self.holder(proc_root, name) {
            // A monitor binds its name a moment before it listens.
            Holder::Nobody if holder_in_table(proc_root, name) != Holder::Nobody => {
                match self.holder(proc_root, name) {
                    Holder::Nobody => match holder_in_table(proc_root, name) {
                        Holder::Ours => Holder::Nobody,
                        other => other,
                    },
                    known => known,
                }
            }
            known => known,
        }
    }
}

/// Finds the holder of a name in the kernel's tables of sockets and processes.
fn holder_in_table(proc_root: &Path, name: &[u8]) -> Holder {
    let table = std::fs::read(proc_root.join("net/unix")).unwrap_or_default();
    let Some(held) = held_names(&table).find(|held| held.name == name) else { return Holder::Nobody };
    match holder_of(proc_root, held.inode) {
        Some((uid, _)) if is_believed(uid) => Holder::Ours,
        other => Holder::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use super::*;

    #[test]
    fn the_table_of_sockets_is_read() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            00000000987c6145: 00000002 00000000 00010000 0001 01 106268 @/var/lib/lxc/201/command\n\
            00000000034f2878: 00000002 00000000 00000000 0001 03 68625 @lxc/ad055575fe28ddd5//var/lib/lxc\n\
            00000000034f2879: 00000002 00000000 00000000 0001 03 68626\n\
            00000000034f2880: 00000002 00000000 00010000 0001 01 68627 /run/dbus.sock\n\
            00000000034f2881: 00000002 00000000 00010000 0001 01 68628 @/tmp/a b/lib/lxc/7/command\n\
            00000000034f2882: 00000002 00000000 00000000 0001 01 68629 @/taken\n\
            00000000034f2883: 00000002 00000000 00000000 0002 01 68630 @/datagrams\n\
            \xff\xfe rubbish\n";
        let names: Vec<_> = held_names(table)
            .map(|held| (String::from_utf8_lossy(held.name), held.listens, held.inode))
            .collect();
        assert_eq!(
            names,
            [
                ("/var/lib/lxc/201/command".into(), true, &b"106268"[..]),
                ("/tmp/a b/lib/lxc/7/command".into(), true, b"68628"),
                ("/taken".into(), false, b"68629"),
            ]
        );
    }

    #[test]
    fn a_knocker_tells_open_sockets_from_others() {
        let name = |word: &str| format!("pvect-test-{}-{word}", std::process::id()).into_bytes();
        let address = SocketAddr::from_abstract_name(name("open")).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let mut knocker = Knocker::default();
        let answers = ["no", "open", "no", "open", "neither"].map(|word| knocker.knock(&name(word)));
        let [no, open] = [Knock::Closed, Knock::Open];
        assert_eq!(answers, [no, open, no, open, no]);
        // Nobody accepts: once the queue is full, only the tables tell whose it is.
        let proc = Path::new("/proc");
        assert!((0..5000).any(|_| knocker.knock(&name("open")) == Knock::Busy));
        assert_eq!(knocker.holder(proc, &name("open")), Holder::Ours);
        drop(listener);
        assert_eq!(knocker.holder(proc, &name("open")), Holder::Nobody);
        // Ours, but it does not listen: that is not a monitor.
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(&name("bound")).unwrap()).unwrap();
        assert_eq!(holder_in_table(proc, &name("bound")), Holder::Ours);
        assert_eq!(knocker.holder_of_name(proc, &name("bound")), Holder::Nobody);
    }
}
