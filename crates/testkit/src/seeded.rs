//! A small random generator that gives the same sequence from the same seed, for ever.
//!
//! SplitMix64 (Steele, Lea, Flood 2014). Generators of libraries may change their sequences between
//! versions; a seed in a bug report must keep its meaning. Not for secrets.

/// A sequence of random choices.
#[derive(Debug, Clone)]
pub struct Seeded {
    state: u64,
}

impl Seeded {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 {
            return 0;
        }
        // The bias of a remainder is far below what any test could notice.
        self.bits() % end
    }

    /// A number in `from..to`.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        let span = to.abs_diff(from);
        let step = i64::try_from(self.below(span)).unwrap_or(0);
        from.saturating_add(step)
    }

    /// An index below `len`; 0 when `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// One of the words.
    ///
    /// # Panics
    /// When there is none.
    pub fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.index(words.len())]
    }

    /// Sixteen random bytes.
    pub fn bytes16(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.bits().to_be_bytes());
        bytes[8..].copy_from_slice(&self.bits().to_be_bytes());
        bytes
    }

    /// Puts the items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_keeps_its_meaning() {
        let mut seeded = Seeded::new(1);
        assert_eq!(seeded.bits(), 0x910a_2dec_8902_5cc1);
        assert_eq!(seeded.bits(), 0xbeeb_8da1_658e_ec67);
    }

    #[test]
    fn choices_stay_in_their_ranges() {
        let mut seeded = Seeded::new(7);
        for _ in 0..1_000 {
            assert!((-3..4).contains(&seeded.between(-3, 4)));
            assert!(seeded.index(3) < 3);
        }
        assert_eq!(seeded.below(0), 0);
        let mut items: Vec<u32> = (0..50).collect();
        seeded.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..50));
    }
}
