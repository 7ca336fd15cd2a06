//! The training loop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};

use super::checkpoint;
use super::config::{HoldOut, RunConfig};
use super::events::{Event, EventLog, Listener};
use super::exchange::Tensors;
use super::folder::RunFolder;
use super::model::{GENERATOR, Model};
use super::samples::Samples;
use crate::base::device::{describe, synchronise};
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::faces::{Batch, Faces};
use crate::base::file::{Disk, write_whole};
use crate::base::rng::Rng;
use crate::data::{Dataset, HostBatch, Loader, LoaderConfig, Split};
use crate::methods::Game;
use crate::nn::passes::Losses;

/// After so many batches the rest is projected: the first ones pay for allocations.
const PROJECT_AFTER: u64 = 3;

/// What a run needs that is not part of its configuration.
pub struct Surroundings<'a> {
    /// Where it computes.
    pub device: Device,
    /// Threads that decode images.
    pub workers: usize,
    /// Where files are created.
    pub disk: &'a dyn Disk,
    /// Once true, training ends with a checkpoint after the batch at hand.
    pub stop: &'a AtomicBool,
    /// Who is told, beside the run's own log.
    pub listener: &'a mut dyn Listener,
}

/// Trains a run from its newest checkpoint, or from the start where it has none, to its end.
///
/// # Errors
/// Whatever keeps it from going on; the newest checkpoint is intact then. [`Error::Diverged`] when a loss is no number.
pub fn train(
    folder: &RunFolder,
    config: &RunConfig,
    start: Start,
    around: &mut Surroundings<'_>,
) -> Result<()> {
    let Start { mut game, mut iteration } = start;
    let mut log = EventLog::open(&folder.events(), iteration, around.disk)?;
    let dataset = open_data(config)?;
    let split = split(config, &dataset);
    write_split(folder, &split, around.disk)?;
    let every: Vec<usize> = (0..dataset.samples.len()).collect();
    dataset.verify(&every)?;
    let samples = Samples::choose(&dataset, &split, config.method.image_size(), &around.device)?;
    let mut loader =
        Loader::new(dataset.select(&split.train), loader_config(config, around.workers), iteration)?;
    let mut tell = |around: &mut Surroundings<'_>, event: Event| {
        log.hear(&event)?;
        around.listener.hear(&event)
    };

    let total = config.training.iterations;
    let faces = [split.train.len(), split.validation.len(), split.test.len()];
    let device = describe(&around.device);
    let missing = Expression::ALL.into_iter().filter(|one| !split.expressions.contains(one)).collect();
    tell(around, Event::Started { iteration, iterations: total, faces, missing, device })?;
    let (begun, first) = (Instant::now(), iteration);
    let mut clock = Clock::new(iteration, config.training.batch_size);
    let mut saved = first > 0;
    while iteration < total && !around.stop.load(Ordering::Relaxed) {
        let batch = on_device(loader.next()?, config.method.image_size(), &around.device);
        let rate_factor = config.training.decay.factor(iteration, total);
        let rates = config.method.learning_rates().scaled(rate_factor);
        let losses = game.step(&batch, rates, &mut Rng::stream(config.seed, "step", iteration));
        iteration += 1;
        saved = false;

        if iteration == first + PROJECT_AFTER {
            synchronise(&around.device);
            let event = clock.project(iteration, total);
            tell(around, event)?;
        }
        if due(iteration, config.output.log_every) || iteration == total {
            let values = read(losses, &*game, iteration)?;
            let updates =
                game.players().into_iter().map(|(name, player)| (name.to_string(), *player.updates()));
            let updates = updates.collect();
            let images_per_second = clock.lap(iteration);
            tell(around, Event::Step { iteration, updates, values, rate_factor, images_per_second })?;
        }
        if due(iteration, config.output.sample_every) || iteration == total {
            let path = samples.paint(
                &*game.translator(config.method.shows_average()),
                &folder.samples(),
                iteration,
                around.disk,
            )?;
            tell(around, Event::Sampled { iteration, path })?;
        }
        if due(iteration, config.output.checkpoint_every) || iteration == total {
            save(folder, config, &mut *game, iteration, around, &mut tell)?;
            saved = true;
        }
    }
    if !saved && iteration > 0 {
        save(folder, config, &mut *game, iteration, around, &mut tell)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    tell(around, Event::Ended { iteration, complete: iteration == total, seconds })
}

/// Where training begins.
pub struct Start {
    /// The players.
    pub game: Box<dyn Game>,
    /// Batches seen.
    pub iteration: u64,
}

impl Start {
    /// Players from the run's newest checkpoint, or new ones where it has none.
    ///
    /// # Errors
    /// [`Error::Weights`] for a checkpoint that is damaged or of another configuration, [`Error::Config`].
    pub fn of(folder: &RunFolder, config: &RunConfig, device: &Device) -> Result<Self> {
        let mut game = config.method.game(config.seed, device)?;
        let iteration = match checkpoint::newest(&folder.checkpoints())? {
            Some(path) => checkpoint::load(&path, &mut *game, &config.method)?,
            None => 0,
        };
        Ok(Self { game, iteration })
    }

    /// Gives the generator and its moving average the weights of a run, a checkpoint or a model file. They may have
    /// learned images of another size: a generator is convolutional, and growing is how a large one is trained fast.
    /// A part that they have nothing of starts anew. Returns the other players that took over what a run's have
    /// learned: those of the same shapes. A model file has none, and a discriminator that starts anew has little to
    /// say for hundreds of batches.
    ///
    /// # Errors
    /// [`Error::Weights`] when they are of another generator, [`Error::Read`].
    pub fn weights_from(&mut self, path: &Path, device: &Device) -> Result<Vec<&'static str>> {
        let mut model = Model::open(path, None, device)?;
        let learned = Tensors::of(&mut *model.translator, String::new());
        let checkpoint = checkpoint::of(path)?;
        let state = checkpoint.as_deref().map(checkpoint::read_state).transpose()?;
        let saved = checkpoint.zip(state);
        let mut taken_over = Vec::new();
        for (name, player) in self.game.players() {
            for (part, module) in player.parts() {
                if name == GENERATOR && part != "optimiser" {
                    let mut tensors = learned.clone();
                    tensors.take_absent_parts(module);
                    tensors.load(module, path, &[])?;
                } else if let Some((checkpoint, state)) = &saved
                    && part == "weights"
                    && checkpoint::has_part(state, name, part)
                {
                    let (tensors, _) = checkpoint::read_part(checkpoint, name, part)?;
                    if tensors.fit(module) {
                        tensors.load(module, checkpoint, &[])?;
                        taken_over.push(name);
                    }
                }
            }
        }
        Ok(taken_over)
    }

    /// Writes a checkpoint of where training begins. Without it a run that is killed before its first one would start
    /// from random weights when it is resumed.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&mut self, folder: &RunFolder, config: &RunConfig, disk: &dyn Disk) -> Result<()> {
        let keep = config.output.keep_every;
        let checkpoints = folder.checkpoints();
        checkpoint::save(&checkpoints, &mut *self.game, &config.method, self.iteration, keep, disk)?;
        Ok(())
    }
}

/// Opens the run's data set under the name that decides its split.
///
/// # Errors
/// As [`Dataset::open`].
pub fn open_data(config: &RunConfig) -> Result<Dataset> {
    let mut dataset = Dataset::open(&config.data.path)?;
    if !config.data.name.is_empty() {
        dataset.name.clone_from(&config.data.name);
    }
    Ok(dataset)
}

/// Whether the run's data set has what its method learns from.
///
/// # Errors
/// As [`Dataset::open`]; [`Error::Data`] where there is too little.
pub fn check_data(config: &RunConfig) -> Result<()> {
    let dataset = open_data(config)?;
    let split = split(config, &dataset);
    Loader::check(dataset.select(&split.train), loader_config(config, 1))
}

/// Who is trained on and who is held out in this run.
pub fn split(config: &RunConfig, dataset: &Dataset) -> Split {
    match config.data.hold_out {
        HoldOut::Identities => Split::of(dataset),
        HoldOut::Nobody => Split::everything(dataset),
    }
}

type Tell<'a> = dyn FnMut(&mut Surroundings<'_>, Event) -> Result<()> + 'a;

fn save(
    folder: &RunFolder,
    config: &RunConfig,
    game: &mut dyn Game,
    iteration: u64,
    around: &mut Surroundings<'_>,
    tell: &mut Tell<'_>,
) -> Result<()> {
    let keep = config.output.keep_every;
    let path: PathBuf =
        checkpoint::save(&folder.checkpoints(), game, &config.method, iteration, keep, around.disk)?;
    tell(around, Event::Saved { iteration, path })
}

fn write_split(folder: &RunFolder, split: &Split, disk: &dyn Disk) -> Result<()> {
    let text = toml::to_string(split).expect("a split is representable in TOML");
    write_whole(disk, &folder.split(), |output| output.write_all(text.as_bytes()))
}

fn loader_config(config: &RunConfig, workers: usize) -> LoaderConfig {
    LoaderConfig {
        side: config.method.image_size() as u32,
        batch_size: config.training.batch_size,
        flip: config.training.flip,
        augment: config.training.augment,
        pairs: config.training.pairs,
        direction: config.method.direction(),
        seed: config.seed,
        workers,
        ahead: 2,
    }
}

fn on_device(batch: HostBatch, side: usize, device: &Device) -> Batch {
    let shape = [batch.expressions.len(), 3, side, side];
    let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), device);
    Batch {
        source: Faces { images: tensor(batch.images), expressions: batch.expressions },
        targets: batch.targets,
        target_images: batch.target_images.map(tensor),
    }
}

/// Reads losses and diagnostics; one that is no number ends the run.
fn read(losses: Losses, game: &dyn Game, iteration: u64) -> Result<Vec<(String, f32)>> {
    let all = losses.into_iter().chain(game.diagnostics());
    all.map(|(name, tensor)| {
        let value = tensor.into_scalar::<f32>();
        if !value.is_finite() {
            let (player, loss) = name.split_once('.').unwrap_or(("training", &name));
            let (player, loss) = (player.to_string(), loss.to_string());
            return Err(Error::Diverged { player, loss, value, update: iteration });
        }
        Ok((name, value))
    })
    .collect()
}

fn due(iteration: u64, every: u64) -> bool {
    every > 0 && iteration.is_multiple_of(every)
}

/// Measures the speed of training.
struct Clock {
    started: (Instant, u64),
    lap: (Instant, u64),
    batch_size: usize,
}

impl Clock {
    fn new(iteration: u64, batch_size: usize) -> Self {
        let now = (Instant::now(), iteration);
        Self { started: now, lap: now, batch_size }
    }

    fn project(&self, iteration: u64, total: u64) -> Event {
        let (since, first) = self.started;
        let seconds_per_iteration = since.elapsed().as_secs_f64() / (iteration - first) as f64;
        let seconds = seconds_per_iteration * (total - iteration) as f64;
        Event::Projected { iteration, seconds_per_iteration, seconds }
    }

    fn lap(&mut self, iteration: u64) -> f64 {
        let (since, first) = std::mem::replace(&mut self.lap, (Instant::now(), iteration));
        (iteration - first) as f64 * self.batch_size as f64 / since.elapsed().as_secs_f64()
    }
}
