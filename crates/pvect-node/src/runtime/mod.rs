//! Running containers: the generated LXC configuration, start, stop, limits, processes inside.
