//! Loops for the widest vectors that the machine has.
//!
//! Rust compiles for the oldest x86-64, whose vectors have four numbers and no fused multiplication and addition. A
//! loop that is worth it is a [`Work`], which [`vectorised`] compiles a second time for AVX2 and FMA, and the machine
//! at hand chooses. Results differ in their last bits between machines, never between two runs on one.

/// Numbers that are worked on side by side: two vectors of AVX2, four of SSE or NEON.
pub(crate) const LANES: usize = 16;

/// A loop. `run` and everything it calls is `#[inline(always)]`: what is not inlined is compiled for the oldest machine.
pub trait Work {
    /// What comes of it.
    type Output;

    /// `FUSED` says whether the machine multiplies and adds in one instruction.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs `work` as it was compiled for this machine.
#[inline]
pub fn vectorised<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the machine has both features.
        return unsafe { avx2(work) };
    }
    portable(work)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<W: Work>(work: W) -> W::Output {
    work.run::<true>()
}

/// What a machine without AVX2 runs.
pub(crate) fn portable<W: Work>(work: W) -> W::Output {
    work.run::<{ cfg!(target_arch = "aarch64") }>()
}

/// `a b + c`.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` within 2 units in the last place, and not below `e^-87`; of no number, no number.
#[inline(always)]
pub(crate) fn exponential<const FUSED: bool>(x: f32) -> f32 {
    /// Adding it leaves the nearest whole number in the last bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4]; // The first has few bits: its multiples are exact.
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let power = rounded - ROUND;
    let rest = multiply_add::<FUSED>(power, -LN_2[1], multiply_add::<FUSED>(power, -LN_2[0], x));
    // At most ln(2) / 2 is left. Written out, for a loop would keep the loop over lanes from becoming vectors.
    let series = multiply_add::<FUSED>(1.0 / 5040.0, rest, 1.0 / 720.0);
    let series = multiply_add::<FUSED>(series, rest, 1.0 / 120.0);
    let series = multiply_add::<FUSED>(series, rest, 1.0 / 24.0);
    let series = multiply_add::<FUSED>(series, rest, 1.0 / 6.0);
    let series = multiply_add::<FUSED>(series, rest, 0.5);
    let value = multiply_add::<FUSED>(series * rest, rest, rest) + 1.0;
    f32::from_bits(value.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_the_last_places() {
        for n in -8_700..8_800 {
            let x = n as f32 / 100.0;
            let expected = f64::from(x).exp();
            for found in [exponential::<true>(x), exponential::<false>(x)] {
                let error = (f64::from(found) - expected).abs() / expected;
                assert!(error < 2.0 * f64::from(f32::EPSILON), "e^{x}: {found}, off by {error}");
            }
        }
        assert!(exponential::<true>(f32::NAN).is_nan() && exponential::<false>(f32::NAN).is_nan());
        assert!(exponential::<true>(f32::NEG_INFINITY) < 1e-37);
    }
}
