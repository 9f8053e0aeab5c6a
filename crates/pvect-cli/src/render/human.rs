//! Sizes and times for people.

/// A size in at most five characters: `999`, `1.5K`, `12M`, `1.0G`.
pub fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["", "K", "M", "G", "T"] {
        if value < 1000.0 {
            return if unit.is_empty() || value >= 9.95 {
                format!("{value:.0}{unit}")
            } else {
                format!("{value:.1}{unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.0}P")
}

/// `59s`, `59m59s`, `23h59m`, `12d3h`.
pub fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        for (bytes, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (1000.0, "1.0K"),
            (10_240.0, "10K"),
            (1023.0 * 1024.0, "1.0M"),
            (5e15, "4P"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(5, "5s"), (61, "1m1s"), (3661, "1h1m"), (90_000, "1d1h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
