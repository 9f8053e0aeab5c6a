//! Files inside the guest: hostname, hosts, resolv.conf, network, passwords.
