//! A history of synthesised images, from which a discriminator also learns what the generator did earlier (Shrivastava
//! et al. 2017).

use burn::tensor::{Device, Tensor};

use super::module::{Module, Visitor};
use crate::base::rng::Rng;

/// Images that were synthesised before.
#[derive(Debug, Clone)]
pub struct ImagePool {
    /// Each `[1, 3, side, side]`.
    images: Vec<Tensor<4>>,
    capacity: usize,
    side: usize,
    device: Device,
}

impl ImagePool {
    /// An empty pool for `capacity` images; one for none gives back what it is given.
    pub fn new(capacity: usize, side: usize, device: &Device) -> Self {
        Self { images: Vec::new(), capacity, side, device: device.clone() }
    }

    /// Of each image of `[b, 3, side, side]`: while there is room it is kept and given back; later, at the toss of a
    /// coin, an earlier one is given in its place, which it takes.
    pub fn exchange(&mut self, images: Tensor<4>, rng: &mut Rng) -> Tensor<4> {
        if self.capacity == 0 {
            return images;
        }
        let each = (0..images.dims()[0]).map(|n| images.clone().slice_dim(0, n..n + 1));
        let exchanged = each.map(|image| {
            if self.images.len() < self.capacity {
                self.images.push(image.clone());
                image
            } else if rng.coin() {
                std::mem::replace(&mut self.images[rng.below(self.capacity)], image)
            } else {
                image
            }
        });
        Tensor::cat(exchanged.collect(), 0)
    }
}

impl Module for ImagePool {
    /// All places in a row, empty ones black, and how many are taken.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        if self.capacity == 0 {
            return;
        }
        let left = self.capacity - self.images.len();
        let empty = (left > 0).then(|| Tensor::zeros([left, 3, self.side, self.side], &self.device));
        let mut count = Tensor::<1>::from_data([self.images.len() as f32], &self.device);
        let taken = std::mem::take(&mut self.images).into_iter();
        let mut places = Tensor::cat(taken.chain(empty).collect(), 0);
        visitor.buffer("images", &mut places);
        visitor.buffer("count", &mut count);
        // What was shown may have been exchanged for what a file held.
        let count = (count.into_scalar::<f32>() as usize).min(self.capacity);
        self.images = (0..count).map(|n| places.clone().slice_dim(0, n..n + 1)).collect();
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::module::for_each;

    fn image(value: u32) -> Tensor<4> {
        Tensor::from_data(TensorData::new(vec![value as f32; 12], [1, 3, 2, 2]), &Device::flex())
    }

    fn first(image: &Tensor<4>) -> u32 {
        image.clone().slice_dim(1, 0..1).slice_dim(2, 0..1).slice_dim(3, 0..1).into_scalar::<f32>() as u32
    }

    #[test]
    fn half_of_what_comes_out_is_older_once_the_pool_is_full() {
        let (mut pool, mut rng) = (ImagePool::new(5, 2, &Device::flex()), Rng::stream(1, "pool", 0));
        let (mut old, mut seen) = (0, Vec::new());
        for n in 0..1_000 {
            let out = first(&pool.exchange(image(n), &mut rng));
            assert!(out <= n && (n >= 5 || out == n));
            if out < n {
                assert!(!seen.contains(&out), "what came out by an exchange is gone from the pool");
                seen.push(out);
                old += 1;
            }
        }
        assert!((420..580).contains(&old), "{old}");
    }

    #[test]
    fn a_pool_read_back_goes_on_alike() {
        let device = Device::flex();
        for filled in [0, 3, 9] {
            let (mut pool, mut rng) = (ImagePool::new(5, 2, &device), Rng::stream(1, "pool", 0));
            (0..filled).for_each(|n| _ = pool.exchange(image(n), &mut rng));
            let mut stored = Vec::new();
            for_each(&mut pool, |_, _, tensor| stored.push(tensor.data()));
            let mut other = ImagePool::new(5, 2, &device);
            let mut stored = stored.into_iter();
            for_each(&mut other, |_, _, tensor| tensor.set(stored.next().unwrap()));
            for n in 10..40 {
                let mut rng = [0, 1].map(|_| Rng::stream(2, "pool", n));
                let one = first(&pool.exchange(image(n as u32), &mut rng[0]));
                assert_eq!(one, first(&other.exchange(image(n as u32), &mut rng[1])));
            }
        }
    }

    #[test]
    fn a_pool_for_none_holds_nothing() {
        let mut pool = ImagePool::new(0, 2, &Device::flex());
        let mut rng = Rng::stream(1, "pool", 0);
        assert_eq!(first(&pool.exchange(image(7), &mut rng)), 7);
        for_each(&mut pool, |name, _, _| panic!("it has a tensor {name}"));
    }
}
