//! Gives a face another expression with a trained model.
//!
//! cargo run --release --example translate -- assets/models/default.safetensors assets/portraits/woman.jpg happy

use std::path::Path;

use moue::base::file::FileSystem;
use moue::base::{device::device, expression::Expression, image};
use moue::run::model::Model;
use moue::run::translate::translate_faces;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, face, expression] = arguments.as_slice() else {
        return Err("usage: translate MODEL FACE EXPRESSION".into());
    };
    let device = device("auto")?;
    let model = Model::open(Path::new(model), None, &device)?;
    let face = image::read(Path::new(face))?;
    let target: Expression = expression.parse()?;
    let results = translate_faces(&model, &[face], &[target], 1, &device);
    image::write_png(&FileSystem, Path::new("translated.png"), &results[0][0])?;
    Ok(())
}
