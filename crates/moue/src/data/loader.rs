//! Batches, prepared ahead in the background.
//!
//! Batch n is a pure function of the seed and n: of the order of its epoch and of the flips and targets drawn from
//! its own stream. Worker w of W makes the batches w, w + W, … into a queue of its own, and the queues are read in
//! turn: so the batches arrive in order, and neither the number of workers nor where a run was resumed changes a byte.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use image::RgbImage;

use super::augment::{Augmentation, OVERSAMPLING};
use super::domains::Domains;
use super::pairing::{Pair, Pairs};
use super::sources::Sample;
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::faces::Direction;
use crate::base::image::{append_values, read, square};
use crate::base::rng::Rng;

/// The most memory that decoded images are kept in, in bytes: 1 GiB.
const CACHE_BUDGET: usize = 1 << 30;

/// What a batch is and how it is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Width and height of the images, in pixels.
    pub side: u32,
    /// Images in a batch.
    pub batch_size: usize,
    /// Whether each image is mirrored with probability one half.
    pub flip: bool,
    /// Whether each image is turned, moved, lit and tinted a little otherwise.
    pub augment: bool,
    /// Whether each image comes with the same person's target expression, where the samples have such pairs.
    pub pairs: bool,
    /// What a batch holds for a network that knows one way: `pairs` is the direction's then.
    pub direction: Option<Direction>,
    /// Seed of the order, the flips and the targets.
    pub seed: u64,
    /// Background threads, 1 at least. Changes no byte.
    pub workers: usize,
    /// About how many batches lie ready. Changes no byte.
    pub ahead: usize,
}

/// A batch in the host's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// Which batch of the run this is, from 0.
    pub number: u64,
    /// `[batch, 3, side, side]`, RGB in -1..1.
    pub images: Vec<f32>,
    /// What each image shows.
    pub expressions: Vec<Expression>,
    /// What each is to show: what its target image shows, or else the batch's own expressions in a random order.
    pub targets: Vec<Expression>,
    /// Images of the target expressions, shaped like the images: with pairs of the same people, of two domains of
    /// anybody.
    pub target_images: Option<Vec<f32>>,
    /// Which sample each image is, an index into the loader's samples.
    pub samples: Vec<usize>,
}

/// Prepares batches in background threads. Dropping it ends them.
#[derive(Debug)]
pub struct Loader {
    maker: Arc<Maker>,
    next: u64,
    /// One queue a worker; batch `next` comes from queue `turn`.
    queues: Vec<Receiver<Result<HostBatch>>>,
    turn: usize,
    workers: Vec<JoinHandle<()>>,
}

impl Loader {
    /// Starts preparing the batches from number `first_batch` on.
    ///
    /// # Errors
    /// [`Error::Data`] when there are fewer samples than a batch takes, or none of a direction; [`Error::Config`] for a
    /// side or batch size of 0, or when no thread can be started.
    pub fn new(samples: Vec<Sample>, config: LoaderConfig, first_batch: u64) -> Result<Self> {
        let maker = Arc::new(Maker::new(samples, config)?);
        let mut loader = Self { maker, next: first_batch, queues: vec![], turn: 0, workers: vec![] };
        let count = config.workers.max(1);
        for first in (first_batch..).take(count) {
            let (sender, receiver) = sync_channel(config.ahead.div_ceil(count).max(1));
            let maker = Arc::clone(&loader.maker);
            let work = move || maker.fill(&sender, (first..).step_by(count));
            let worker = thread::Builder::new().name("loader".into()).spawn(work);
            loader.workers.push(worker.map_err(|error| no_thread(&error))?);
            loader.queues.push(receiver);
        }
        Ok(loader)
    }

    /// Whether batches can be made of some samples; none is.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(samples: Vec<Sample>, config: LoaderConfig) -> Result<()> {
        Maker::new(samples, config).map(drop)
    }

    /// How many batches an epoch has. Samples left over are dropped: other ones in each epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.maker.batches_per_epoch()
    }

    /// The next batch; waits for it.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Image`] when an image of the batch has vanished or is damaged; [`Error::Data`] when
    /// it is called again after that.
    #[expect(clippy::should_implement_trait, reason = "there is no end, so an Option would say nothing")]
    pub fn next(&mut self) -> Result<HostBatch> {
        let batch = self.queues[self.turn].recv().unwrap_or_else(|_| Err(self.ended()))?;
        self.next += 1;
        self.turn = (self.turn + 1) % self.queues.len();
        Ok(batch)
    }

    /// What to say when the worker whose turn it is has ended.
    fn ended(&self) -> Error {
        let problem = format!("the loader ended before batch {}", self.next);
        Error::data(
            folder(&self.maker.samples),
            problem,
            "see the error before this one, and go on from the last checkpoint",
        )
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.maker.stop.store(true, Ordering::Relaxed);
        // A worker that waits for room in its queue wakes when the queue goes.
        self.queues.clear();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing to say to someone who is leaving.
            let _ = worker.join();
        }
    }
}

/// Makes batches; shared by the workers.
#[derive(Debug)]
struct Maker {
    samples: Vec<Sample>,
    config: LoaderConfig,
    choice: Choice,
    /// The decoded images of the first samples, as many as the budget holds.
    cache: Vec<OnceLock<RgbImage>>,
    stop: AtomicBool,
}

/// What batches are chosen from.
#[derive(Debug)]
enum Choice {
    /// All samples, each once an epoch.
    Samples,
    /// Pairs of anybody's expressions, drawn at random.
    Pairs(Pairs),
    /// One way's sources and targets, each once an epoch.
    Domains(Domains),
}

impl Maker {
    fn new(samples: Vec<Sample>, config: LoaderConfig) -> Result<Self> {
        if config.side == 0 || config.batch_size == 0 {
            return Err(Error::config(
                "a batch of nothing cannot be made",
                "let side and batch_size be 1 at least",
            ));
        }
        let choice = match config.direction {
            Some(direction) => Choice::Domains(
                Domains::of(&samples, direction)
                    .map_err(|(problem, hint)| Error::data(folder(&samples), problem, hint))?,
            ),
            None => {
                config.pairs.then(|| Pairs::of(&samples)).flatten().map_or(Choice::Samples, Choice::Pairs)
            }
        };
        let (count, what) = match &choice {
            Choice::Domains(domains) => (domains.len(), "pairs of training images"),
            Choice::Samples | Choice::Pairs(_) => (samples.len(), "training images"),
        };
        if count < config.batch_size {
            let problem = format!("{count} {what} are too few for a batch of {}", config.batch_size);
            let hint = format!("lower batch_size to {} or less, or add images", count.max(1));
            return Err(Error::data(folder(&samples), problem, hint));
        }
        let cached = samples.len().min(CACHE_BUDGET / bytes(decoded_side(config)));
        let cache = std::iter::repeat_with(OnceLock::new).take(cached).collect();
        Ok(Self { samples, config, choice, cache, stop: AtomicBool::new(false) })
    }

    /// What an epoch has once each.
    fn epoch_length(&self) -> usize {
        match &self.choice {
            Choice::Domains(domains) => domains.len(),
            Choice::Samples | Choice::Pairs(_) => self.samples.len(),
        }
    }

    fn batches_per_epoch(&self) -> u64 {
        (self.epoch_length() / self.config.batch_size) as u64
    }

    /// Sends batches until the loader is dropped or an image fails.
    fn fill(&self, queue: &SyncSender<Result<HostBatch>>, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            let Some(batch) = self.batch(number).transpose() else { return };
            let failed = batch.is_err();
            if queue.send(batch).is_err() || failed {
                return;
            }
        }
    }

    /// Batch `number`; `None` when it is no longer wanted.
    fn batch(&self, number: u64) -> Result<Option<HostBatch>> {
        let mut rng = Rng::stream(self.config.seed, "batch", number);
        match &self.choice {
            Choice::Samples => self.shuffled(number, &mut rng),
            Choice::Pairs(pairs) => self.paired(number, |_, rng| pairs.draw(rng), &mut rng),
            Choice::Domains(domains) => {
                let places = self.choose(number);
                self.paired(number, |n, rng| domains.pair(places[n], rng), &mut rng)
            }
        }
    }

    /// Faces in the epoch's order, and their own expressions in a random order as targets.
    fn shuffled(&self, number: u64, rng: &mut Rng) -> Result<Option<HostBatch>> {
        let samples = self.choose(number);
        let expressions = self.shown(&samples);
        let mut targets = expressions.clone();
        rng.shuffle(&mut targets);
        let mut images = Vec::with_capacity(samples.len() * bytes(self.config.side));
        for &index in &samples {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            // The coin falls whether or not it counts, so that `flip` changes nothing else.
            let mirrored = rng.coin() && self.config.flip;
            self.append(&[index], mirrored, rng, [&mut images])?;
        }
        Ok(Some(HostBatch { number, images, expressions, targets, target_images: None, samples }))
    }

    /// Faces with images of their target expressions; `pair` gives that of a place in the batch. Two images of one
    /// person are taken the same way.
    fn paired(
        &self,
        number: u64,
        pair: impl Fn(usize, &mut Rng) -> Pair,
        rng: &mut Rng,
    ) -> Result<Option<HostBatch>> {
        let values = self.config.batch_size * bytes(self.config.side);
        let (mut images, mut target_images) = (Vec::with_capacity(values), Vec::with_capacity(values));
        let (mut samples, mut target_samples) = (Vec::new(), Vec::new());
        for place in 0..self.config.batch_size {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let Pair { source, target, mirrored } = pair(place, rng);
            let chance = |rng: &mut Rng| rng.coin() && self.config.flip;
            if self.config.direction.is_some_and(|direction| !direction.paired) {
                let source_mirrored = chance(rng);
                self.append(&[source], source_mirrored, rng, [&mut images])?;
                let mirrored = mirrored.unwrap_or_else(|| chance(rng));
                self.append(&[target], mirrored, rng, [&mut target_images])?;
            } else {
                let mirrored = mirrored.unwrap_or_else(|| chance(rng));
                self.append(&[source, target], mirrored, rng, [&mut images, &mut target_images])?;
            }
            samples.push(source);
            target_samples.push(target);
        }
        let (expressions, targets) = (self.shown(&samples), self.shown(&target_samples));
        let target_images = Some(target_images);
        Ok(Some(HostBatch { number, images, expressions, targets, target_images, samples }))
    }

    /// What some samples show.
    fn shown(&self, samples: &[usize]) -> Vec<Expression> {
        samples.iter().map(|&index| self.samples[index].expression).collect()
    }

    /// Appends the values of some images, all taken in one way, each to its own batch.
    fn append<const N: usize>(
        &self,
        indices: &[usize; N],
        mirrored: bool,
        rng: &mut Rng,
        batches: [&mut Vec<f32>; N],
    ) -> Result<()> {
        let side = self.config.side as usize;
        let augmentation = self.config.augment.then(|| Augmentation::draw(mirrored, rng));
        for (number, (&index, batch)) in indices.iter().zip(batches).enumerate() {
            let (image, start) = (self.image(index)?, batch.len());
            match &augmentation {
                Some(augmentation) => {
                    augmentation.append(&image, side, batch);
                    if number == 0 {
                        augmentation.add_noise(&mut batch[start..], rng);
                    }
                }
                None => {
                    append_values(&image, batch);
                    if mirrored {
                        mirror(&mut batch[start..], side);
                    }
                }
            }
        }
        Ok(())
    }

    /// The samples of a batch, or places in its domains: its stretch of the epoch's order.
    fn choose(&self, number: u64) -> Vec<usize> {
        let (epoch, place) = (number / self.batches_per_epoch(), number % self.batches_per_epoch());
        let mut order: Vec<usize> = (0..self.epoch_length()).collect();
        Rng::stream(self.config.seed, "epoch", epoch).shuffle(&mut order);
        let start = place as usize * self.config.batch_size;
        order[start..start + self.config.batch_size].to_vec()
    }

    fn image(&self, index: usize) -> Result<Cow<'_, RgbImage>> {
        let decode = || {
            let image = read(&self.samples[index].file)?;
            // An image that will be resampled need not be enlarged before.
            let own = if self.config.augment { image.width().min(image.height()) } else { u32::MAX };
            Ok(square(image, decoded_side(self.config).min(own)))
        };
        let Some(place) = self.cache.get(index) else { return decode().map(Cow::Owned) };
        if let Some(image) = place.get() {
            return Ok(Cow::Borrowed(image));
        }
        // Two workers may both decode it: that costs less than one waiting for the other.
        let image = decode()?;
        Ok(Cow::Borrowed(place.get_or_init(|| image)))
    }
}

/// Largest side of the decoded images: larger than the batch's where they are to be resampled once more.
fn decoded_side(config: LoaderConfig) -> u32 {
    if config.augment { OVERSAMPLING * config.side } else { config.side }
}

/// Bytes of a decoded image; also how many values it has.
fn bytes(side: u32) -> usize {
    3 * side as usize * side as usize
}

/// Mirrors images `[3, side, side]` left to right.
fn mirror(values: &mut [f32], side: usize) {
    values.chunks_exact_mut(side).for_each(<[f32]>::reverse);
}

/// The deepest folder that holds all samples.
fn folder(samples: &[Sample]) -> &Path {
    let Some(first) = samples.first() else { return Path::new("training set") };
    let mut above = first.file.ancestors().skip(1);
    above.find(|folder| samples.iter().all(|s| s.file.starts_with(folder))).unwrap_or(&first.file)
}

fn no_thread(error: &std::io::Error) -> Error {
    Error::config(format!("no thread can be started to load images ({error})"), "use fewer workers")
}

#[cfg(test)]
mod tests;
