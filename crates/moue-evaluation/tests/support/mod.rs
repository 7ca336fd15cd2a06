//! What several tests of the judges need.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use image::{GrayImage, RgbImage};
use moue::base::expression::Expression;
use moue_evaluation::accuracy::Confusion;
use moue_evaluation::contempt::asymmetry;
use moue_evaluation::judges::Judges;
use moue_evaluation::networks::recognition::{LENGTH, distance};
use moue_evaluation::weights::Store;
use safetensors::SafeTensors;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of an environment variable, or a line that says what is not tested without it.
pub(crate) fn folder(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: {variable} names no folder of what this test needs");
    }
    folder
}

/// A file of the folder MOUE_WEIGHTS and what it holds, or a line that says what is not tested without it.
pub(crate) fn weights(name: &str) -> Option<(PathBuf, Vec<u8>)> {
    let path = folder("MOUE_WEIGHTS")?.join(name);
    if !path.exists() {
        eprintln!("skipped: MOUE_WEIGHTS holds no {name}");
        return None;
    }
    let bytes = std::fs::read(&path).unwrap();
    Some((path, bytes))
}

/// golden/judges.safetensors.
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn read() -> Self {
        Self(std::fs::read(root().join("golden/judges.safetensors")).unwrap())
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// Images `[batch, height, width, 3]`.
    pub(crate) fn images(&self, name: &str) -> Vec<RgbImage> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let [_, height, width, 3] = view.shape()[..] else { panic!("{name} holds no images") };
        let image = |bytes: &[u8]| RgbImage::from_raw(width as u32, height as u32, bytes.to_vec()).unwrap();
        view.data().chunks(height * width * 3).map(image).collect()
    }

    /// Images `[batch, height, width]`.
    pub(crate) fn grey_images(&self, name: &str) -> Vec<GrayImage> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let [_, height, width] = view.shape()[..] else { panic!("{name} holds no images") };
        let image = |bytes: &[u8]| GrayImage::from_raw(width as u32, height as u32, bytes.to_vec()).unwrap();
        view.data().chunks(height * width).map(image).collect()
    }
}

/// The largest difference of two lists of the same length.
#[track_caller]
pub(crate) fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A person's face.
pub(crate) struct Face {
    pub(crate) identity: String,
    pub(crate) expression: Expression,
    pub(crate) image: RgbImage,
}

/// The faces of a folder of data that look straight ahead, `IDENTITY/IDENTITY_EXPRESSION_frontal.jpg`: people in their
/// order, each with all expressions in theirs.
pub(crate) fn faces(folder: &Path) -> Vec<Face> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|e| e.path().is_dir());
    let mut people: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    people.sort();
    let of = |identity: &String| {
        Expression::ALL.map(|expression| {
            let path = folder.join(identity).join(format!("{identity}_{expression}_frontal.jpg"));
            Face { identity: identity.clone(), expression, image: moue::base::image::read(&path).unwrap() }
        })
    };
    people.iter().flat_map(of).collect()
}

pub(crate) fn images(faces: &[Face]) -> Vec<RgbImage> {
    faces.iter().map(|face| face.image.clone()).collect()
}

/// The rendered people of `assets/`.
pub(crate) fn rendered() -> Vec<Face> {
    faces(&root().join("assets/faces"))
}

/// With identity and LPIPS, or `None` and a line that says so.
pub(crate) fn all_judges() -> Option<Judges> {
    let weights = folder("MOUE_WEIGHTS")?;
    let store = Store { folder: Some(weights), cache: None, offline: true };
    let (judges, missing) =
        Judges::embedded(&Device::flex()).complete(&store, &Device::flex(), &mut |_, _| ());
    if let Some(missing) = missing.first() {
        eprintln!("skipped: {missing}");
        return None;
    }
    Some(judges)
}

pub(crate) fn confusion(faces: &[Face], answers: &[[f32; 7]]) -> Confusion {
    let mut confusion = Confusion::default();
    faces.iter().zip(answers).for_each(|(face, answer)| confusion.add(face.expression, answer));
    confusion
}

/// The value below which a part of them lies, as numpy has it.
pub(crate) fn percentile(values: &[f32], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let place = part * (sorted.len() - 1) as f64;
    let [low, high] = [place.floor(), place.ceil()].map(|place| f64::from(sorted[place as usize]));
    low + (high - low) * place.fract()
}

/// How often one of `these` is larger than one of `those`.
pub(crate) fn area_under_curve(these: &[f32], those: &[f32]) -> f64 {
    let wins = |a: &f32| those.iter().map(|b| if a > b { 1.0 } else { f64::from(a == b) / 2.0 }).sum::<f64>();
    these.iter().map(wins).sum::<f64>() / (these.len() * those.len()) as f64
}

const NEUTRAL: usize = 5;

/// Each face's value against that of the same person's neutral face, but for the neutral faces themselves.
pub(crate) fn against_neutral<T>(faces: &[Face], values: &[T], compare: impl Fn(&T, &T) -> f32) -> Vec<f32> {
    let pairs = values.iter().enumerate().map(|(index, value)| (value, &values[index / 8 * 8 + NEUTRAL]));
    let faces = faces.iter().zip(pairs).filter(|(face, _)| face.expression != Expression::Neutral);
    faces.map(|(_, (value, neutral))| compare(value, neutral)).collect()
}

/// The distances of different people's neutral faces.
pub(crate) fn strangers(vectors: &[[f32; LENGTH]]) -> Vec<f32> {
    let neutral: Vec<_> = vectors.iter().skip(NEUTRAL).step_by(8).collect();
    let pairs = (0..neutral.len()).flat_map(|a| (a + 1..neutral.len()).map(move |b| (a, b)));
    pairs.map(|(a, b)| distance(neutral[a], neutral[b])).collect()
}

/// How much more askew a mouth stands than in the neutral face: of contemptuous faces, and of the six others.
pub(crate) fn asymmetries(faces: &[Face], tilts: &[f32]) -> [Vec<f32>; 2] {
    let all = against_neutral(faces, tilts, |tilt, neutral| asymmetry(*tilt, *neutral));
    let of: Vec<_> = faces.iter().filter(|face| face.expression != Expression::Neutral).collect();
    [true, false].map(|wanted| {
        let chosen =
            of.iter().zip(&all).filter(|(face, _)| (face.expression == Expression::Contemptuous) == wanted);
        chosen.map(|(_, value)| *value).collect()
    })
}
