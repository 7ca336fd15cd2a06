//! Gives the largest face of a photo another expression, step by step, and says what each step took.
//!
//! cargo run --release --example translate -- assets/models/default.safetensors assets/portraits/woman.jpg happy out.png

use std::path::Path;
use std::time::Instant;

use moue::base::file::FileSystem;
use moue::base::{device::device, expression::Expression, image};
use moue::photo::apply::{Patch, SquareEdit};
use moue::photo::file::Photo;
use moue::photo::find::Finder;
use moue::photo::write::{PhotoFormat, WriteOptions};
use moue::run::model::Model;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    // On one of the threads that share the CPU's work, which is faster than on another.
    rayon::scope(|_| translate())
}

fn translate() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, expression, output] = arguments.as_slice() else {
        return Err("usage: translate MODEL PHOTO EXPRESSION OUTPUT".into());
    };
    let target: Expression = expression.parse()?;
    let device = device("auto")?;

    let mut clock = Clock(Instant::now());
    let model = Model::open(Path::new(model), None, &device)?;
    let finder = Finder::new(&device);
    clock.lap("open the model and the finder");

    let photo = Photo::read(Path::new(input))?;
    clock.lap("read the photo");

    // Faces are looked for in a smaller copy that stands upright.
    let (upright, scale) = photo.upright(2048);
    clock.lap("turn and reduce a copy");
    let faces = finder.find(&upright);
    let square = faces.first().ok_or("no face is found")?.square();
    clock.lap("find the faces");

    // The network sees the face's square at its own size, and answers with an edit.
    let side = model.card.method.image_size() as u32;
    let face = image::to_tensor(&[square.crop(&upright, side)], &device);
    let edit = model.translator.edit(face.clone(), &[target]);
    let edit = SquareEdit::of_batch(edit, &face).remove(0);
    clock.lap("ask the network");

    // The edit is applied to the photo's own pixels, as they are stored.
    let square = square.map(|point| photo.stored_from_upright(point.map(|value| value * scale)));
    let mut pixels = photo.pixels().clone();
    Patch::new(&pixels, &square, &edit, model.card.strength).swap(&mut pixels);
    clock.lap("edit the photo");

    let output = Path::new(output);
    let format = PhotoFormat::from_path(output)?;
    photo.write(&FileSystem, output, &pixels, format, &WriteOptions::marked(model.name()))?;
    clock.lap("write the result");
    Ok(())
}

/// Says how long the steps take.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self, step: &str) {
        let now = Instant::now();
        eprintln!("{:6.1} ms  {step}", (now - self.0).as_secs_f64() * 1e3);
        self.0 = now;
    }
}
