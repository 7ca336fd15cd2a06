//! An edit of one face square as numbers, and what it says between its pixels.

use burn::tensor::Tensor;

use crate::nn::edit::Edit;

/// Values of an edit at one place: flow x and y in -1..1 coordinates, mask in 0..1, and three colours in -1..1 times the
/// mask; for a painted edit the colours are the change in -2..2. The other two keep a place in one register.
///
/// Colours are interpolated times their mask (Porter and Duff 1984, premultiplied alpha): a colour counts as much as it is
/// seen. Where the mask is near 0 a network's colours are wild, and interpolated by themselves they would fringe the
/// mouth.
pub(super) type Values = [f32; 8];

/// The edit of one face square, in the host's memory.
#[derive(Debug, Clone)]
pub struct SquareEdit {
    pub(super) side: usize,
    pub(super) painted: bool,
    pub(super) values: Vec<Values>,
}

impl SquareEdit {
    /// The edits of a batch; `x`, `[batch, 3, side, side]`, are the squares that they were made for.
    pub fn of_batch(edit: Edit, x: &Tensor<4>) -> Vec<Self> {
        let [batch, _, side, _] = x.dims();
        let painted = matches!(edit, Edit::Painted(_));
        let planes = match edit {
            Edit::Painted(image) => {
                let nothing = Tensor::zeros([batch, 3, side, side], &x.device());
                vec![nothing, image - x.clone()]
            }
            Edit::Warped { flow, mask, colour } => vec![flow, mask.clone(), colour * mask],
        };
        let data = Tensor::cat(planes, 1).into_data().convert::<f32>();
        let numbers: &[f32] = data.as_slice().expect("the data was converted to f32");
        let pixels = side * side;
        let of_image = |image: &[f32]| {
            let value = |pixel: usize| {
                let mut values = [0.0; 8];
                values[..6].iter_mut().enumerate().for_each(|(n, value)| *value = image[n * pixels + pixel]);
                values
            };
            Self { side, painted, values: (0..pixels).map(value).collect() }
        };
        numbers.chunks_exact(6 * pixels).map(of_image).collect()
    }

    /// Whether every value is a number. A generator that training has broken makes others.
    pub fn is_finite(&self) -> bool {
        self.values.iter().flatten().all(|value| value.is_finite())
    }

    /// Side of the square that the edit was made on, in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Whether the square was painted anew; then there is neither flow nor mask.
    pub fn is_painted(&self) -> bool {
        self.painted
    }

    /// Flow (x and y, -1..1 coordinates), mask and colour of a pixel of the square.
    pub fn at(&self, column: usize, row: usize) -> ([f32; 2], f32, [f32; 3]) {
        let [x, y, mask, red, green, blue, ..] = self.values[row * self.side + column];
        let colour = [red, green, blue];
        ([x, y], mask, if self.painted { colour } else { unmasked(colour, mask) })
    }

    /// The edit at (u, v) of the square, between its pixels.
    #[inline(always)]
    pub(super) fn sample(&self, u: f64, v: f64) -> Values {
        let (columns, along) = taps(u * self.side as f64 - 0.5, self.side);
        let (rows, down) = taps(v * self.side as f64 - 0.5, self.side);
        let mut sum = [0.0; 8];
        for row in 0..4 {
            let line = &self.values[rows[row] * self.side..][..self.side];
            for column in 0..4 {
                let (weight, values) = (down[row] * along[column], &line[columns[column]]);
                for n in 0..8 {
                    sum[n] += weight * values[n];
                }
            }
        }
        sum
    }
}

/// The colours that were multiplied with a mask.
#[inline(always)]
pub(super) fn unmasked([red, green, blue]: [f32; 3], mask: f32) -> [f32; 3] {
    // Where the mask is as good as 0, nobody sees what they are.
    let mask = mask.max(1e-6);
    [(red / mask).clamp(-1.0, 1.0), (green / mask).clamp(-1.0, 1.0), (blue / mask).clamp(-1.0, 1.0)]
}

/// The four pixels about a place (in pixels, from the first one's centre) and their Catmull-Rom weights; beyond the
/// border its pixel goes on. At a pixel's centre only that pixel counts.
#[inline(always)]
pub(super) fn taps(place: f64, size: usize) -> ([usize; 4], [f32; 4]) {
    // Rounded down; the oldest x86-64 has no instruction for it, and a call would take as long as the rest.
    let whole = place as i64;
    let floor = whole - i64::from(whole as f64 > place);
    let t = (place - floor as f64) as f32;
    let last = size as i64 - 1;
    let pixels = [
        (floor - 1).clamp(0, last) as usize,
        floor.clamp(0, last) as usize,
        (floor + 1).clamp(0, last) as usize,
        (floor + 2).clamp(0, last) as usize,
    ];
    let weights = [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ];
    (pixels, weights)
}
