//! The one source of randomness: a seed, and streams of it that can be found again.
//!
//! Nothing random is drawn from a device or a global generator. A stream is named by what it is for and
//! by a counter (a batch, an epoch, an update); its numbers depend on the seed, the name and the counter
//! alone, so a resumed run continues as if it had never stopped.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of random numbers (ChaCha8).
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream `purpose` number `counter` of `seed`.
    pub fn stream(seed: u64, purpose: &str, counter: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(counter.to_le_bytes());
        hash.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// Uniform in [0, 1), with 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal (Box and Muller's polar form would discard draws; the basic form does not).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        let angle = std::f64::consts::TAU * f64::from(self.uniform());
        (radius * angle.cos()) as f32
    }

    /// Uniform in 0..count.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "a number below 0");
        // 64 random bits times count, the high half: bias below count / 2^64.
        ((u128::from(self.0.next_u64()) * count as u128) >> 64) as usize
    }

    /// True with probability one half.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() >> 31 == 1
    }

    /// Brings the items into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_its_seed_purpose_and_counter() {
        let draw = |seed, purpose, counter| Rng::stream(seed, purpose, counter).below(1 << 40);
        assert_eq!(draw(1, "flip", 7), draw(1, "flip", 7));
        let others = [draw(2, "flip", 7), draw(1, "order", 7), draw(1, "flip", 8)];
        assert!(others.iter().all(|&other| other != draw(1, "flip", 7)));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::stream(3, "moments", 0);
        let count = 100_000;
        let uniform: f64 = (0..count).map(|_| f64::from(rng.uniform())).sum::<f64>() / f64::from(count);
        let normals: Vec<f64> = (0..count).map(|_| f64::from(rng.normal())).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(count);
        let square = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(count);
        // Five standard errors of each mean.
        assert!((uniform - 0.5).abs() < 5.0 * 0.289 / 316.0, "{uniform}");
        assert!(mean.abs() < 5.0 / 316.0, "{mean}");
        assert!((square - 1.0).abs() < 5.0 * 1.415 / 316.0, "{square}");
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<_> = (0..100).collect();
        Rng::stream(5, "shuffle", 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
