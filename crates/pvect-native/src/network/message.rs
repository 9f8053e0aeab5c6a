//! Messages of rtnetlink(7), as bytes: questions are built, answers are taken apart.
//!
//! What an answer says about a container's addresses, a guest may have chosen; its form is the kernel's. Nothing here
//! relies on either: what is too short or too long ends the reading.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

/// Kinds of messages. Source: linux/netlink.h, linux/rtnetlink.h.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_NSID: u16 = 88;
const GET_NSID: u16 = 90;
/// `NLM_F_REQUEST`, and `NLM_F_DUMP` with it.
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x301;
/// Attributes of links. Source: linux/if_link.h.
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
/// `RTEXT_FILTER_SKIP_STATS`: the counters are not wanted.
const SKIP_STATS: u32 = 8;
/// Attributes of addresses, and their flags. Source: linux/if_addr.h.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_TARGET_NETNSID: u16 = 10;
const DAD_FAILED: u32 = 0x08;
const OPTIMISTIC: u32 = 0x04;
const TENTATIVE: u32 = 0x40;
/// Attributes of network namespaces. Source: linux/net_namespace.h.
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
/// `NLA_TYPE_MASK`: what is left of a type without its flags.
const TYPE: u16 = 0x3fff;
/// The lengths of `struct nlmsghdr`, `ifinfomsg`, `ifaddrmsg`, and of `rtgenmsg` with what fills it up.
const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const NSID_HEADER: usize = 4;

/// The two families, as the kernel numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4 = 2,
    V6 = 10,
}

/// The host's end of a pair of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// The index of the other end, in its own namespace.
    pub(super) peer: u32,
    /// That namespace, as ours numbers it; `None` when it is ours.
    pub(super) namespace: Option<i32>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The index of the interface.
    pub(super) interface: u32,
    /// The address.
    pub(super) ip: IpAddr,
    /// The length of its network's prefix, bits.
    pub(super) prefix: u8,
    /// Whether it can be used: another machine may turn out to have it until then.
    pub(super) is_ready: bool,
}

/// A message of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Link(Link),
    Entry(Entry),
    Namespace(Option<i32>),
    /// The end of a dump.
    Done,
    Error(Errno),
    /// What is not understood.
    Other,
}

/// Asks for a device of ours by its name.
pub(super) fn ask_link(sequence: u32, name: &str) -> Vec<u8> {
    let mut text = name.as_bytes().to_vec();
    text.push(0);
    let parts = [attribute(IFLA_IFNAME, &text), attribute(IFLA_EXT_MASK, &SKIP_STATS.to_ne_bytes())];
    question(GET_LINK, REQUEST, sequence, &[0; LINK_HEADER], &parts.concat())
}

/// Asks how a namespace is numbered, of which `descriptor` is a descriptor of this process.
pub(super) fn ask_namespace(sequence: u32, descriptor: i32) -> Vec<u8> {
    let part = attribute(NETNSA_FD, &descriptor.to_ne_bytes());
    question(GET_NSID, REQUEST, sequence, &[0; NSID_HEADER], &part)
}

/// Asks for the addresses of an interface in a namespace.
pub(super) fn ask_addresses(sequence: u32, family: Family, interface: u32, namespace: i32) -> Vec<u8> {
    let mut header = [0; ADDRESS_HEADER];
    header[0] = family as u8;
    header[4..].copy_from_slice(&interface.to_ne_bytes());
    let part = attribute(IFA_TARGET_NETNSID, &namespace.to_ne_bytes());
    question(GET_ADDRESS, DUMP, sequence, &header, &part)
}

fn question(kind: u16, flags: u16, sequence: u32, header: &[u8], attributes: &[u8]) -> Vec<u8> {
    let length = HEADER + header.len() + attributes.len();
    let mut message = (length as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    // The kernel knows whose the socket is.
    message.extend([0; 4]);
    message.extend(header);
    message.extend(attributes);
    message
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Takes the messages of one datagram apart, those of another question aside.
pub(super) fn messages(datagram: &[u8], sequence: u32) -> impl Iterator<Item = Message> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest.get(..length).filter(|message| message.len() >= HEADER)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u32_at(message, 8)? == sequence).then(|| understood(message)))
    })
    .flatten()
}

fn understood(message: &[u8]) -> Message {
    let kind = message.get(4..6).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes);
    let body = message.get(HEADER..).unwrap_or_default();
    let known = match kind {
        // A dump that fails ends with the error.
        DONE => Some(i32_at(body, 0).and_then(error).map_or(Message::Done, Message::Error)),
        ERROR => i32_at(body, 0).and_then(error).map(Message::Error),
        NEW_LINK => link(body).map(Message::Link),
        NEW_ADDRESS => entry(body).map(Message::Entry),
        NEW_NSID => Some(Message::Namespace(namespace(body))),
        _ => None,
    };
    known.unwrap_or(Message::Other)
}

/// Source: netlink(7): a negative errno, or 0.
fn error(code: i32) -> Option<Errno> {
    (-4095..0).contains(&code).then(|| Errno::from_raw_os_error(-code))
}

fn link(body: &[u8]) -> Option<Link> {
    let attributes = body.get(LINK_HEADER..)?;
    let peer = u32_at(find(attributes, IFLA_LINK)?, 0)?;
    let namespace = find(attributes, IFLA_LINK_NETNSID).and_then(|value| i32_at(value, 0));
    Some(Link { peer, namespace })
}

/// A namespace that has no number yet is -1.
fn namespace(body: &[u8]) -> Option<i32> {
    let value = find(body.get(NSID_HEADER..)?, NETNSA_NSID)?;
    i32_at(value, 0).filter(|number| *number >= 0)
}

fn entry(body: &[u8]) -> Option<Entry> {
    let attributes = body.get(ADDRESS_HEADER..)?;
    let [family, prefix, short_flags, ..] = *body.get(..ADDRESS_HEADER)? else { return None };
    // Where the two differ, the other one is that of the far end.
    let value = find(attributes, IFA_LOCAL).or_else(|| find(attributes, IFA_ADDRESS))?;
    let ip = if family == Family::V4 as u8 {
        IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))
    } else if family == Family::V6 as u8 {
        IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?))
    } else {
        return None;
    };
    let flags = find(attributes, IFA_FLAGS).and_then(|value| u32_at(value, 0));
    let flags = flags.unwrap_or_else(|| u32::from(short_flags));
    let is_tried = flags & TENTATIVE != 0 && flags & OPTIMISTIC == 0;
    let is_ready = !is_tried && flags & DAD_FAILED == 0;
    Some(Entry { interface: u32_at(body, 4)?, ip, prefix, is_ready })
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?) & TYPE;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    bytes.get(place..place + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn i32_at(bytes: &[u8], place: usize) -> Option<i32> {
    bytes.get(place..place + 4)?.try_into().ok().map(i32::from_ne_bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Recorded from Linux 6.18: 10.9.8.7/24 of an interface with the index 2 in another namespace.
    const V4: &str = "580000001400220007000000b5290000021880000200000008000a000200000008000100\
        0a090807080002000a090807090003006574683000000000080008008000000014000600ffffffffffffffffca773e00ca773e00";
    /// fd00::5/64, and fe80::80bd:6fff:fe43:3cdd/64 while it is tried.
    const V6: &str = "500000001400220007000000b52900000a4082000200000008000a000200000014000100fd000000000000000000\
        00000000000514000600ffffffffffffffffd0773e00d0773e000800080082000000580000001400220007000000b52900000a40c0fd\
        0200000008000a000200000014000100fe8000000000000080bd6ffffe433cdd14000600ffffffffffffffffce773e00ce773e000800\
        0800c000000005000b0003000000";
    const END: &str = "140000000300220007000000b529000000000000";

    fn all(datagram: &[u8]) -> Vec<Message> {
        messages(datagram, 7).collect()
    }

    fn found(ip: &str, prefix: u8, is_ready: bool) -> Message {
        Message::Entry(Entry { interface: 2, ip: ip.parse().unwrap(), prefix, is_ready })
    }

    #[test]
    fn recorded_answers_are_understood() {
        let datagram = bytes(&format!("{V4}{V6}{END}"));
        let expected = [
            found("10.9.8.7", 24, true),
            found("fd00::5", 64, true),
            found("fe80::80bd:6fff:fe43:3cdd", 64, false),
            Message::Done,
        ];
        assert_eq!(all(&datagram), expected);
        assert_eq!(messages(&datagram, 8).count(), 0, "the answer to another question");
    }

    #[test]
    fn links_and_namespaces_are_understood() {
        let answer = |kind, header: &[u8], parts: &[Vec<u8>]| question(kind, 0, 7, header, &parts.concat());
        let peer = attribute(IFLA_LINK, &9_u32.to_ne_bytes());
        let there = attribute(IFLA_LINK_NETNSID, &3_i32.to_ne_bytes());
        let name = attribute(IFLA_IFNAME, b"veth101i0\0");
        let link = |parts: &[Vec<u8>]| all(&answer(NEW_LINK, &[0; LINK_HEADER], parts));
        assert_eq!(
            link(&[name.clone(), peer.clone(), there]),
            [Message::Link(Link { peer: 9, namespace: Some(3) })]
        );
        assert_eq!(link(&[peer, name.clone()]), [Message::Link(Link { peer: 9, namespace: None })]);
        assert_eq!(link(&[name]), [Message::Other], "a device without another end");
        let nsid = |number: i32| {
            all(&answer(NEW_NSID, &[0; NSID_HEADER], &[attribute(NETNSA_NSID, &number.to_ne_bytes())]))
        };
        assert_eq!(nsid(5), [Message::Namespace(Some(5))]);
        assert_eq!(nsid(-1), [Message::Namespace(None)]);
        let error = answer(ERROR, &(-19_i32).to_ne_bytes(), &[]);
        assert_eq!(all(&error), [Message::Error(Errno::NODEV)]);
        let failed = answer(DONE, &(-22_i32).to_ne_bytes(), &[]);
        assert_eq!(all(&failed), [Message::Error(Errno::INVAL)]);
        for code in [0_i32, 1, -4096, i32::MIN] {
            assert_eq!(all(&answer(ERROR, &code.to_ne_bytes(), &[])), [Message::Other]);
        }
    }

    #[test]
    fn questions_are_as_the_kernel_wants_them() {
        let asked = ask_addresses(7, Family::V6, 2, 2);
        let expected = "200000001600010307000000000000000a0000000200000008000a0002000000";
        assert_eq!(asked, bytes(expected));
        assert_eq!(ask_link(1, "veth101i0").len() % 4, 0);
    }

    #[test]
    fn no_bytes_are_too_odd() {
        let whole = bytes(&format!("{V4}{V6}{END}"));
        for end in 0..whole.len() {
            assert!(all(&whole[..end]).len() <= 4);
        }
        for place in 0..whole.len() {
            for byte in [0, 1, 3, 4, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[place] = byte;
                // It ends, and makes no more of it than there are headers.
                assert!(all(&changed).len() <= whole.len() / HEADER, "{place} {byte}");
            }
        }
    }
}
