//! The numbers of burn's CPU tensors.

use burn::backend::TensorMetadata;
use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};

/// Whether the kernels can take a tensor: they know only f32, and nothing is left to them of an empty one.
pub(crate) fn takes(x: &FlexTensor) -> bool {
    x.dtype() == DType::F32 && x.shape().num_elements() > 0
}

/// The numbers of a contiguous tensor, in order.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    let layout = tensor.layout();
    debug_assert!(layout.is_contiguous());
    &tensor.storage::<f32>()[layout.start_offset()..][..layout.num_elements()]
}

/// A tensor of `numbers`.
pub(crate) fn tensor(numbers: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(numbers), Layout::contiguous(shape), DType::F32)
}
