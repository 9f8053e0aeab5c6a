//! Options of netlink sockets: netlink(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `NETLINK_GET_STRICT_CHK` of linux/netlink.h.
const GET_STRICT_CHK: libc::c_int = 12;

/// Has the kernel look at all that a request says: an unknown part is an error, and a dump gives only what is asked for.
/// Without it, what would narrow a dump down is ignored.
///
/// Source: netlink(7), `NETLINK_GET_STRICT_CHK`; Linux 4.20 and later.
///
/// # Errors
/// Those of setsockopt(2): `ENOPROTOOPT` of an older kernel, `ENOTSOCK` for what is not a socket.
pub fn check_strictly(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value lives through the call and is read only, within the size that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            GET_STRICT_CHK,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_netlink_sockets_have_it() {
        use rustix::net::{AddressFamily, SocketType, socket};
        let netlink = socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
        super::check_strictly(&netlink).unwrap();
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(super::check_strictly(&reader).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }
}
