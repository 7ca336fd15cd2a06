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
use super::pairing::{Pair, Pairs};
use super::sources::Sample;
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
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
    /// What each is to show: with pairs what its target shows, else the batch's own expressions in a random order.
    pub targets: Vec<Expression>,
    /// With pairs, the same people with the target expressions, shaped like the images.
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
    /// [`Error::Data`] when there are fewer samples than a batch takes; [`Error::Config`] for a side or batch size of
    /// 0, or when no thread can be started.
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
    pairs: Option<Pairs>,
    /// The decoded images of the first samples, as many as the budget holds.
    cache: Vec<OnceLock<RgbImage>>,
    stop: AtomicBool,
}

impl Maker {
    fn new(samples: Vec<Sample>, config: LoaderConfig) -> Result<Self> {
        if config.side == 0 || config.batch_size == 0 {
            return Err(Error::config(
                "a batch of nothing cannot be made",
                "let side and batch_size be 1 at least",
            ));
        }
        if samples.len() < config.batch_size {
            let problem =
                format!("{} training images are too few for a batch of {}", samples.len(), config.batch_size);
            let hint = format!("lower batch_size to {} or less, or add images", samples.len().max(1));
            return Err(Error::data(folder(&samples), problem, hint));
        }
        let cached = samples.len().min(CACHE_BUDGET / bytes(decoded_side(config)));
        let cache = std::iter::repeat_with(OnceLock::new).take(cached).collect();
        let pairs = config.pairs.then(|| Pairs::of(&samples)).flatten();
        Ok(Self { samples, config, pairs, cache, stop: AtomicBool::new(false) })
    }

    fn batches_per_epoch(&self) -> u64 {
        (self.samples.len() / self.config.batch_size) as u64
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
        match &self.pairs {
            Some(pairs) => self.paired(number, pairs, &mut rng),
            None => self.shuffled(number, &mut rng),
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

    /// Faces of anybody, each with the same person's target expression, taken the same way.
    fn paired(&self, number: u64, pairs: &Pairs, rng: &mut Rng) -> Result<Option<HostBatch>> {
        let values = self.config.batch_size * bytes(self.config.side);
        let (mut images, mut target_images) = (Vec::with_capacity(values), Vec::with_capacity(values));
        let (mut samples, mut target_samples) = (Vec::new(), Vec::new());
        for _ in 0..self.config.batch_size {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let Pair { source, target, mirrored } = pairs.draw(rng);
            let mirrored = mirrored.unwrap_or_else(|| rng.coin() && self.config.flip);
            self.append(&[source, target], mirrored, rng, [&mut images, &mut target_images])?;
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

    /// The samples of a batch: its stretch of the epoch's order.
    fn choose(&self, number: u64) -> Vec<usize> {
        let (epoch, place) = (number / self.batches_per_epoch(), number % self.batches_per_epoch());
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        Rng::stream(self.config.seed, "epoch", epoch).shuffle(&mut order);
        let start = place as usize * self.config.batch_size;
        order[start..start + self.config.batch_size].to_vec()
    }

    fn image(&self, index: usize) -> Result<Cow<'_, RgbImage>> {
        let decode = || read(&self.samples[index].file).map(|image| square(image, decoded_side(self.config)));
        let Some(place) = self.cache.get(index) else { return decode().map(Cow::Owned) };
        if let Some(image) = place.get() {
            return Ok(Cow::Borrowed(image));
        }
        // Two workers may both decode it: that costs less than one waiting for the other.
        let image = decode()?;
        Ok(Cow::Borrowed(place.get_or_init(|| image)))
    }
}

/// Side of the decoded images: larger than the batch's where they are to be resampled once more.
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
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::data::fixtures::{face, samples};

    const CONFIG: LoaderConfig = LoaderConfig {
        side: 16,
        batch_size: 4,
        flip: true,
        augment: false,
        pairs: false,
        seed: 7,
        workers: 1,
        ahead: 4,
    };

    fn batches(samples: &[Sample], config: LoaderConfig, first: u64, count: usize) -> Vec<HostBatch> {
        let mut loader = Loader::new(samples.to_vec(), config, first).unwrap();
        (0..count).map(|_| loader.next().unwrap()).collect()
    }

    #[test]
    fn workers_and_resuming_change_no_byte() {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(folder.path(), 10);
        let expected = batches(&samples, CONFIG, 0, 9);
        assert!(expected.iter().zip(0..).all(|(batch, number)| batch.number == number));
        for (workers, ahead) in [(3, 1), (3, 7), (0, 0)] {
            let config = LoaderConfig { workers, ahead, ..CONFIG };
            assert_eq!(batches(&samples, config, 0, 9), expected);
            assert_eq!(batches(&samples, config, 4, 5), expected[4..]);
        }
        assert_ne!(batches(&samples, LoaderConfig { seed: 8, ..CONFIG }, 0, 9), expected);
    }

    #[test]
    fn pairs_are_taken_alike() {
        let folder = tempfile::tempdir().unwrap();
        let mut samples = samples(folder.path(), 16);
        for (number, sample) in samples.iter_mut().enumerate() {
            sample.identity = Some(if number < 8 { "a" } else { "b" }.into());
        }
        for augment in [false, true] {
            let config = LoaderConfig { pairs: true, augment, ..CONFIG };
            let expected = batches(&samples, config, 0, 5);
            assert_eq!(batches(&samples, LoaderConfig { workers: 3, ..config }, 2, 3), expected[2..]);
            for batch in expected {
                let targets = batch.target_images.expect("there are pairs");
                let pairs = batch.images.chunks(bytes(16)).zip(targets.chunks(bytes(16)));
                for ((image, target), (&sample, &shown)) in
                    pairs.zip(batch.samples.iter().zip(&batch.targets))
                {
                    // A fixture's red says which it is, green and blue are the same in all: so are they here, but
                    // for a source's noise.
                    let limit = if augment { 0.4 } else { 0.0 };
                    let alike = |(a, b): (&f32, &f32)| (a - b).abs() <= limit;
                    assert!(image[256..].iter().zip(&target[256..]).all(alike));
                    if !augment {
                        assert_eq!(image == target, samples[sample].expression == shown);
                    }
                }
            }
        }
        let strangers = samples.iter().cloned().map(|sample| Sample { identity: None, ..sample });
        let alone = batches(&strangers.collect::<Vec<_>>(), LoaderConfig { pairs: true, ..CONFIG }, 0, 1);
        assert_eq!(alone[0].target_images, None);
    }

    #[test]
    fn an_epoch_holds_every_sample_once() {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(folder.path(), 12);
        let loader = Loader::new(samples.clone(), CONFIG, 0).unwrap();
        assert_eq!(loader.batches_per_epoch(), 3);
        let all = batches(&samples, CONFIG, 0, 6);
        let epochs: Vec<Vec<usize>> =
            all.chunks(3).map(|e| e.iter().flat_map(|b| b.samples.clone()).collect()).collect();
        assert_ne!(epochs[0], epochs[1]);
        for mut epoch in epochs {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..12).collect::<Vec<_>>());
        }
    }

    #[test]
    fn targets_are_the_batch_s_own_labels() {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(folder.path(), 16);
        let config = LoaderConfig { batch_size: 8, ..CONFIG };
        let mut all = batches(&samples, config, 0, 10);
        assert!(all.iter().any(|batch| batch.targets != batch.expressions));
        for batch in &mut all {
            let labels: Vec<_> = batch.samples.iter().map(|&index| samples[index].expression).collect();
            assert_eq!(batch.expressions, labels);
            batch.expressions.sort_unstable();
            batch.targets.sort_unstable();
            assert_eq!(batch.targets, batch.expressions);
        }
        let unflipped = batches(&samples, LoaderConfig { flip: false, ..config }, 0, 1);
        assert_eq!(unflipped[0].samples, all[0].samples);
    }

    #[test]
    fn images_are_themselves_or_their_mirror_images() {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(folder.path(), 4);
        let values = |image: &RgbImage| {
            let mut values = Vec::new();
            append_values(image, &mut values);
            values
        };
        let count_mirrored = |flip| {
            let all = batches(&samples, LoaderConfig { flip, ..CONFIG }, 0, 8);
            let images = all.iter().flat_map(|b| b.samples.iter().zip(b.images.chunks_exact(bytes(16))));
            images
                .filter(|(sample, image)| {
                    let face = face(**sample as u8);
                    let mirrored = *image == values(&image::imageops::flip_horizontal(&face));
                    assert!(mirrored || *image == values(&face));
                    mirrored
                })
                .count()
        };
        assert_eq!(count_mirrored(false), 0);
        assert!((1..32).contains(&count_mirrored(true)));
    }

    #[test]
    fn images_beyond_the_budget_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut maker = Maker::new(samples(folder.path(), 8), CONFIG).unwrap();
        assert_eq!(maker.cache.len(), 8);
        let cached = [maker.batch(1).unwrap(), maker.batch(1).unwrap()];
        maker.cache.truncate(1);
        assert_eq!(cached, [maker.batch(1).unwrap(), maker.batch(1).unwrap()]);
    }

    #[test]
    fn a_damaged_image_is_an_error_and_no_hang() {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(folder.path(), 12);
        std::fs::write(&samples[5].file, "no image").unwrap();
        for workers in [1, 3] {
            let mut loader = Loader::new(samples.clone(), LoaderConfig { workers, ..CONFIG }, 0).unwrap();
            let error = (0..3).find_map(|_| loader.next().err()).unwrap();
            assert!(matches!(&error, Error::Image { path, .. } if *path == samples[5].file), "{error:?}");
            let again = loader.next().unwrap_err();
            assert!(matches!(&again, Error::Data { path, .. } if path == folder.path()), "{again:?}");
        }
        std::fs::remove_file(&samples[5].file).unwrap();
        let mut loader = Loader::new(samples, CONFIG, 0).unwrap();
        assert!(matches!((0..3).find_map(|_| loader.next().err()), Some(Error::Read { .. })));
    }

    #[test]
    fn dropping_a_full_loader_is_quick() {
        let folder = tempfile::tempdir().unwrap();
        let loader =
            Loader::new(samples(folder.path(), 8), LoaderConfig { workers: 2, ..CONFIG }, 0).unwrap();
        thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        drop(loader);
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn too_few_images_name_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = Loader::new(samples(folder.path(), 3), CONFIG, 0).unwrap_err();
        assert!(matches!(&error, Error::Data { path, .. } if path == folder.path()), "{error:?}");
        assert!(error.to_string().contains("3 training images are too few for a batch of 4"));
        assert!(error.hint().unwrap().contains("batch_size to 3"));
        assert!(matches!(Loader::new(vec![], CONFIG, 0).unwrap_err(), Error::Data { .. }));
        let config = LoaderConfig { batch_size: 0, ..CONFIG };
        assert!(matches!(Loader::new(vec![], config, 0).unwrap_err(), Error::Config { .. }));
    }
}
