//! Builds templates for the storage `local`.
