//! Models judged by one protocol on the same images.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use burn::tensor::Device;
use image::RgbImage;
use moue::base::error::{Error, Result};
use moue::base::expression::Expression;
use moue::base::image::{read, square, to_tensor};
use moue::data::{Dataset, Split};
use moue::photo::align::FaceSquare;
use moue::photo::apply::{SquareEdit, edited};
use moue::run::exchange::Tensors;
use moue::run::model::{Model, Weights};
use sha2::{Digest, Sha256};

use crate::ask::key;
use crate::bootstrap::{Draws, interval};
use crate::images::Cache;
use crate::judges::{Judges, Question};
use crate::material::{KernelDraws, Material};
use crate::networks::inception::InceptionFeatures;
use crate::protocol::{Protocol, Task};
use crate::rows::Rows;
use crate::scores::{Difference, Evaluation, Facts, Of};
use crate::weights::{digest, hex};

/// A model to judge.
pub struct Candidate {
    /// Its name in tables.
    pub name: String,
    /// The model.
    pub model: Model,
    /// How strongly its edits are applied.
    pub strength: f32,
}

/// The networks that judge. What is not there is not asked.
pub struct Networks {
    /// Features for distances between sets.
    pub inception: Option<InceptionFeatures>,
    /// Expressions, identity, perceptual distance.
    pub judges: Judges,
}

/// A part of the work for one of several machines that share a cache: what each of them has measured is measured for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Shard {
    /// Whether the number `index` of a list is this part's.
    pub fn holds(self, index: usize) -> bool {
        index % self.count == self.index
    }
}

/// How models are judged.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who is judged.
    pub protocol: Protocol,
    /// Side in pixels at which everything is compared.
    pub image_size: usize,
    /// Draws of people for the intervals.
    pub draws: usize,
    /// Decides what is drawn.
    pub seed: u64,
    /// Answers that are known.
    pub cache: Cache,
    /// Where it computes.
    pub device: Device,
}

/// What is looked at before any model's results.
const DATA: &str = "the data set";

/// How many results at least say how fast a model is.
const TIMED: usize = 16;

/// How far an evaluation is.
pub struct Progress<'a> {
    /// Whose images: a model's, or the data set's own.
    pub row: &'a str,
    /// Images looked at.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

/// Judges models on a data set.
///
/// # Errors
/// [`Error::Data`] for a data set that the protocol cannot be applied to, [`Error::Read`] and [`Error::Image`] for a file
/// that cannot be used, [`Error::Config`] for models that share no two expressions, or one that makes values that are no
/// numbers.
pub fn evaluate(
    dataset: &Dataset,
    split: &Split,
    candidates: &mut [Candidate],
    networks: &Networks,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Evaluation> {
    let task = task(dataset, split, candidates, settings)?;
    let draws = draws(&task, settings);
    let rows = Rows::new(&task, networks, settings, None, &mut |done, total| {
        progress(Progress { row: DATA, done, total });
    })?;
    let mut kernel_draws: Vec<(String, KernelDraws)> = Vec::new();
    let mut shown =
        vec![rows.real()?.row("real", Of::Real, &draws)?.0, rows.copy()?.row("copy", Of::Copy, &draws)?.0];
    for candidate in candidates.iter_mut() {
        let name = candidate.name.clone();
        let mut tell = |done, total| progress(Progress { row: &name, done, total });
        let (material, facts) = judge(&rows, candidate, settings, &mut tell)?;
        let (row, of_kernel) = material.row(&name, Of::Model(facts), &draws)?;
        shown.push(row);
        kernel_draws.push((name, of_kernel));
    }
    Ok(Evaluation {
        format: 1,
        data: dataset.name.clone(),
        protocol: settings.protocol,
        description: task.describe(),
        image_size: settings.image_size,
        draws: settings.draws,
        notes: notes(&task, candidates, networks),
        rows: shown,
        differences: differences(&kernel_draws),
    })
}

/// Measures a part of what [`evaluate`] needs, into the cache that the settings name: once all parts are measured, it
/// computes nothing but the tables.
///
/// # Errors
/// As [`evaluate`].
pub fn measure_shard(
    dataset: &Dataset,
    split: &Split,
    candidates: &mut [Candidate],
    networks: &Networks,
    settings: &Settings,
    shard: Shard,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    let task = task(dataset, split, candidates, settings)?;
    let rows = Rows::new(&task, networks, settings, Some(shard), &mut |done, total| {
        progress(Progress { row: DATA, done, total });
    })?;
    rows.real()?;
    rows.copy()?;
    for candidate in candidates.iter_mut() {
        let name = candidate.name.clone();
        judge(&rows, candidate, settings, &mut |done, total| progress(Progress { row: &name, done, total }))?;
    }
    Ok(())
}

/// What is asked of all models: the expressions that each of them gives, for figures over different ones do not compare.
fn task(dataset: &Dataset, split: &Split, candidates: &[Candidate], settings: &Settings) -> Result<Task> {
    let mut given = Expression::ALL.to_vec();
    given.retain(|expression| without(candidates, *expression).is_empty());
    if given.len() < 2 {
        let gives = |candidate: &Candidate| {
            let names: Vec<_> = candidate.model.targets().into_iter().map(Expression::name).collect();
            format!("{} gives {}", candidate.name, names.join(", "))
        };
        let all = candidates.iter().map(gives).collect::<Vec<_>>().join("; ");
        let problem = format!("no two expressions are given by every model: {all}");
        return Err(Error::config(problem, "judge models together that share two expressions at least"));
    }
    Task::new(settings.protocol, dataset, split, &given, settings.seed)
}

/// The names of those that do not give an expression.
fn without(candidates: &[Candidate], expression: Expression) -> Vec<&str> {
    let lacks = |candidate: &&Candidate| !candidate.model.targets().contains(&expression);
    candidates.iter().filter(lacks).map(|candidate| candidate.name.as_str()).collect()
}

/// What a model's row is computed of, and what is known of the model.
fn judge(
    rows: &Rows<'_>,
    candidate: &mut Candidate,
    settings: &Settings,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Material, Facts)> {
    let tensors = Tensors::of(&mut *candidate.model.translator, String::new());
    let weights = digest(&tensors);
    let painter = Painter { candidate, device: &settings.device, spent: RefCell::new((0, 0.0)) };
    let method = serde_json::to_string(&candidate.model.card.method).unwrap_or_default();
    let identity = key(&["model", &weights, &method, &candidate.strength.to_string()]);
    let material = rows.model(&painter, &identity, progress)?;
    // Where all answers were known, some results are made to say how fast that is.
    if painter.spent.borrow().0 < TIMED {
        rows.results(&painter, &(0..rows.cases().min(TIMED)).collect::<Vec<_>>())?;
    }
    let (results, seconds) = *painter.spent.borrow();
    let card = &candidate.model.card;
    let facts = Facts {
        method: card.method.name().to_string(),
        image_size: card.method.image_size(),
        data: card.data.clone(),
        iteration: card.iteration,
        updates: card.updates.clone(),
        averaged: card.weights == Weights::Average,
        strength: candidate.strength,
        parameters: tensors.values.values().map(|(_, values)| values.len()).sum(),
        images_per_second: results as f64 / seconds,
        weights,
    };
    Ok((material, facts))
}

/// Makes a model's results.
pub(crate) struct Painter<'a> {
    candidate: &'a Candidate,
    device: &'a Device,
    /// Results made, and the seconds that they took.
    spent: RefCell<(usize, f64)>,
}

impl Painter<'_> {
    /// The faces with the target expressions, at their own size. `shown` names a face in errors.
    pub(crate) fn paint(
        &self,
        faces: &[RgbImage],
        targets: &[Expression],
        shown: &dyn Fn(usize) -> String,
    ) -> Result<Vec<RgbImage>> {
        let begun = Instant::now();
        let side = self.candidate.model.card.method.image_size() as u32;
        let small: Vec<RgbImage> = faces.iter().map(|face| square(face.clone(), side)).collect();
        let x = to_tensor(&small, self.device);
        let edits = SquareEdit::of_batch(self.candidate.model.translator.edit(x.clone(), targets), &x);
        if let Some(broken) = edits.iter().position(|edit| !edit.is_finite()) {
            let (name, target) = (&self.candidate.name, targets[broken]);
            let problem =
                format!("{name} makes values that are no numbers of {} with {target}", shown(broken));
            let hint = "training has diverged: judge an earlier checkpoint, and lower the learning rate";
            return Err(Error::config(problem, hint));
        }
        let apply = |(face, edit): (&RgbImage, &SquareEdit)| {
            edited(face, &[FaceSquare::middle_of(face.dimensions())], &[edit], self.candidate.strength)
        };
        let results = faces.iter().zip(&edits).map(apply).collect();
        let mut spent = self.spent.borrow_mut();
        *spent = (spent.0 + faces.len(), spent.1 + begun.elapsed().as_secs_f64());
        Ok(results)
    }
}

/// Draws of the people who are judged, and of those of the row `real`.
fn draws(task: &Task, settings: &Settings) -> Draws {
    let people = |images: &mut dyn Iterator<Item = usize>| {
        let mut people: Vec<usize> = images.map(|image| task.people[image]).collect();
        people.sort_unstable();
        people.dedup();
        people
    };
    let results = task.results.iter().flat_map(|sets| &sets.reals);
    let judged = people(&mut results.copied().chain(task.cases.iter().map(|case| case.source)));
    let mut others = people(&mut task.floor.iter().flat_map(|sets| &sets.others).copied());
    others.retain(|person| judged.binary_search(person).is_err());
    let count = task.people.iter().max().map_or(0, |most| most + 1);
    Draws::new(settings.draws, count, &[judged, others], settings.seed)
}

/// What of the expressions and the metrics is left out, and why.
fn notes(task: &Task, candidates: &[Candidate], networks: &Networks) -> Vec<String> {
    let mut notes = Vec::new();
    let mut ungiven: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for expression in Expression::ALL {
        ungiven.entry(without(candidates, expression)).or_default().push(expression.name());
    }
    ungiven.remove(&Vec::new());
    for (models, expressions) in ungiven {
        notes.push(format!("Left out: {}: not given by {}.", expressions.join(", "), models.join(", ")));
    }
    let lacking = task.lacking.iter().map(|(expression, count)| format!("{expression} ({count})"));
    let lacking = lacking.collect::<Vec<_>>().join(", ");
    if !lacking.is_empty() {
        notes.push(format!("Left out: {lacking}: two real images at least are needed to judge by."));
    }
    let mut left_out = |text: &str| notes.push(text.to_string());
    if networks.inception.is_none() {
        left_out(
            "Left out: FID, KID, precision, recall, density, coverage: the weights of Inception-v3 are not there.",
        );
    }
    if networks.judges.fingerprint(Question::Identity).is_none() {
        left_out("Left out: identity: the weights of the face recognition network are not there.");
    }
    if networks.judges.fingerprint(Question::Lpips).is_none() {
        left_out("Left out: LPIPS and diversity: the weights of LPIPS are not there.");
    }
    notes
}

/// Of every two models how their kernel distances differ, draw by draw.
fn differences(rows: &[(String, KernelDraws)]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (at, (first, ours)) in rows.iter().enumerate() {
        for (second, theirs) in &rows[at + 1..] {
            for ((expression, value, draws), (_, other, others)) in ours.iter().zip(theirs) {
                let drawn: Vec<f64> = draws.iter().zip(others).map(|(a, b)| a - b).collect();
                if let Some(interval) = interval(&drawn) {
                    let rows = [first.clone(), second.clone()];
                    differences.push(Difference {
                        rows,
                        expression: *expression,
                        value: value - other,
                        interval,
                    });
                }
            }
        }
    }
    differences
}

/// Of each sample what decides its pixels at a size; `None` for those that no one asks for.
pub(crate) fn sample_keys(
    task: &Task,
    wanted: &[bool],
    image_size: usize,
) -> Result<BTreeMap<usize, String>> {
    let mut keys = BTreeMap::new();
    for (index, sample) in task.samples.iter().enumerate().filter(|(index, _)| wanted[*index]) {
        let bytes = fs::read(&sample.file).map_err(Error::read(&sample.file))?;
        let content = hex(&Sha256::digest(&bytes));
        keys.insert(index, key(&["sample", &content, &image_size.to_string()]));
    }
    Ok(keys)
}

/// A sample's face at the size of the comparison.
pub(crate) fn face(task: &Task, index: usize, image_size: usize) -> Result<RgbImage> {
    Ok(square(read(&task.samples[index].file)?, image_size as u32))
}

/// A person whom a comparison shows, with what each model makes of them.
#[derive(Debug, Clone)]
pub struct Portrait {
    /// Who it is: the identity, or the file.
    pub name: String,
    /// The face that was changed.
    pub source: RgbImage,
    /// What it shows.
    pub shown: Expression,
    /// The person's true images.
    pub truths: BTreeMap<Expression, RgbImage>,
    /// Each model's results, in the order of the models.
    pub results: Vec<BTreeMap<Expression, RgbImage>>,
}

/// The first `count` people who are judged, neutral and frontal where they can be, at `image_size` pixels, with all
/// expressions that are judged by all models.
///
/// # Errors
/// As [`evaluate`].
pub fn portraits(
    dataset: &Dataset,
    split: &Split,
    candidates: &[Candidate],
    settings: &Settings,
    count: usize,
    image_size: usize,
) -> Result<Vec<Portrait>> {
    let task = task(dataset, split, candidates, settings)?;
    let mut sources: Vec<usize> = task.cases.iter().map(|case| case.source).collect();
    sources.sort_unstable();
    sources.dedup();
    let frontal = |index: usize| task.samples[index].gaze.as_deref().is_none_or(|gaze| gaze == "frontal");
    sources.sort_by_key(|&index| (task.samples[index].expression != Expression::Neutral, !frontal(index)));
    let mut seen = BTreeSet::new();
    sources.retain(|&index| seen.insert(task.people[index]));
    let portrait = |&index: &usize| -> Result<Portrait> {
        let sample = &task.samples[index];
        let source = face(&task, index, image_size)?;
        let mut truths = BTreeMap::new();
        for (other, truth) in task.samples.iter().enumerate() {
            if other != index && task.same_but_expression(index, other) {
                truths.insert(truth.expression, face(&task, other, image_size)?);
            }
        }
        let mut results = Vec::new();
        for candidate in candidates {
            let painter = Painter { candidate, device: &settings.device, spent: RefCell::default() };
            let targets = &task.expressions;
            let faces = vec![source.clone(); targets.len()];
            let made = painter.paint(&faces, targets, &|_| sample.file.display().to_string())?;
            results.push(targets.iter().copied().zip(made).collect());
        }
        let file = || sample.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = sample.identity.clone().unwrap_or_else(file);
        Ok(Portrait { name, source, shown: sample.expression, truths, results })
    };
    sources.iter().take(count).map(portrait).collect()
}

#[cfg(test)]
mod tests {
    use moue::base::device::device;
    use moue::methods::MethodConfig;
    use moue::methods::moue::Config;
    use moue::nn::module::for_each;
    use moue::run::model::Card;

    use super::*;

    fn candidate(device: &Device) -> Candidate {
        let method = MethodConfig::Moue(Config::smoke());
        let translator = method.translator(device).unwrap();
        let card = Card {
            format: 1,
            method,
            weights: Weights::Raw,
            data: String::new(),
            iteration: 0,
            updates: BTreeMap::new(),
            strength: 1.0,
            expressions: Vec::new(),
            targets: Vec::new(),
        };
        Candidate { name: "broken".into(), model: Model { card, translator }, strength: 1.0 }
    }

    #[test]
    fn a_generator_that_makes_no_numbers_is_reported_with_the_face() {
        let device = device("cpu").unwrap();
        let mut candidate = candidate(&device);
        let faces = vec![RgbImage::from_pixel(48, 48, image::Rgb([90, 120, 150])); 2];
        let paint = |candidate: &Candidate| {
            let painter = Painter { candidate, device: &device, spent: RefCell::default() };
            painter.paint(&faces, &[Expression::Sad, Expression::Happy], &|place| format!("face {place}"))
        };
        // An untrained one hardly moves anything.
        let results = paint(&candidate).unwrap();
        assert_eq!(results[0].dimensions(), (48, 48));
        for_each(&mut *candidate.model.translator, |_, _, tensor| {
            let mut data = tensor.data();
            data.as_mut_slice::<f32>().unwrap()[0] = f32::NAN;
            tensor.set(data);
        });
        let error = paint(&candidate).unwrap_err();
        assert!(
            error.to_string().contains("broken makes values that are no numbers of face 0 with sad"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("earlier checkpoint"));
    }

    #[test]
    fn shards_hold_everything_once() {
        let shards: Vec<Shard> = (0..3).map(|index| Shard { index, count: 3 }).collect();
        assert!((0..20).all(|number| shards.iter().filter(|shard| shard.holds(number)).count() == 1));
    }
}
