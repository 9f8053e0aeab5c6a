//! Counters of network devices.

/// Returns name, received and sent bytes of each device in the text of `/proc/net/dev`.
///
/// Lines in another format are skipped. Source: proc_net(5).
pub(crate) fn counters(text: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    text.lines().filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let mut numbers = numbers.split_ascii_whitespace();
        let received = numbers.next()?.parse().ok()?;
        let sent = numbers.nth(7)?.parse().ok()?;
        Some((name.trim(), received, sent))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:     600       6    0    0    0     0          0         0      600       6    0    0    0     0       0          0\n\
            veth101i0: 3044 31 0 0 0 0 0 0 586 7 0 0 0 0 0 0\n\
            short: 1 2 3\n";
        let found: Vec<_> = counters(text).collect();
        assert_eq!(found, [("lo", 600, 600), ("veth101i0", 3044, 586)]);
    }
}
