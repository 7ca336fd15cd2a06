//! What several tests of the judges need.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
use moue::base::expression::Expression;
use safetensors::SafeTensors;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of an environment variable, or a line that says what is not tested without it.
pub fn folder(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: {variable} names no folder of what this test needs");
    }
    folder
}

/// golden/judges.safetensors.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn read() -> Self {
        Self(std::fs::read(root().join("golden/judges.safetensors")).unwrap())
    }

    pub fn numbers(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// Images `[batch, height, width, 3]`.
    pub fn images(&self, name: &str) -> Vec<RgbImage> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let [_, height, width, 3] = view.shape()[..] else { panic!("{name} holds no images") };
        let image = |bytes: &[u8]| RgbImage::from_raw(width as u32, height as u32, bytes.to_vec()).unwrap();
        view.data().chunks(height * width * 3).map(image).collect()
    }

    /// Images `[batch, height, width]`.
    pub fn grey_images(&self, name: &str) -> Vec<GrayImage> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let [_, height, width] = view.shape()[..] else { panic!("{name} holds no images") };
        let image = |bytes: &[u8]| GrayImage::from_raw(width as u32, height as u32, bytes.to_vec()).unwrap();
        view.data().chunks(height * width).map(image).collect()
    }
}

/// The largest difference of two lists of the same length.
#[track_caller]
pub fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A person's face.
pub struct Face {
    pub identity: String,
    pub expression: Expression,
    pub image: RgbImage,
}

/// The faces of a folder of data that look straight ahead, `IDENTITY/IDENTITY_EXPRESSION_frontal.jpg`: people in their
/// order, each with all expressions in theirs.
pub fn faces(folder: &Path) -> Vec<Face> {
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

pub fn images(faces: &[Face]) -> Vec<RgbImage> {
    faces.iter().map(|face| face.image.clone()).collect()
}
