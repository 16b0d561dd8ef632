//! Choices that can be made again, and fewer of them: how a failing query or town becomes a small one.
//!
//! Everything generated is a function of a list of numbers. Zero is always the plainest choice, so whatever zeroes or
//! leaves out numbers of the list makes the result simpler, and no generator needs a shrinker of its own.

use assent_testkit::seeded::Seeded;

/// A list of choices in the making, or one that is read again.
pub struct Dice {
    given: Vec<u64>,
    random: Option<Seeded>,
    /// What was chosen so far.
    pub rolled: Vec<u64>,
}

impl Dice {
    /// Choices of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            given: Vec::new(),
            random: Some(Seeded::new(seed)),
            rolled: Vec::new(),
        }
    }

    /// These choices, and zeroes after them.
    pub fn again(given: &[u64]) -> Self {
        Self {
            given: given.to_vec(),
            random: None,
            rolled: Vec::new(),
        }
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let given = self.given.get(self.rolled.len()).copied();
        let number = match (given, &mut self.random) {
            (Some(number), _) => number % end,
            (None, Some(random)) => random.below(end),
            (None, None) => 0,
        };
        self.rolled.push(number);
        number
    }

    /// True in `percent` of a hundred cases, and false when plainest.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) >= 100 - percent.min(100)
    }

    /// One of the items; the first is the plainest.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let place = self.below(items.len() as u64);
        &items[usize::try_from(place).expect("small")]
    }

    /// One of the words; the first is the plainest.
    pub fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let place = self.below(words.len() as u64);
        words[usize::try_from(place).expect("small")]
    }
}

/// The smallest choices found for which `fails` still holds, in so many trials.
pub fn shrink(choices: &[u64], trials: usize, mut fails: impl FnMut(&[u64]) -> bool) -> Vec<u64> {
    let mut small = choices.to_vec();
    let mut left = trials;
    let mut tried = |candidate: &[u64]| {
        if left == 0 {
            return None;
        }
        left -= 1;
        Some(fails(candidate))
    };
    let mut size = small.len().next_power_of_two();
    while size > 0 {
        let mut start = 0;
        while start < small.len() {
            let end = (start + size).min(small.len());
            let mut without = small.clone();
            without.drain(start..end);
            let mut zeroed = small.clone();
            zeroed[start..end].fill(0);
            let mut candidates = vec![without];
            if zeroed != small {
                candidates.push(zeroed);
            }
            let mut found = false;
            for candidate in candidates {
                match tried(&candidate) {
                    None => return small,
                    Some(true) => {
                        small = candidate;
                        found = true;
                        break;
                    }
                    Some(false) => {}
                }
            }
            if !found || start >= small.len() {
                start += size;
            }
        }
        size /= 2;
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_repeat_and_shrink_to_what_matters() {
        let mut first = Dice::new(7);
        let rolled: Vec<u64> = (0..40).map(|_| first.below(1_000)).collect();
        let mut second = Dice::again(&first.rolled);
        assert!(rolled.iter().all(|number| second.below(1_000) == *number));
        assert_eq!(second.below(1_000), 0, "nothing is left to choose");
        // Fails as long as two of the numbers are there, in that order.
        let (a, b) = (rolled[11], rolled[29]);
        let small = shrink(&rolled, 2_000, |choices| {
            let at = choices.iter().position(|number| *number == a);
            at.is_some_and(|at| choices[at..].contains(&b))
        });
        assert_eq!(small, [a, b]);
    }
}
