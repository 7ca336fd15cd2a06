//! Batches of noise.

use burn::tensor::{Tensor, TensorData};
use moue::base::device::Device;
use moue::base::expression::Expression;
use moue::base::faces::{Batch, Faces};
use moue::base::rng::Rng;

/// Batch number `number` of uniform noise.
pub(crate) fn noise(count: usize, side: usize, number: u64, device: &Device) -> Batch {
    let mut rng = Rng::stream(7, "noise", number);
    let values = (0..count * 3 * side * side).map(|_| rng.between(-1.0, 1.0)).collect();
    let images = Tensor::from_data(TensorData::new::<f32, _>(values, [count, 3, side, side]), device);
    let expression = |n: usize| Expression::ALL[(n + number as usize) % Expression::COUNT];
    Batch {
        source: Faces { images, expressions: (0..count).map(expression).collect() },
        targets: (0..count).map(|n| expression(3 * n + 1)).collect(),
        target_images: None,
    }
}
