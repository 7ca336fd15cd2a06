//! What each layer does, written down while something goes through a network.
//!
//! A layer reports to its thread's tape, where one runs. So a network is described by its own forward pass, and not a
//! second time beside it.

use std::cell::RefCell;

use burn::tensor::Tensor;

use super::module::AnyTensor;

/// What a layer did.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it is, as `conv 4x4 /2`.
    pub kind: String,
    /// The values of its weight, in a row: by them a reader of the tape knows it among others.
    pub weight: Tensor<1>,
    /// Shape of what it gave, the batch first.
    pub output: Vec<usize>,
    /// Products that were added up, for the whole batch: of convolutions, linear layers and attention. What a norm
    /// or an activation does to each value by itself is not counted.
    pub multiply_adds: u64,
}

impl Report {
    /// The report of a layer that gave `output` with `multiply_adds` products.
    pub(super) fn of<const D: usize>(
        kind: impl Into<String>,
        weight: &dyn AnyTensor,
        output: &Tensor<D>,
        multiply_adds: usize,
    ) -> Self {
        let (weight, output) = (weight.flat(), output.dims().to_vec());
        Self { kind: kind.into(), weight, output, multiply_adds: multiply_adds as u64 }
    }
}

thread_local! {
    static TAPE: RefCell<Option<Vec<Report>>> = const { RefCell::new(None) };
}

/// What the layers report while `forward` runs on this thread, in their order.
pub fn record(forward: impl FnOnce()) -> Vec<Report> {
    TAPE.set(Some(Vec::new()));
    forward();
    TAPE.take().unwrap_or_default()
}

/// Reports a layer where a tape runs; else costs nothing.
pub(super) fn report(layer: impl FnOnce() -> Report) {
    TAPE.with_borrow_mut(|tape| {
        if let Some(tape) = tape {
            tape.push(layer());
        }
    });
}
