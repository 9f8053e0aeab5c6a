//! Privileges and the built-in roles. Source: `create_roles` of pve-access-control.

/// Which roles besides Administrator have a privilege: admin roles include user roles, which include auditor roles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Admin,
    User,
    Audit,
}

use Level::{Admin, Audit, Root, User};

const PRIVILEGES: [(&str, Level); 44] = [
    ("Datastore.Allocate", Admin),
    ("Datastore.AllocateSpace", User),
    ("Datastore.AllocateTemplate", Admin),
    ("Datastore.Audit", Audit),
    ("Group.Allocate", Admin),
    ("Mapping.Audit", Audit),
    ("Mapping.Modify", Admin),
    ("Mapping.Use", User),
    ("Permissions.Modify", Root),
    ("Pool.Allocate", Admin),
    ("Pool.Audit", Audit),
    ("Realm.Allocate", Root),
    ("Realm.AllocateUser", Admin),
    ("SDN.Allocate", Admin),
    ("SDN.Audit", Audit),
    ("SDN.Use", User),
    ("Sys.AccessNetwork", Root),
    ("Sys.Audit", Audit),
    ("Sys.Console", Admin),
    ("Sys.Incoming", Root),
    ("Sys.Modify", Root),
    ("Sys.PowerMgmt", Root),
    ("Sys.Syslog", Admin),
    ("User.Modify", Admin),
    ("VM.Allocate", Admin),
    ("VM.Audit", Audit),
    ("VM.Backup", User),
    ("VM.Clone", Admin),
    ("VM.Config.CDROM", User),
    ("VM.Config.CPU", Admin),
    ("VM.Config.Cloudinit", User),
    ("VM.Config.Disk", Admin),
    ("VM.Config.HWType", Admin),
    ("VM.Config.Memory", Admin),
    ("VM.Config.Network", Admin),
    ("VM.Config.Options", Admin),
    ("VM.Console", User),
    ("VM.GuestAgent.Audit", Audit),
    ("VM.GuestAgent.Unrestricted", Admin),
    ("VM.Migrate", Admin),
    ("VM.PowerMgmt", User),
    ("VM.Replicate", Admin),
    ("VM.Snapshot", Admin),
    ("VM.Snapshot.Rollback", Admin),
];

/// All privileges, sorted.
pub const ALL_PRIVILEGES: [&str; 44] = {
    let mut names = [""; 44];
    let mut index = 0;
    while index < names.len() {
        names[index] = PRIVILEGES[index].0;
        index += 1;
    }
    names
};

/// Returns whether there is a privilege of this name.
pub fn is_privilege(name: &str) -> bool {
    ALL_PRIVILEGES.contains(&name)
}

/// Returns the privileges of a built-in role; `None` when there is no such role.
pub(super) fn built_in(role: &str) -> Option<Vec<&'static str>> {
    let of = |test: &dyn Fn(&str, Level) -> bool| -> Option<Vec<&'static str>> {
        Some(PRIVILEGES.iter().filter(|(name, level)| test(name, *level)).map(|(name, _)| *name).collect())
    };
    match role {
        "NoAccess" => Some(Vec::new()),
        "Administrator" => of(&|_, _| true),
        "PVEAdmin" => of(&|name, level| level != Root && name != "Mapping.Modify"),
        "PVEAuditor" => of(&|_, level| level == Audit),
        "PVETemplateUser" => Some(vec!["VM.Audit", "VM.Clone"]),
        _ => {
            let role = role.strip_prefix("PVE")?;
            let (category, levels): (&str, &[Level]) =
                match (role.strip_suffix("Admin"), role.strip_suffix("User")) {
                    (Some(category), _) => (category, &[Admin, User, Audit]),
                    (_, Some(category)) => (category, &[User, Audit]),
                    _ => return None,
                };
            let prefixes: &[&str] = match category {
                "VM" => &["VM."],
                "Sys" => &["Sys."],
                "Datastore" => &["Datastore."],
                "SDN" => &["SDN."],
                "User" => &["User.", "Group.", "Realm."],
                "Pool" => &["Pool."],
                "Mapping" => &["Mapping."],
                _ => return None,
            };
            of(&|name, level| {
                levels.contains(&level) && prefixes.iter().any(|prefix| name.starts_with(prefix))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_their_privileges() {
        assert!(ALL_PRIVILEGES.is_sorted());
        let role = |name| built_in(name).unwrap();
        assert_eq!(role("Administrator").len(), 44);
        assert_eq!(role("NoAccess").len(), 0);
        assert_eq!(
            role("PVEVMUser"),
            [
                "VM.Audit",
                "VM.Backup",
                "VM.Config.CDROM",
                "VM.Config.Cloudinit",
                "VM.Console",
                "VM.GuestAgent.Audit",
                "VM.PowerMgmt"
            ]
        );
        assert!(
            role("PVEVMAdmin").contains(&"VM.Config.Options") && role("PVEAuditor").contains(&"Sys.Audit")
        );
        assert!(!role("PVEAdmin").contains(&"Sys.Modify"));
        assert!(built_in("Custom").is_none() && built_in("PVEFooAdmin").is_none());
    }
}
