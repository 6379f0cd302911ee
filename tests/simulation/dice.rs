//! Chance that can be had again: SplitMix64, written out so that a seed means the same for ever.

/// A sequence that its seed decides.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.roll() % u64::from(bound)).unwrap()
    }

    /// Once in so many times.
    pub(crate) fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of them, of which there must be at least one.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(u32::try_from(from.len()).unwrap()) as usize]
    }

    /// One of them, each as likely as its weight says.
    pub(crate) fn weighted<T>(&mut self, from: Vec<(u32, T)>) -> Option<T> {
        let sum: u32 = from.iter().map(|(weight, _)| weight).sum();
        let mut rest = if sum == 0 { 0 } else { self.below(sum) };
        for (weight, what) in from {
            if rest < weight {
                return Some(what);
            }
            rest -= weight;
        }
        None
    }
}
