//! Images and maps at half and at twice their size.

use burn::tensor::Tensor;

/// The means of 2 x 2 pixels: `[b, c, h, w] -> [b, c, h/2, w/2]`. Height and width are even.
pub fn halved(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let rows = x.reshape([batch * channels * height / 2, 2, width / 2, 2]);
    rows.mean_dim(3).mean_dim(1).reshape([batch, channels, height / 2, width / 2])
}

/// Bilinear, `[b, c, h, w] -> [b, c, 2h, 2w]`: a new pixel's centre lies a quarter of an old pixel from the old
/// pixel's (align_corners = false), and the border goes on.
pub fn doubled(x: Tensor<4>) -> Tensor<4> {
    doubled_along(doubled_along(x, 2), 3)
}

fn doubled_along(x: Tensor<4>, axis: usize) -> Tensor<4> {
    let size = x.dims()[axis];
    let slice = |from: usize, to: usize| x.clone().slice_dim(axis, from..to);
    let before = Tensor::cat(vec![slice(0, 1), slice(0, size - 1)], axis);
    let after = Tensor::cat(vec![slice(1, size), slice(size - 1, size)], axis);
    let near = x.clone() * 0.75;
    let pairs: Tensor<5> = Tensor::stack(vec![before * 0.25 + near.clone(), near + after * 0.25], axis + 1);
    let mut shape = x.dims();
    shape[axis] = 2 * size;
    pairs.reshape(shape)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn half_the_size_is_the_mean_of_four() {
        let x = Tensor::from_data([[[[1.0, 3.0, 0.0, 8.0], [5.0, 7.0, 4.0, 0.0]]]], &Device::flex());
        assert_eq!(values(halved(x)), [4.0, 3.0]);
    }

    #[test]
    fn twice_the_size_goes_on_at_the_border_and_keeps_a_ramp() {
        let x = Tensor::from_data([[[[0.0, 4.0], [8.0, 12.0]]]], &Device::flex());
        let rows = [0.0, 2.0, 6.0, 8.0].map(|y| [0.0, 1.0, 3.0, 4.0].map(|x| x + y));
        assert_eq!(values(doubled(x)), rows.concat());
    }

    #[test]
    fn halving_undoes_doubling_of_a_ramp_inside() {
        let ramp: Vec<f32> =
            (0..2 * 3 * 16).map(|n| (n % 16 % 4) as f32 * 3.0 + (n % 16 / 4) as f32).collect();
        let x = Tensor::<4>::from_data(TensorData::new(ramp, [2, 3, 4, 4]), &Device::flex());
        let inside = |x: Tensor<4>| x.slice_dim(2, 1..3).slice_dim(3, 1..3);
        let difference = values(inside(halved(doubled(x.clone()))) - inside(x));
        assert!(difference.iter().all(|d| d.abs() < 1e-5), "{difference:?}");
    }
}
