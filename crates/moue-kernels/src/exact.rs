//! Whether GPUs compute their products exactly.

use std::sync::atomic::{AtomicBool, Ordering};

static EXACT: AtomicBool = AtomicBool::new(false);

/// Whether from now on convolutions and attention on a GPU round their factors to f32 alone, and add in the same order
/// each time.
///
/// Otherwise burn tries several kernels at first and goes on with the fastest, which on NVIDIA's GPUs may round factors to
/// TF32's 11 bits. On the CPU everything is exact.
pub fn compute_exactly(exact: bool) {
    EXACT.store(exact, Ordering::Relaxed);
}

/// What [`compute_exactly`] was told.
pub fn computes_exactly() -> bool {
    EXACT.load(Ordering::Relaxed)
}
