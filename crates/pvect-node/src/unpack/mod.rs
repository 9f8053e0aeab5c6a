//! Unpacks templates into a root file system.
