//! Operations that moue adds to burn's: each with its own forward and backward where burn's composition of
//! smaller operations would need far more memory or time.
//!
//! | operation | why |
//! |---|---|
//! | [`attention`] | the map of positions by positions is never held whole, in training neither |
//! | [`adam`] | one pass over parameter, gradient and moments instead of ten |
//!
//! Every operation has a portable body made of burn's operations, which is what GPUs run, and may have a faster one
//! for the CPU (burn's flex backend).

mod adam;
mod attention;

pub use adam::{AdamStep, adam};
pub use attention::{TILE_BYTES, attention};

use burn::backend::{Backend, Flex, backend_extension, tensor::FloatTensor};

/// The operations as burn dispatches them. Users call [`attention`] and [`adam`].
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait Operations: Backend {
    /// See [`attention`].
    fn position_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        attention::forward::<Self>(query, key, value)
    }

    /// See [`adam`].
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        adam::portable::<Self>(parameter, gradient, mean, square, step)
    }
}

impl Operations for Flex {
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        adam::fused(parameter, gradient, mean, square, step)
    }
}

#[cfg(feature = "gpu")]
impl Operations for burn::backend::Cube {}
