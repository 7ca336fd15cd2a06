//! Trains a small model on a folder of labelled faces and listens to its losses.
//!
//! cargo run --release --example train -- assets/faces my-run

use std::path::Path;
use std::sync::atomic::AtomicBool;

use moue::base::device::device;
use moue::base::error::Result;
use moue::base::file::FileSystem;
use moue::run::config::RunConfig;
use moue::run::events::{Event, Listener};
use moue::run::folder::RunFolder;
use moue::run::train::{Start, Surroundings, train};

/// Prints the reconstruction loss.
struct Reconstruction;

impl Listener for Reconstruction {
    fn hear(&mut self, event: &Event) -> Result<()> {
        if let Event::Step { iteration, values, .. } = event {
            for (name, value) in values.iter().filter(|(name, _)| name == "generator.reconstruction") {
                eprintln!("batch {iteration}: {name} {value:.3}");
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, run] = arguments.as_slice() else {
        return Err("usage: train DATA RUN".into());
    };
    let mut config = RunConfig::layered(Some("smoke"), None, &["training.iterations=40".to_string()])?;
    config.data.path = std::path::absolute(data)?;
    let device = device("auto")?;
    let folder = RunFolder::create(Path::new(run), &config, &FileSystem)?;
    let start = Start::of(&folder, &config, &device)?;
    let mut surroundings = Surroundings {
        device,
        workers: 2,
        disk: &FileSystem,
        stop: &AtomicBool::new(false),
        listener: &mut Reconstruction,
    };
    train(&folder, &config, start, &mut surroundings)?;
    Ok(())
}
