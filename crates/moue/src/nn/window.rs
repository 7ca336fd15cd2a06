//! Where a face square shows an expression: its middle, for what looks closer there, and how much each pixel counts.

use burn::tensor::{Device, Tensor, TensorData};

/// A square part of square images, in pixels from their upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    left: usize,
    top: usize,
    side: usize,
}

impl Window {
    /// Brows, eyes and mouth of faces that lie with the eyes at 0.42 of the height, a quarter of the width apart: half
    /// the square's side, from 1/4 of the width and 5/16 of the height on. `side`, the square's, is a multiple of 16.
    pub fn of_face(side: usize) -> Self {
        Self { left: side / 4, top: side * 5 / 16, side: side / 2 }
    }

    /// That part of `[b, c, s, s]`.
    pub fn cut(self, x: Tensor<4>) -> Tensor<4> {
        let Self { left, top, side } = self;
        x.slice_dim(2, top..top + side).slice_dim(3, left..left + side)
    }

    /// A change of the window's size that fades to nothing towards its border, over a sixteenth of its side: added, it
    /// leaves no seam.
    pub fn faded(self, change: Tensor<4>) -> Tensor<4> {
        let side = self.side;
        let fade = |n: usize| ((n.min(side - 1 - n) as f32 + 0.5) * 16.0 / side as f32).min(1.0);
        let share: Vec<f32> = (0..side * side).map(|n| fade(n / side) * fade(n % side)).collect();
        let device = change.device().without_autodiff();
        change * Tensor::from_data(TensorData::new(share, [1, 1, side, side]), &device)
    }

    /// `[b, c, s, s]` with `change`, of the window's size, added there.
    pub fn add(self, x: Tensor<4>, change: Tensor<4>) -> Tensor<4> {
        let Self { left, top, side } = self;
        let [_, _, height, width] = x.dims();
        let around = [(top, height - side - top), (left, width - side - left)];
        x + change.pad(around, 0.0)
    }
}

/// How much each pixel of a square says of an expression, `[1, 1, s, s]`: 1 + 2 about the mouth + 1 about the eyes and
/// brows. Faces lie with the eyes at 0.42 of the height, a quarter of the width apart.
pub fn expression_weights(side: usize, device: &Device) -> Tensor<4> {
    let place = |n: usize| (n as f32 + 0.5) / side as f32;
    let hill = |x: f32, y: f32, [cx, cy, width, height]: [f32; 4]| {
        (-((x - cx) / width).powi(2) - ((y - cy) / height).powi(2)).exp()
    };
    let weight = |x: f32, y: f32| {
        1.0 + 2.0 * hill(x, y, [0.5, 0.68, 0.16, 0.10]) + hill(x, y, [0.5, 0.40, 0.25, 0.08])
    };
    let weights: Vec<f32> = (0..side * side).map(|n| weight(place(n % side), place(n / side))).collect();
    Tensor::from_data(TensorData::new(weights, [1, 1, side, side]), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_change_is_added_where_it_was_cut() {
        let device = Device::flex();
        let x = Tensor::<1, burn::tensor::Int>::arange(0..1024, &device).float().reshape([1, 1, 32, 32]);
        let window = Window::of_face(32);
        let cut = window.cut(x.clone());
        assert_eq!(cut.dims(), [1, 1, 16, 16]);
        assert_eq!(cut.clone().slice([0..1, 0..1, 0..1, 0..1]).into_scalar::<f32>(), (10 * 32 + 8) as f32);
        let changed = window.add(x.clone(), window.faded(cut.zeros_like() + 1.0)) - x;
        let values: Vec<f32> = changed.into_data().try_into_vec().unwrap();
        for (n, value) in values.into_iter().enumerate() {
            let [row, column] = [n / 32, n % 32];
            let inside = (10..26).contains(&row) && (8..24).contains(&column);
            // At 16 pixels only the outermost ones are not whole: half along a side, a quarter in a corner.
            let half = |at: usize, first: usize| if at == first || at == first + 15 { 0.5 } else { 1.0 };
            let expected = if inside { half(row, 10) * half(column, 8) } else { 0.0 };
            assert!((value - expected).abs() < 1e-4, "row {row}, column {column}: {value}, not {expected}");
        }
    }
}
