//! The verbs by name.

macro_rules! verbs {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A verb of pct.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verb {
            $(#[doc = concat!("`pct ", $name, "`")] $variant,)*
        }

        impl Verb {
            /// Every verb, in the order of pct's usage text.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name after `pct`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

verbs! {
    Clone "clone", Create "create", Destroy "destroy", List "list", Migrate "migrate",
    MoveVolume "move-volume", Pending "pending", Resize "resize", Restore "restore", Template "template",
    Config "config", Set "set", Delsnapshot "delsnapshot", Listsnapshot "listsnapshot", Rollback "rollback",
    Snapshot "snapshot", Reboot "reboot", Resume "resume", Shutdown "shutdown", Start "start", Stop "stop",
    Suspend "suspend", Console "console", Cpusets "cpusets", Df "df", Enter "enter", Exec "exec",
    Fsck "fsck", Fstrim "fstrim", Mount "mount", Pull "pull", Push "push", RemoteMigrate "remote-migrate",
    Rescan "rescan", Status "status", Unlock "unlock", Unmount "unmount", Help "help",
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
