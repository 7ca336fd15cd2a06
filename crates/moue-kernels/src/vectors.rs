//! Loops for the widest vectors that the machine has.
//!
//! Rust compiles for the oldest x86-64, whose vectors have four numbers and no fused multiplication and addition. A
//! loop that is worth it is a [`Work`], which [`vectorised`] compiles for each [`Machine`], and the one at hand
//! chooses. Results differ in their last bits between machines, never between two runs on one.

/// Numbers that are worked on side by side: a vector of AVX-512, two of AVX2, four of SSE or NEON.
pub(crate) const LANES: usize = 16;

/// What loops are compiled for: the kinds below. What a kind has may be relied on for memory safety, so nobody else makes
/// one, and only [`vectorised`] names those that not every machine is.
pub trait Machine: kind::Kind {
    /// Whether it multiplies and adds in one instruction.
    const FUSED: bool;
    /// Whether it has AVX2.
    const AVX2: bool;
    /// Whether it has AVX-512: registers of sixteen numbers, and twice as many.
    const AVX512: bool;
}

/// The oldest machine of the kind that this program was compiled for.
pub(crate) enum Oldest {}

/// A processor of x86-64 with AVX2 and FMA (2013 and later).
#[cfg(target_arch = "x86_64")]
pub(crate) enum Avx2 {}

/// One that has AVX-512 as well.
#[cfg(target_arch = "x86_64")]
pub(crate) enum Avx512 {}

mod kind {
    pub trait Kind {}

    impl Kind for super::Oldest {}
    #[cfg(target_arch = "x86_64")]
    impl Kind for super::Avx2 {}
    #[cfg(target_arch = "x86_64")]
    impl Kind for super::Avx512 {}
}

impl Machine for Oldest {
    const FUSED: bool = cfg!(target_arch = "aarch64");
    const AVX2: bool = false;
    const AVX512: bool = false;
}

#[cfg(target_arch = "x86_64")]
impl Machine for Avx2 {
    const FUSED: bool = true;
    const AVX2: bool = true;
    const AVX512: bool = false;
}

#[cfg(target_arch = "x86_64")]
impl Machine for Avx512 {
    const FUSED: bool = true;
    const AVX2: bool = true;
    const AVX512: bool = true;
}

/// A loop. `run` and everything it calls is `#[inline(always)]`: what is not inlined is compiled for the oldest machine.
pub trait Work {
    /// What comes of it.
    type Output;

    /// Does it, on a machine of this kind.
    fn run<M: Machine>(self) -> Self::Output;
}

/// Runs `work` as it was compiled for this machine.
#[inline]
pub fn vectorised<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if has_avx512() {
        // SAFETY: the machine has all of these features.
        return unsafe { on_avx512(work) };
    } else if has_avx2() {
        // SAFETY: the machine has both features.
        return unsafe { on_avx2(work) };
    }
    work.run::<Oldest>()
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn on_avx2<W: Work>(work: W) -> W::Output {
    work.run::<Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn on_avx512<W: Work>(work: W) -> W::Output {
    work.run::<Avx512>()
}

/// What comes of `work` on each kind of machine that this one can be.
#[cfg(test)]
pub(crate) fn on_each_machine<W: Work + Clone>(work: &W) -> Vec<W::Output> {
    let mut outputs = vec![work.clone().run::<Oldest>()];
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: each runs where the machine has its features.
        outputs.extend(has_avx2().then(|| unsafe { on_avx2(work.clone()) }));
        // SAFETY: the same.
        outputs.extend(has_avx512().then(|| unsafe { on_avx512(work.clone()) }));
    }
    outputs
}

/// `a b + c`.
#[inline(always)]
pub(crate) fn multiply_add<M: Machine>(a: f32, b: f32, c: f32) -> f32 {
    if M::FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` within 2 units in the last place, and not below `e^-87`; of no number, no number.
#[inline(always)]
pub(crate) fn exponential<M: Machine>(x: f32) -> f32 {
    /// Adding it leaves the nearest whole number in the last bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4]; // The first has few bits: its multiples are exact.
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = multiply_add::<M>(x, std::f32::consts::LOG2_E, ROUND);
    let power = rounded - ROUND;
    let rest = multiply_add::<M>(power, -LN_2[1], multiply_add::<M>(power, -LN_2[0], x));
    // At most ln(2) / 2 is left. Written out, for a loop would keep the loop over lanes from becoming vectors.
    let series = multiply_add::<M>(1.0 / 5040.0, rest, 1.0 / 720.0);
    let series = multiply_add::<M>(series, rest, 1.0 / 120.0);
    let series = multiply_add::<M>(series, rest, 1.0 / 24.0);
    let series = multiply_add::<M>(series, rest, 1.0 / 6.0);
    let series = multiply_add::<M>(series, rest, 0.5);
    let value = multiply_add::<M>(series * rest, rest, rest) + 1.0;
    f32::from_bits(value.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Exponential(f32);

    impl Work for Exponential {
        type Output = f32;

        #[inline(always)]
        fn run<M: Machine>(self) -> f32 {
            exponential::<M>(self.0)
        }
    }

    #[test]
    fn exponentials_are_right_to_the_last_places() {
        for n in -8_700..8_800 {
            let x = n as f32 / 100.0;
            let expected = f64::from(x).exp();
            for found in on_each_machine(&Exponential(x)) {
                let error = (f64::from(found) - expected).abs() / expected;
                assert!(error < 2.0 * f64::from(f32::EPSILON), "e^{x}: {found}, off by {error}");
            }
        }
        assert!(on_each_machine(&Exponential(f32::NAN)).into_iter().all(f32::is_nan));
        assert!(on_each_machine(&Exponential(f32::NEG_INFINITY)).into_iter().all(|x| x < 1e-37));
    }
}
