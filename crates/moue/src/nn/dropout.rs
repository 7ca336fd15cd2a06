//! Dropout (Srivastava et al. 2014) with masks drawn on the host: a device's own draws could not be repeated.

use burn::tensor::{Device, Tensor, TensorData};

use crate::base::rng::Rng;

/// Factors for a feature map of `shape`: 0 with `probability`, which is below 1, else what keeps the mean.
pub fn mask(shape: [usize; 4], probability: f32, device: &Device, rng: &mut Rng) -> Tensor<4> {
    let kept = 1.0 / (1.0 - probability);
    let factor = |_| if rng.uniform() < probability { 0.0 } else { kept };
    let factors: Vec<f32> = (0..shape.iter().product()).map(factor).collect();
    Tensor::from_data(TensorData::new(factors, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_makes_up_for_what_is_dropped() {
        let mask = mask([2, 8, 32, 32], 0.25, &Device::flex(), &mut Rng::stream(1, "dropout", 0));
        let factors: Vec<f32> = mask.into_data().try_into_vec().unwrap();
        let kept = factors.iter().filter(|&&factor| factor > 0.0).count() as f64 / factors.len() as f64;
        // Five standard errors of 16,384 draws.
        assert!((kept - 0.75).abs() < 5.0 * 0.433 / 128.0, "{kept}");
        assert!(factors.iter().all(|&factor| factor == 0.0 || (factor - 4.0 / 3.0).abs() < 1e-6));
    }
}
