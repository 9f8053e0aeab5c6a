//! Storages: storage.cfg, volumes, templates.
