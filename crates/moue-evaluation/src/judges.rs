//! The judges: what evaluation asks about face squares, at any size, in moue's framing.
//!
//! Every answer depends on one image (or one pair of images) and the weights alone, so it can be kept under the sum of
//! the image's bytes and the judge's [`Judges::fingerprint`].

use burn::tensor::Device;
use image::RgbImage;
use moue::base::error::{Error, Result};
use moue::photo::landmarks::Landmarks;
use rayon::prelude::*;

use crate::contempt;
use crate::crops::{FACE, FIVE, FaceBox};
use crate::networks::expression::FaceExpressionNet;
use crate::networks::lpips::{Features, Lpips};
use crate::networks::minixception::MiniXception;
use crate::networks::recognition::{FaceRecognitionNet, LENGTH};
use crate::networks::sources::{self, LPIPS, RECOGNITION, Source};
use crate::weights::{Progress, Store};

/// How many images go through a network at a time.
const BATCH: usize = 16;

/// The two classifiers of expressions, which were trained by different people on different photographs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Classifier {
    /// [`FaceExpressionNet`].
    FaceApi,
    /// [`MiniXception`].
    Fer,
}

impl Classifier {
    /// Both.
    pub const ALL: [Self; 2] = [Self::FaceApi, Self::Fer];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::FaceApi => "face-api",
            Self::Fer => "fer",
        }
    }
}

/// What a judge is asked, and so a kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// [`Judges::expression`].
    Expression(Classifier),
    /// [`Judges::expression_in_five`].
    ExpressionInFive(Classifier),
    /// [`Judges::embedding`].
    Identity,
    /// [`Judges::lpips`].
    Lpips,
    /// [`Judges::mouth_tilt`].
    MouthTilt,
}

/// The networks. Those for expressions and landmarks are embedded; identity and LPIPS answer once their weights are
/// there.
#[derive(Debug, Clone)]
pub struct Judges {
    face_api: FaceExpressionNet,
    fer: MiniXception,
    landmarks: Landmarks,
    recognition: Option<FaceRecognitionNet>,
    perceptual: Option<Lpips>,
}

impl Judges {
    /// The judges that need no file.
    pub fn embedded(device: &Device) -> Self {
        Self {
            face_api: FaceExpressionNet::new(device),
            fer: MiniXception::new(device),
            landmarks: Landmarks::new(device),
            recognition: None,
            perceptual: None,
        }
    }

    /// The same with the judges whose weights are found, or fetched; and what kept the others away. `progress` hears how
    /// far a download is, with the name of what is fetched.
    pub fn complete(
        self,
        store: &Store,
        device: &Device,
        progress: &mut dyn FnMut(&'static str, Progress),
    ) -> (Self, Vec<Error>) {
        let (mut judges, mut missing) = (self, Vec::new());
        match sources::recognition(store, device, &mut |done| progress(RECOGNITION.network, done)) {
            Ok(network) => judges = judges.with_recognition(network),
            Err(error) => missing.push(error),
        }
        match sources::lpips(store, device, &mut |done| progress(LPIPS.network, done)) {
            Ok(network) => judges = judges.with_perceptual(network),
            Err(error) => missing.push(error),
        }
        (judges, missing)
    }

    /// The same with a judge of identity.
    pub fn with_recognition(self, network: FaceRecognitionNet) -> Self {
        Self { recognition: Some(network), ..self }
    }

    /// The same with a judge of perceptual distance.
    pub fn with_perceptual(self, network: Lpips) -> Self {
        Self { perceptual: Some(network), ..self }
    }

    /// How likely a classifier finds each of [`crate::networks::CLASSES`] in each image, in sum 1. It looks at [`FACE`].
    pub fn expression(&self, classifier: Classifier, images: &[RgbImage]) -> Vec<[f32; 7]> {
        let boxes: Vec<_> = images.iter().map(|image| (image, FACE)).collect();
        self.classify(classifier, &boxes)
    }

    /// The same for each of [`FIVE`] boxes of each image.
    pub fn expression_in_five(&self, classifier: Classifier, images: &[RgbImage]) -> Vec<[[f32; 7]; 5]> {
        let boxes: Vec<_> = images.iter().flat_map(|image| FIVE.map(|part| (image, part))).collect();
        let rows = self.classify(classifier, &boxes);
        rows.chunks_exact(5).map(|rows| std::array::from_fn(|index| rows[index])).collect()
    }

    /// 128 numbers for each image; how far two people's, or two images of one person, lie apart is
    /// [`crate::networks::recognition::distance`].
    ///
    /// # Errors
    /// [`Error::Weights`] when the network is not there.
    pub fn embedding(&self, images: &[RgbImage]) -> Result<Vec<[f32; LENGTH]>> {
        let network = self.recognition.as_ref().ok_or_else(|| absent(RECOGNITION))?;
        let cut = |image: &RgbImage| FACE.cut(image, FaceRecognitionNet::SIDE);
        Ok(in_batches(images, cut, |batch| network.forward(&batch)))
    }

    /// LPIPS between images of the same place in both lists, whole squares at their own size.
    ///
    /// # Errors
    /// [`Error::Weights`] when the network is not there, [`Error::Config`] when the lists are not equally long, the
    /// images of a pair differ in size, or one has a side of less than 31 pixels.
    pub fn lpips(&self, first: &[RgbImage], second: &[RgbImage]) -> Result<Vec<f32>> {
        if first.len() != second.len() {
            let problem =
                format!("LPIPS of {} and {} images: there is no pair for each", first.len(), second.len());
            return Err(Error::config(problem, "give two lists of the same length"));
        }
        let network = self.perceptual.as_ref().ok_or_else(|| absent(LPIPS))?;
        let pairs = first.iter().zip(second);
        pairs.map(|(first, second)| network.features(first)?.distance(&network.features(second)?)).collect()
    }

    /// What of an image LPIPS compares, for many comparisons: [`Features::distance`] and [`pairwise`].
    ///
    /// # Errors
    /// [`Error::Weights`] when the network is not there, [`Error::Config`] for an image with a side of less than 31
    /// pixels.
    pub fn perceptual_features(&self, images: &[RgbImage]) -> Result<Vec<Features>> {
        let network = self.perceptual.as_ref().ok_or_else(|| absent(LPIPS))?;
        images.iter().map(|image| network.features(image)).collect()
    }

    /// How far the mouth stands askew in each image, see [`contempt::tilt`].
    pub fn mouth_tilt(&self, images: &[RgbImage]) -> Vec<f32> {
        images.par_iter().map(|image| contempt::tilt(&self.landmarks.in_square(image)) as f32).collect()
    }

    /// What an answer depends on beside the image: network, weights and box. `None` while the network is not there.
    pub fn fingerprint(&self, question: Question) -> Option<String> {
        let of = |classifier| match classifier {
            Classifier::FaceApi => FaceExpressionNet::fingerprint(),
            Classifier::Fer => MiniXception::fingerprint(),
        };
        let boxed = |network: &str, boxes: &[FaceBox]| {
            let boxes = boxes.iter().map(|part| format!("{:.4},{:.4},{:.4}", part.left, part.top, part.side));
            format!("{network}@{}", boxes.collect::<Vec<_>>().join(";"))
        };
        match question {
            Question::Expression(classifier) => Some(boxed(&of(classifier), &[FACE])),
            Question::ExpressionInFive(classifier) => Some(boxed(&of(classifier), &FIVE)),
            Question::Identity => {
                self.recognition.as_ref().map(|network| boxed(network.fingerprint(), &[FACE]))
            }
            Question::Lpips => self.perceptual.as_ref().map(|network| network.fingerprint().to_string()),
            // The library's own landmarks: count up when they or their use change.
            Question::MouthTilt => Some("mouth-tilt:1".to_string()),
        }
    }

    fn classify(&self, classifier: Classifier, boxes: &[(&RgbImage, FaceBox)]) -> Vec<[f32; 7]> {
        match classifier {
            Classifier::FaceApi => in_batches(
                boxes,
                |(image, part)| part.cut(image, FaceExpressionNet::SIDE),
                |batch| self.face_api.forward(&batch),
            ),
            Classifier::Fer => in_batches(
                boxes,
                |(image, part)| part.cut_grey(image, MiniXception::SIDE),
                |batch| self.fer.forward(&batch),
            ),
        }
    }
}

/// LPIPS of every pair of images: of the first with the second, third, … last, then of the second with the third, ….
///
/// # Errors
/// [`Error::Config`] when they differ in size.
pub fn pairwise(features: &[Features]) -> Result<Vec<f32>> {
    let count = features.len();
    let pairs: Vec<_> = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect();
    pairs.par_iter().map(|&(a, b)| features[a].distance(&features[b])).collect()
}

/// Each item cut to what a network sees, and the network's answers, a batch after the other.
fn in_batches<Item: Sync, Cut: Send, Answer>(
    items: &[Item],
    cut: impl Fn(&Item) -> Cut + Sync,
    forward: impl Fn(Vec<Cut>) -> Vec<Answer>,
) -> Vec<Answer> {
    items.chunks(BATCH).flat_map(|items| forward(items.par_iter().map(&cut).collect())).collect()
}

fn absent(source: Source) -> Error {
    let hint = format!(
        "set MOUE_WEIGHTS to a folder that holds {}; the weights are in {}",
        source.local, source.package.address
    );
    Error::weights(source.local, format!("the weights of {} are not there", source.network), hint)
}
