//! `moue fid`.

use std::path::Path;
use std::time::Instant;

use moue::base::error::Result;
use moue_evaluation::images::{Cache, Extracted, Side, extract, format_warning};
use moue_evaluation::metrics::kernel::{self, KernelDistance};
use moue_evaluation::metrics::precision_recall::{Neighbourhoods, Scores};
use moue_evaluation::metrics::{Features, Gram, Pairs, Statistics, Streamed, frechet};
use moue_evaluation::networks::inception::{Inception, InceptionFeatures};
use moue_evaluation::networks::{INCEPTION, Resize};
use moue_evaluation::weights::Store;

use super::judging::{Download, EVERY, cache, load};
use crate::args::Fid;
use crate::terminal::{bar, note, print_line};

/// The most images of both sides together whose products are kept: 128 MiB of them.
const KEPT: usize = 4096;

pub(crate) fn run(arguments: &Fid, quiet: bool) -> anyhow::Result<()> {
    let sides =
        [Some(&arguments.left), arguments.right.as_ref()].map(|path| path.map(|path| Side::open(path)));
    let [left, right] = sides.map(Option::transpose);
    let (left, right) = (left?, right?);
    if let (Some(Side::Images(left)), Some(Side::Images(right))) = (&left, &right)
        && let Some(warning) = format_warning(left, right)?
    {
        note(quiet, &format!("warning: {warning}"));
    }
    let mut measurer = Measurer::new(arguments, quiet)?;
    let mut left = left.map(|side| measurer.measure(side)).transpose()?;
    for path in &arguments.with {
        let part = measurer.measure(Side::open(path)?)?;
        let origin = measurer.network.as_ref().map(InceptionFeatures::origin);
        if let Some(whole) = left.take() {
            let part = part.statistics(origin.clone())?;
            left = Some(Measured::Statistics(whole.statistics(origin)?.merge(&part)?));
        }
    }
    let right = right.map(|side| measurer.measure(side)).transpose()?;
    let origin = measurer.network.as_ref().map(InceptionFeatures::origin);
    if let (Some(path), Some(left)) = (&arguments.save_statistics, &left) {
        left.statistics(origin.clone())?.save(path)?;
        note(quiet, &format!("statistics: {}", path.display()));
    }
    let (Some(left), Some(right)) = (left, right) else { return Ok(()) };
    let comparison = Comparison::of(&left, &right, origin, arguments.all || arguments.json)?;
    comparison.show(arguments, quiet)
}

/// A side, measured.
enum Measured {
    Features(Features),
    Statistics(Statistics),
}

impl Measured {
    fn statistics(&self, origin: Option<String>) -> Result<Statistics> {
        match self {
            Self::Features(features) => Statistics::of(features, origin),
            Self::Statistics(statistics) => Ok(statistics.clone()),
        }
    }

    fn count(&self) -> Option<u64> {
        match self {
            Self::Features(features) => Some(features.count() as u64),
            Self::Statistics(statistics) => statistics.count,
        }
    }
}

/// Measures sides; the network is loaded when the first images come.
struct Measurer<'a> {
    arguments: &'a Fid,
    quiet: bool,
    cache: Cache,
    device: moue::base::device::Device,
    network: Option<InceptionFeatures>,
}

impl<'a> Measurer<'a> {
    fn new(arguments: &'a Fid, quiet: bool) -> anyhow::Result<Self> {
        let cache = cache(arguments.cache.as_deref(), arguments.no_cache);
        Ok(Self { arguments, quiet, cache, device: arguments.compute.device()?, network: None })
    }

    fn measure(&mut self, side: Side) -> Result<Measured> {
        let images = match side {
            Side::Statistics(statistics) => return Ok(Measured::Statistics(statistics)),
            Side::Images(images) => images,
        };
        let network = match self.network.take() {
            Some(network) => network,
            None => {
                let given = self.arguments.inception.as_deref();
                let weights =
                    load(&Store::from_environment(), &INCEPTION, given, &Download::new(self.quiet))?;
                let network = Inception::new(&weights, &self.device)?;
                InceptionFeatures { network, resize: self.arguments.resize.into() }
            }
        };
        let network = self.network.insert(network);
        let (bar, mut told) = (bar(images.files.len() as u64, self.quiet, "images"), Instant::now());
        let batch = self.arguments.batch.into();
        let extracted = extract(network, &images.files, &self.cache, batch, &mut |done, total| {
            bar.set_position(done as u64);
            if bar.is_hidden() && told.elapsed() >= EVERY {
                told = Instant::now();
                note(self.quiet, &format!("{done} of {total} images of {} done", images.path.display()));
            }
        });
        bar.finish_and_clear();
        let Extracted { features, computed, unkept } = extracted?;
        let count = features.count();
        note(self.quiet, &format!("{}: {count} images, {computed} of them computed", images.path.display()));
        if let Some(error) = unkept {
            note(self.quiet, &format!("warning: the features were not kept: {error}"));
        }
        Ok(Measured::Features(features))
    }
}

/// What is said of two sides.
struct Comparison {
    frechet: f64,
    counts: [Option<u64>; 2],
    origin: Option<String>,
    kernel: Option<KernelDistance>,
    scores: Option<Scores>,
}

impl Comparison {
    fn of(left: &Measured, right: &Measured, origin: Option<String>, all: bool) -> Result<Self> {
        let counts = [left.count(), right.count()];
        let (frechet, kernel, scores) = match (left, right) {
            (Measured::Features(left), Measured::Features(right)) => {
                let (kernel, scores) = match (all, left.count() + right.count()) {
                    (false, _) => (None, None),
                    (true, 0..=KEPT) => companions(&Gram::of(left, right)),
                    (true, _) => companions(&Streamed::of(left, right)),
                };
                (frechet::of_features(left, right)?, kernel, scores)
            }
            _ => {
                let (left, right) = (left.statistics(origin.clone())?, right.statistics(origin.clone())?);
                (frechet::of_statistics(&left, &right)?, None, None)
            }
        };
        Ok(Self { frechet, counts, origin, kernel, scores })
    }

    fn show(&self, arguments: &Fid, quiet: bool) -> anyhow::Result<()> {
        if arguments.json {
            return print_line(&self.json(arguments).to_string()).map_err(Into::into);
        }
        for line in self.details(arguments) {
            note(quiet, &line);
        }
        print_line(&format!("{:.5}", self.frechet)).map_err(Into::into)
    }

    fn details(&self, arguments: &Fid) -> Vec<String> {
        let [left, right] =
            self.counts.map(|count| count.map_or_else(|| "unknown".to_string(), |count| count.to_string()));
        let mut lines =
            vec![format!("FID of {left} and {right} images, resize {}", Resize::from(arguments.resize))];
        if let Some(KernelDistance { value, error }) = self.kernel {
            let error = error.map_or_else(String::new, |error| format!(" +- {error:.6}"));
            lines.push(format!("KID {value:.6}{error}"));
        }
        let Some(scores) = self.scores else {
            if arguments.all {
                lines.push("KID, precision and recall need images on both sides, not statistics".to_string());
            }
            return lines;
        };
        for (name, score) in named(&scores) {
            let score =
                score.map_or_else(|| "not defined for so few images".to_string(), |s| format!("{s:.4}"));
            lines.push(format!("{name} {score}"));
        }
        lines
    }

    fn json(&self, arguments: &Fid) -> serde_json::Value {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let right = arguments.right.as_deref().map(path);
        let mut object = serde_json::json!({
            "fid": self.frechet,
            "a": { "path": path(&arguments.left), "images": self.counts[0] },
            "b": { "path": right, "images": self.counts[1] },
            "kid": self.kernel.map(|kernel| kernel.value),
            "kid_standard_error": self.kernel.and_then(|kernel| kernel.error),
            "features": self.origin,
        });
        for (name, score) in named(&self.scores.unwrap_or_default()) {
            object[name] = score.into();
        }
        object
    }
}

fn named(scores: &Scores) -> [(&'static str, Option<f64>); 4] {
    [
        ("precision", scores.precision),
        ("recall", scores.recall),
        ("density", scores.density),
        ("coverage", scores.coverage),
    ]
}

fn companions(pairs: &impl Pairs) -> (Option<KernelDistance>, Option<Scores>) {
    (kernel::of_pairs(pairs), Some(Neighbourhoods::of(pairs).scores(None)))
}
