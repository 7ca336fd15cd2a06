//! Loops for the widest vectors that the machine has.
//!
//! Rust compiles for the oldest x86-64, whose vectors have four numbers and no fused multiplication and addition. A
//! loop that is worth it is a [`Work`], which [`vectorised`] compiles a second time for AVX2 and FMA, and the machine
//! at hand chooses. Results differ in their last bits between machines, never between two runs on one.

/// Numbers that are worked on side by side: two vectors of AVX2, four of SSE or NEON.
pub(crate) const LANES: usize = 16;

/// A loop. `run` and everything it calls is `#[inline(always)]`: what is not inlined is compiled for the oldest machine.
pub(crate) trait Work {
    type Output;

    /// `FUSED` says whether the machine multiplies and adds in one instruction.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs `work` as it was compiled for this machine.
#[inline]
pub(crate) fn vectorised<W: Work>(work: W) -> W::Output {
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
