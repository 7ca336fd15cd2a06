//! What `evaluate` and `compare` share: the models, the images, the networks that judge.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar};
use moue::base::device::Device;
use moue::base::error::{Error, Result};
use moue::data::{Dataset, Split};
use moue::run::config::RunConfig;
use moue::run::model::Model;
use moue::run::set::config_of;
use moue::run::train;
use moue_evaluation::evaluate::{Candidate, Networks, Progress, Settings, evaluate, measure_shard};
use moue_evaluation::images::Cache;
use moue_evaluation::judges::Judges;
use moue_evaluation::networks::inception::{Inception, InceptionFeatures};
use moue_evaluation::networks::{INCEPTION, Resize};
use moue_evaluation::scores::Evaluation;
use moue_evaluation::seen;
use moue_evaluation::weights::{self, Evaluator, Store, Weights};

use crate::args::Judging;
use crate::terminal::{bar, note};

/// How often a line tells how it goes where there is no terminal for a bar.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// The smallest side that networks of judges take, in pixels.
const SMALLEST: usize = 32;

/// Models, judged, and on what.
pub(super) struct Judged {
    pub(super) evaluation: Evaluation,
    pub(super) candidates: Vec<Candidate>,
    pub(super) dataset: Dataset,
    pub(super) split: Split,
    pub(super) settings: Settings,
}

/// Judges models. Of a part of the work there is nothing to show: then it says what comes next, and answers `None`.
pub(super) fn judge(
    paths: &[PathBuf],
    data: Option<&Path>,
    judging: &Judging,
    device: &Device,
    quiet: bool,
) -> Result<Option<Judged>> {
    let mut candidates = candidates(paths, judging, device)?;
    let (dataset, split) = images(paths, data)?;
    let warnings = warnings(paths, &candidates, &split, judging)?;
    warnings.iter().for_each(|text| note(quiet, &format!("warning: {text}")));
    let networks = networks(judging, device, quiet)?;
    let settings = settings(judging, &candidates, device);
    let mut shown = Shown::new(quiet);
    let tell = &mut |progress: Progress<'_>| shown.tell(progress);
    if let Some(shard) = judging.shard {
        measure_shard(&dataset, &split, &mut candidates, &networks, &settings, shard, tell)?;
        let (part, count) = (shard.index, shard.count);
        let next = "once all are, the same command without --shard puts them together";
        note(quiet, &format!("part {part} of {count} is measured; {next}"));
        return Ok(None);
    }
    let mut evaluation = evaluate(&dataset, &split, &mut candidates, &networks, &settings, tell)?;
    evaluation.notes.splice(0..0, warnings);
    Ok(Some(Judged { evaluation, candidates, dataset, split, settings }))
}

/// Opens the models, named by their folders or files; equal names get numbers.
fn candidates(paths: &[PathBuf], judging: &Judging, device: &Device) -> Result<Vec<Candidate>> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for path in paths {
        let model = Model::open(path, judging.weights.map(Into::into), device)?;
        let own = name_of(path);
        let taken = |name: &str| candidates.iter().any(|other| other.name == name);
        let numbered = (2..).map(|number| format!("{own} ({number})"));
        let name =
            std::iter::once(own.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(own.clone());
        let strength = judging.strength.unwrap_or(model.card.strength);
        candidates.push(Candidate { name, model, strength });
    }
    Ok(candidates)
}

/// The last part of a path that says more than `.`; of a checkpoint its run's name as well.
fn name_of(path: &Path) -> String {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let part = |path: Option<&Path>| {
        path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let name = match absolute.is_file() {
        true => absolute.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        false => part(Some(&absolute)),
    };
    match part(absolute.parent()) == "checkpoints" {
        true => format!("{} {name}", part(absolute.parent().and_then(Path::parent))),
        false => name,
    }
}

/// The images and who is held out: those of the first run, unless others are named.
fn images(paths: &[PathBuf], data: Option<&Path>) -> Result<(Dataset, Split)> {
    let configs: Vec<RunConfig> = paths.iter().filter_map(|path| config_of(path).ok()).collect();
    let dataset = match (data, configs.first()) {
        (Some(data), _) => Dataset::open(data)?,
        (None, Some(config)) => train::open_data(config)?,
        (None, None) => {
            return Err(Error::config(
                "a model file does not say on which images it is to be judged",
                "name a folder of labelled faces with --data",
            ));
        }
    };
    let split = Split::of(&dataset);
    Ok((dataset, split))
}

/// Of models that were trained on people who are judged, that they were.
fn warnings(
    paths: &[PathBuf],
    candidates: &[Candidate],
    split: &Split,
    judging: &Judging,
) -> Result<Vec<String>> {
    let of_model = |(path, candidate): (&PathBuf, &Candidate)| {
        seen::warning(&candidate.name, path, split, judging.protocol.into()).transpose()
    };
    paths.iter().zip(candidates).filter_map(of_model).collect()
}

/// What decides the numbers, beside models and images.
fn settings(judging: &Judging, candidates: &[Candidate], device: &Device) -> Settings {
    let sizes = candidates.iter().map(|candidate| candidate.model.card.method.image_size());
    Settings {
        protocol: judging.protocol.into(),
        image_size: judging
            .size
            .map_or_else(|| sizes.max().unwrap_or(128).max(SMALLEST), |size| size as usize),
        draws: judging.draws.into(),
        seed: 0,
        cache: cache(judging.cache.as_deref(), judging.no_cache),
        device: device.clone(),
    }
}

/// Where answers are kept.
pub(super) fn cache(folder: Option<&Path>, none: bool) -> Cache {
    match folder {
        Some(folder) => Cache::at(folder),
        None if none => Cache::none(),
        None => Cache::of_user(),
    }
}

/// The networks that judge. What cannot be had is told of and left out, but for a file that was named.
fn networks(judging: &Judging, device: &Device, quiet: bool) -> Result<Networks> {
    let (store, download) = (Store::from_environment(), Download::new(quiet));
    let left_out = |error: &Error| {
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        note(quiet, &format!("left out: {error}{hint}"));
    };
    let inception =
        match inception(&store, judging.inception.as_deref(), judging.resize.into(), device, &download) {
            Ok(network) => Some(network),
            Err(error) if judging.inception.is_some() => return Err(error),
            Err(error) => {
                left_out(&error);
                None
            }
        };
    let judges = Judges::embedded(device);
    let (judges, missing) =
        judges.complete(&store, device, &mut |network, progress| download.tell(network, progress));
    missing.iter().for_each(left_out);
    Ok(Networks { inception, judges })
}

fn inception(
    store: &Store,
    given: Option<&Path>,
    resize: Resize,
    device: &Device,
    download: &Download,
) -> Result<InceptionFeatures> {
    let weights = load(store, &INCEPTION, given, download)?;
    Ok(InceptionFeatures { network: Inception::new(&weights, device)?, resize })
}

/// Finds or fetches a network's tensors, and says when a file that was named holds others than usual.
pub(super) fn load(
    store: &Store,
    evaluator: &Evaluator,
    given: Option<&Path>,
    download: &Download,
) -> Result<Weights> {
    let weights = store.load(evaluator, given, &mut |progress| download.tell(evaluator.name, progress))?;
    if !weights.is_reference {
        let (source, name) = (weights.source.display(), evaluator.name);
        let text =
            format!("warning: {source} holds other weights than {name}'s usual ones: the numbers are others");
        note(download.quiet, &text);
    }
    Ok(weights)
}

/// Shows how far a download is.
pub(super) struct Download {
    quiet: bool,
    /// What is fetched, and its bar.
    current: RefCell<Option<(String, ProgressBar)>>,
}

impl Download {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet, current: RefCell::new(None) }
    }

    fn tell(&self, network: &str, weights::Progress { done, total }: weights::Progress) {
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_none_or(|(name, _)| name != network) {
            let size = total.map_or_else(String::new, |total| format!(", {}", HumanBytes(total)));
            note(self.quiet, &format!("fetching the weights of {network}{size}; they are kept"));
            *current = Some((network.to_string(), bar(0, self.quiet, "bytes")));
        }
        if let Some((_, bar)) = &*current {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            if total == Some(done) {
                bar.finish_and_clear();
            }
        }
    }
}

/// Shows how far an evaluation is.
struct Shown {
    quiet: bool,
    row: String,
    bar: ProgressBar,
    told: Instant,
}

impl Shown {
    fn new(quiet: bool) -> Self {
        Self { quiet, row: String::new(), bar: ProgressBar::hidden(), told: Instant::now() }
    }

    fn tell(&mut self, Progress { row, done, total }: Progress<'_>) {
        if self.row != row {
            self.bar.finish_and_clear();
            self.row = row.to_string();
            self.bar = bar(total as u64, self.quiet, &format!("images of {row}"));
        }
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            note(self.quiet, &format!("{row}: {done} of {total} images"));
        }
        if done == total {
            self.bar.finish_and_clear();
        }
    }
}
