//! Extended attributes of archive members, as they must be stored for a container's id map.

use crate::idmap::IdMap;

/// The record prefix of GNU tar, bsdtar and mmdebstrap for extended attributes.
const XATTR: &str = "SCHILY.xattr.";
const CAPABILITY: &str = "security.capability";
/// `struct vfs_cap_data`: revision in the top byte, the flag "effective" in the lowest bit. Source: linux/capability.h.
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const LENGTH_2: usize = 20;
const LENGTH_3: usize = 24;

/// One attribute to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) value: Vec<u8>,
}

/// Turns a pax record into an attribute to be set; `None` for other records, and for attributes that are not kept.
///
/// Keeps `user.*`, `security.capability` and the POSIX ACLs, as the real pct does. ACLs come as text (`SCHILY.acl.*`,
/// GNU tar) or as the raw attribute.
pub(super) fn attribute(key: &str, value: &[u8], map: &IdMap) -> Option<Attribute> {
    match key {
        "SCHILY.acl.access" => return acl_from_text("system.posix_acl_access", value, map),
        "SCHILY.acl.default" => return acl_from_text("system.posix_acl_default", value, map),
        _ => {}
    }
    let name = key.strip_prefix(XATTR)?;
    let value = match name {
        CAPABILITY => capability(value, map)?,
        "system.posix_acl_access" | "system.posix_acl_default" => acl(value, map)?,
        _ if name.starts_with("user.") => value.to_vec(),
        _ => return None,
    };
    Some(Attribute { name: name.to_owned(), value })
}

/// File capabilities name the root user of the namespace that they apply to: for an unprivileged container, its root.
fn capability(value: &[u8], map: &IdMap) -> Option<Vec<u8>> {
    let magic = u32::from_le_bytes(value.get(..4)?.try_into().ok()?);
    let (old_root, body) = match (magic & REVISION_MASK, value.len()) {
        (REVISION_2, LENGTH_2) => (0, &value[4..LENGTH_2]),
        (REVISION_3, LENGTH_3) => {
            (u32::from_le_bytes(value[LENGTH_2..].try_into().ok()?), &value[4..LENGTH_2])
        }
        _ => return None,
    };
    let root = map.user(old_root)?;
    if root == 0 {
        let mut plain = ((magic & !REVISION_MASK) | REVISION_2).to_le_bytes().to_vec();
        plain.extend_from_slice(body);
        return Some(plain);
    }
    let mut shifted = ((magic & !REVISION_MASK) | REVISION_3).to_le_bytes().to_vec();
    shifted.extend_from_slice(body);
    shifted.extend_from_slice(&root.to_le_bytes());
    Some(shifted)
}

const ACL_USER: u16 = 0x02;
const ACL_GROUP: u16 = 0x08;
/// The id of entries that do not name a user or group.
const ACL_NOBODY: u32 = u32::MAX;

/// Shifts the ids of a raw ACL: a version, then entries of tag, permissions and id. Source: linux/posix_acl_xattr.h.
fn acl(value: &[u8], map: &IdMap) -> Option<Vec<u8>> {
    let (version, entries) = value.split_at_checked(4)?;
    if version != 2_u32.to_le_bytes() || entries.len() % 8 != 0 {
        return None;
    }
    let mut shifted = version.to_vec();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        shifted.extend_from_slice(&entry[..4]);
        let id = match tag {
            ACL_USER => map.user(id)?,
            ACL_GROUP => map.group(id)?,
            _ => ACL_NOBODY,
        };
        shifted.extend_from_slice(&id.to_le_bytes());
    }
    Some(shifted)
}

/// Makes the attribute from GNU tar's text: `user::rwx,user:1000:r--,mask::r-x` (numbers, as `--numeric-owner` writes
/// them; a name has no meaning outside the packing system, so the ACL is dropped).
fn acl_from_text(name: &str, text: &[u8], map: &IdMap) -> Option<Attribute> {
    let text = std::str::from_utf8(text).ok()?;
    let mut entries: Vec<(u16, u32, u16)> = Vec::new();
    for line in text.split([',', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
        let mut fields = line.split(':');
        let (kind, who, rights) = (fields.next()?, fields.next()?, fields.next()?);
        // Some writers add the number after the name: `user:joe:r--:1000`.
        let who = fields.next().unwrap_or(who);
        let rights = rights.bytes().take(3).fold(0, |bits, letter| {
            bits | match letter {
                b'r' => 4,
                b'w' => 2,
                b'x' => 1,
                _ => 0,
            }
        });
        let entry = match (kind, who) {
            ("user", "") => (0x01, ACL_NOBODY, rights),
            ("user", id) => (ACL_USER, map.user(id.parse().ok()?)?, rights),
            ("group", "") => (0x04, ACL_NOBODY, rights),
            ("group", id) => (ACL_GROUP, map.group(id.parse().ok()?)?, rights),
            ("mask", _) => (0x10, ACL_NOBODY, rights),
            ("other", _) => (0x20, ACL_NOBODY, rights),
            _ => return None,
        };
        entries.push(entry);
    }
    // The kernel wants them sorted by tag and id.
    entries.sort_unstable();
    // Three entries only repeat the mode.
    if name.ends_with("access") && entries.len() <= 3 || entries.is_empty() {
        return None;
    }
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, id, rights) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&rights.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Some(Attribute { name: name.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap2() -> Vec<u8> {
        let mut value = (REVISION_2 | 1).to_le_bytes().to_vec();
        value.extend_from_slice(&[0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        value
    }

    #[test]
    fn capabilities_get_the_root_of_the_container() {
        let found = attribute("SCHILY.xattr.security.capability", &cap2(), &IdMap::unprivileged()).unwrap();
        assert_eq!(found.value.len(), LENGTH_3);
        assert_eq!(found.value[..4], (REVISION_3 | 1).to_le_bytes());
        assert_eq!(found.value[4..20], cap2()[4..20]);
        assert_eq!(found.value[20..], 100_000_u32.to_le_bytes());
        let plain = attribute("SCHILY.xattr.security.capability", &cap2(), &IdMap::identity()).unwrap();
        assert_eq!(plain.value, cap2());
        assert_eq!(attribute("SCHILY.xattr.security.capability", b"junk", &IdMap::identity()), None);
    }

    #[test]
    fn acls_are_shifted() {
        let map = IdMap::unprivileged();
        let text = b"user::rw-,user:7:r--,group::r--,mask::r--,other::---";
        let from_text = attribute("SCHILY.acl.access", text, &map).unwrap();
        assert_eq!(from_text.name, "system.posix_acl_access");
        assert_eq!(from_text.value.len(), 4 + 5 * 8);
        assert_eq!(from_text.value[12..20], [2, 0, 4, 0, 0xa7, 0x86, 1, 0]);
        let raw = attribute("SCHILY.acl.access", text, &IdMap::identity()).unwrap();
        let shifted = attribute("SCHILY.xattr.system.posix_acl_access", &raw.value, &map).unwrap();
        assert_eq!(shifted.value, from_text.value);
        assert_eq!(attribute("SCHILY.acl.access", b"user::rw-,group::r--,other::---", &map), None);
        assert_eq!(
            attribute("SCHILY.acl.access", b"user:joe:rw-,group::r--,other::---,mask::r--", &map),
            None
        );
    }

    #[test]
    fn other_attributes_are_left_out() {
        let map = IdMap::identity();
        assert!(attribute("SCHILY.xattr.user.note", b"x", &map).is_some());
        for key in ["SCHILY.xattr.trusted.x", "SCHILY.xattr.security.selinux", "path", "SCHILY.xattr."] {
            assert_eq!(attribute(key, b"x", &map), None, "{key}");
        }
    }
}
