//! BlazeFace, "back camera" model of 256 x 256 pixels: boxes around faces, each with six points.
//!
//! Bazarevsky et al. 2019, BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs. The weights are MediaPipe's
//! (Apache-2.0); `assets/README.md` of this crate says where they are from, `golden/convert_face_networks.py` how they
//! came here and what onnxruntime computes with them.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use image::RgbImage;
use moue_kernels::{Pooling, convolution, max_pooling};

use super::align::FaceSquare;
use super::weights::{Separable, Weights, same_padded};
use crate::base::image::to_tensor;

/// Width and height of the images that the network sees, in pixels.
pub(super) const VIEW: u32 = 256;

/// How many boxes an image gets: two at each place of a 16 x 16 grid, then six at each of 8 x 8.
const BOXES: usize = 2 * 16 * 16 + 6 * 8 * 8;

/// Boxes that share more than this part of their union show the same face.
const SAME_FACE: f64 = 0.3;

/// What the detector holds for a face, in the coordinates of a photo or, from 0 to 1, of a square of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// How sure the network is, 0 to 1.
    pub(super) score: f64,
    /// Middle of the box.
    pub(super) middle: [f64; 2],
    /// Side of the box, which reaches from the brows to the chin.
    pub(super) size: f64,
    /// Left eye, right eye, tip of the nose, mouth, left and right ear, left and right as seen in an upright face's image.
    pub(super) points: [[f64; 2]; 6],
}

impl Candidate {
    /// The candidate of a square of a photo in the coordinates of the photo.
    fn to_photo(&self, square: &FaceSquare) -> Self {
        let place = |[u, v]: [f64; 2]| square.to_photo(u, v);
        Self {
            score: self.score,
            middle: place(self.middle),
            size: self.size * square.side(),
            points: self.points.map(place),
        }
    }

    /// The part of the two boxes' union that both cover, both taken as level: a face that is found in views of different
    /// rotations is still one.
    pub(super) fn overlap(&self, other: &Self) -> f64 {
        let shared = |axis: usize| {
            let end = |c: &Self, sign: f64| c.middle[axis] + sign * c.size / 2.0;
            (end(self, 1.0).min(end(other, 1.0)) - end(self, -1.0).max(end(other, -1.0))).max(0.0)
        };
        let both = shared(0) * shared(1);
        both / (self.size * self.size + other.size * other.size - both).max(f64::MIN_POSITIVE)
    }
}

/// The network.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    stem: (Tensor<4>, Tensor<1>),
    blocks: Vec<Separable>,
    /// Scores and boxes of the fine grid, then of the coarse one.
    heads: [(Tensor<4>, Tensor<1>); 4],
}

impl Detector {
    /// The network with its embedded weights.
    pub(super) fn new(device: &Device) -> Self {
        let weights = Weights::new(include_bytes!("../../assets/blazeface-back.safetensors"), device);
        let biased =
            |name: &str| (weights.tensor(&format!("{name}.weight")), weights.tensor(&format!("{name}.bias")));
        let block = |index: usize| {
            let stride = if [7, 15, 23, 31].contains(&index) { 2 } else { 1 };
            weights.separable(&format!("blocks.{index}"), stride)
        };
        Self {
            stem: biased("stem"),
            blocks: (0..32).map(block).collect(),
            heads: ["fine.scores", "fine.boxes", "coarse.scores", "coarse.boxes"].map(biased),
        }
    }

    /// Faces in squares of a photo, in the photo's coordinates, best first, each once however many squares show it.
    /// Scores are at least `least`.
    pub(super) fn detect(&self, photo: &RgbImage, squares: &[FaceSquare], least: f64) -> Vec<Candidate> {
        let mut found = Vec::new();
        // Four views at a time take 30 MiB.
        for squares in squares.chunks(4) {
            let views: Vec<_> = squares.iter().map(|square| square.crop(photo, VIEW)).collect();
            let (scores, boxes) = self.forward(to_tensor(&views, &self.stem.1.device()));
            let rows = scores.chunks(BOXES).zip(boxes.chunks(16 * BOXES)).zip(squares);
            for ((scores, boxes), square) in rows {
                found.extend(decode(scores, boxes, least).iter().map(|found| found.to_photo(square)));
            }
        }
        merge(found)
    }

    /// `[batch, 3, 256, 256]` in -1..1 to the scores before the sigmoid, 896 an image, and the 16 numbers of each box.
    fn forward(&self, images: Tensor<4>) -> (Vec<f32>, Vec<f32>) {
        let batch = images.dims()[0];
        let mut x = relu(same_padded(images, self.stem.0.clone(), self.stem.1.clone(), 2));
        let (last, blocks) = self.blocks.split_last().expect("there are 32 blocks");
        for block in blocks {
            let inner = block.forward(x.clone());
            x = relu(inner.clone() + skip(x, inner.dims()));
        }
        let coarse = relu(last.forward(x.clone()));
        let [fine_scores, fine_boxes, coarse_scores, coarse_boxes] = &self.heads;
        let head = |x: &Tensor<4>, (weight, bias): &(Tensor<4>, Tensor<1>), numbers: usize| {
            let x = convolution(x.clone(), weight.clone(), Some(bias.clone()), 1, 0).permute([0, 2, 3, 1]);
            let count = x.shape().num_elements() / (batch * numbers);
            x.reshape([batch, count, numbers])
        };
        let joined = |fine, coarse| {
            let data = Tensor::cat(vec![fine, coarse], 1).into_data().convert::<f32>();
            data.try_to_vec::<f32>().expect("the data was converted to f32")
        };
        let scores = joined(head(&x, fine_scores, 1), head(&coarse, coarse_scores, 1));
        (scores, joined(head(&x, fine_boxes, 16), head(&coarse, coarse_boxes, 16)))
    }
}

/// What a block's input adds to its result: halved by maxima and with channels of zeros where the shape asks for it.
fn skip(x: Tensor<4>, [batch, channels, height, width]: [usize; 4]) -> Tensor<4> {
    let x = if x.dims()[2] == height { x } else { max_pooling(x, Pooling::new(2, 2)) };
    let missing = channels - x.dims()[1];
    if missing == 0 {
        return x;
    }
    let zeros = Tensor::zeros([batch, missing, height, width], &x.device());
    Tensor::cat(vec![x, zeros], 1)
}

/// The boxes of one image with a score of at least `least`, in 0..1 of its width and height.
fn decode(scores: &[f32], boxes: &[f32], least: f64) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (index, (&logit, numbers)) in scores.iter().zip(boxes.chunks(16)).enumerate() {
        let score = 1.0 / (1.0 + f64::from(-logit).exp());
        if score < least {
            continue;
        }
        let (cell, grid) = if index < 512 { (index / 2, 16) } else { ((index - 512) / 6, 8) };
        let anchor = [cell % grid, cell / grid].map(|place| (place as f64 + 0.5) / grid as f64);
        let number = |at: usize| f64::from(numbers[at]) / f64::from(VIEW);
        let point = |at: usize| [anchor[0] + number(at), anchor[1] + number(at + 1)];
        found.push(Candidate {
            score,
            middle: point(0),
            size: (number(2) * number(3)).abs().sqrt(),
            points: [4, 6, 8, 10, 12, 14].map(point),
        });
    }
    found
}

/// Boxes of the same face become one, the mean weighted by their scores, with the best score (the paper's blending,
/// which jitters less than taking the best box alone).
fn merge(mut found: Vec<Candidate>) -> Vec<Candidate> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces = Vec::new();
    while let Some(best) = found.first().cloned() {
        let (same, others): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|candidate| *candidate == best || candidate.overlap(&best) > SAME_FACE);
        found = others;
        let total: f64 = same.iter().map(|candidate| candidate.score).sum();
        let mean = |value: &dyn Fn(&Candidate) -> f64| {
            same.iter().map(|candidate| candidate.score * value(candidate)).sum::<f64>() / total
        };
        faces.push(Candidate {
            score: best.score,
            middle: [0, 1].map(|axis| mean(&|c| c.middle[axis])),
            size: mean(&|c| c.size),
            points: [0, 1, 2, 3, 4, 5].map(|point| [0, 1].map(|axis| mean(&|c| c.points[point][axis]))),
        });
    }
    faces
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::imageops::{FilterType, resize};
    use safetensors::SafeTensors;

    /// The largest |ours - onnxruntime's| / max(1, |onnxruntime's|).
    fn largest_error(ours: &[f32], golden: &SafeTensors<'_>, name: &str) -> f32 {
        let theirs = golden.tensor(name).unwrap();
        let theirs = theirs.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        assert_eq!(ours.len(), theirs.len());
        ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max)
    }

    #[test]
    fn the_detector_computes_what_onnxruntime_does() {
        let file = include_bytes!("../../../../golden/face_networks.safetensors");
        let golden = SafeTensors::deserialize(file).unwrap();
        let pixels = golden.tensor("blazeface.input").unwrap().data().to_vec();
        let small = RgbImage::from_raw(64, 64, pixels).unwrap();
        let view = resize(&small, VIEW, VIEW, FilterType::Nearest);
        // The second image of a batch must not disturb the first.
        let images = to_tensor(&[view, RgbImage::new(VIEW, VIEW)], &Device::flex());
        let (scores, boxes) = Detector::new(&Device::flex()).forward(images);
        // Sums of up to 96 products of f32 in another order, through 33 layers: 1e-4 as for all golden numbers.
        assert!(largest_error(&scores[..BOXES], &golden, "blazeface.scores") < 1e-4);
        assert!(largest_error(&boxes[..16 * BOXES], &golden, "blazeface.boxes") < 1e-4);
        let best = &merge(decode(&scores[..BOXES], &boxes[..16 * BOXES], 0.5))[0];
        // The eyes of a rendered face lie at (0.375, 0.42) and (0.625, 0.42).
        assert!((best.points[0][0] - 0.375).abs() < 0.03 && (best.points[1][0] - 0.625).abs() < 0.03);
        assert!((best.points[0][1] - 0.42).abs() < 0.03 && (best.points[1][1] - 0.42).abs() < 0.03);
    }

    #[test]
    fn boxes_of_one_face_become_their_weighted_mean() {
        let candidate =
            |score, x: f64, size| Candidate { score, middle: [x, 10.0], size, points: [[x, 9.0]; 6] };
        let faces =
            merge(vec![candidate(0.3, 14.0, 10.0), candidate(0.9, 10.0, 10.0), candidate(0.5, 50.0, 8.0)]);
        assert_eq!(faces.len(), 2);
        assert!((faces[0].middle[0] - 11.0).abs() < 1e-12 && (faces[0].points[3][0] - 11.0).abs() < 1e-12);
        assert_eq!((faces[0].score, &faces[1]), (0.9, &candidate(0.5, 50.0, 8.0)));
    }
}
