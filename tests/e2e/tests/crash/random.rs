//! Random numbers from a seed that is printed, so that a run can be repeated.

/// SplitMix64: small, and good enough to choose moments.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Takes the seed from `PVECT_TEST_SEED`, or from the clock, and prints it.
    pub fn new(test: &str) -> Self {
        let given = std::env::var("PVECT_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |now| now.as_secs() << 20 | u64::from(now.subsec_micros()))
        });
        println!("{test}: PVECT_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// One of a list that is not empty.
    pub fn choose<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.below(list.len() as u64)).expect("an index")]
    }
}

/// The rounds to be run: what the variable says, or the few that fit into every run of the tests.
pub fn rounds(variable: &str, few: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}
