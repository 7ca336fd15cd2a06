//! From images to what the rows of a table are computed of.

use std::collections::BTreeMap;

use image::RgbImage;
use moue::base::error::Result;
use moue::base::expression::Expression;

use crate::ask::{Answers, Question, ask, key};
use crate::contempt::{ASKEW, asymmetry};
use crate::evaluate::{Networks, Painter, Settings, Shard, face, sample_keys};
use crate::judges::{Question as Judged, pairwise};
use crate::looks::Looks;
use crate::material::{Material, Observation, Reading, SetPair};
use crate::metrics::Features;
use crate::networks::recognition;
use crate::protocol::{Case, Sets, Task};

/// The rows of one task.
pub(crate) struct Rows<'a> {
    task: &'a Task,
    networks: &'a Networks,
    settings: &'a Settings,
    shard: Option<Shard>,
    /// Of each sample that is looked at what decides its pixels.
    keys: BTreeMap<usize, String>,
    /// What the networks say of the samples.
    samples: Looks,
}

/// Makes the images of some indices.
type Images<'a> = &'a mut dyn FnMut(&[usize]) -> Result<Vec<RgbImage>>;

impl<'a> Rows<'a> {
    /// Looks at the data set's own images, which all rows need.
    pub(crate) fn new(
        task: &'a Task,
        networks: &'a Networks,
        settings: &'a Settings,
        shard: Option<Shard>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let mut wanted = vec![false; task.samples.len()];
        let sets = task.results.iter().map(|sets| &sets.reals);
        let floor = task.floor.iter().flat_map(|sets| [&sets.reals, &sets.others]);
        sets.chain(floor).flatten().for_each(|&index| wanted[index] = true);
        task.cases.iter().for_each(|case| {
            wanted[case.source] = true;
            case.truth.iter().for_each(|&truth| wanted[truth] = true);
        });
        let keys = sample_keys(task, &wanted, settings.image_size)?;
        let mut rows = Self { task, networks, settings, shard, keys, samples: Looks::default() };
        rows.samples = rows.looks_of_samples(progress)?;
        Ok(rows)
    }

    /// Real images of other people against the real ones; of pairs, the person's own true image.
    pub(crate) fn real(&self) -> Result<Material> {
        let looks = &self.samples;
        let truths = |case: usize| self.task.cases[case].truth;
        let mut material = self.of_pairs(looks, looks, &truths);
        material.sets = self.sets(&self.task.floor, looks, looks, &|sample| self.task.people[sample])?;
        material.diversity =
            self.diversity(&truths, &|_, sample| self.keys[&sample].clone(), &mut |samples| {
                self.faces(samples)
            })?;
        Ok(material)
    }

    /// The sources unchanged.
    pub(crate) fn copy(&self) -> Result<Material> {
        let looks = &self.samples;
        let source = |case: usize| self.task.cases[case].source;
        let mut material = self.of_pairs(looks, looks, &|case| Some(source(case)));
        let of_cases = Looks { inception: self.of_cases(&looks.inception, &source), ..Looks::default() };
        material.sets =
            self.sets(&self.task.results, looks, &of_cases, &|case| self.task.people[source(case)])?;
        let questions: Vec<Question<'_>> =
            self.lpips(&|case| self.keys[&source(case)].clone()).into_iter().collect();
        let mut images =
            |cases: &[usize]| self.faces(&cases.iter().map(|&case| source(case)).collect::<Vec<_>>());
        let answers = self.ask(&questions, self.task.cases.len(), &mut images, &mut |_, _| {})?;
        material.lpips = self.observations(answers.first());
        material.diversity = self.diversity(
            &|case| Some(source(case)),
            &|_, sample| self.keys[&sample].clone(),
            &mut |samples| self.faces(samples),
        )?;
        Ok(material)
    }

    /// A model's results. `identity` decides them, beside source and target.
    pub(crate) fn model(
        &self,
        painter: &Painter<'_>,
        identity: &str,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Material> {
        let task = self.task;
        let keys: Vec<String> = task
            .cases
            .iter()
            .map(|case| key(&[identity, &self.keys[&case.source], case.target.name()]))
            .collect();
        let mut images = |cases: &[usize]| self.results(painter, cases);
        let chosen = task.chosen();
        let mut questions = Looks::questions(
            self.networks,
            &self.settings.cache,
            keys.iter().cloned().map(Some).collect(),
            &|case| chosen.contains(&case),
            &|case| task.cases[case].target == Expression::Contemptuous,
        );
        let own = questions.len();
        questions.extend(self.lpips(&|case| keys[case].clone()));
        let with_lpips = questions.len() > own;
        questions.push(self.reconstruction(painter, &keys));
        let mut answers = self.ask(&questions, keys.len(), &mut images, progress)?;
        let reconstruction = self.observations(answers.last());
        let lpips = if with_lpips { self.observations(answers.get(own)) } else { Vec::new() };
        answers.truncate(own);
        let looks = Looks::of_answers(self.networks, answers);
        let mut material = self.of_pairs(&self.samples, &looks, &Some);
        material.sets =
            self.sets(&task.results, &self.samples, &looks, &|case| task.people[task.cases[case].source])?;
        material.diversity = self.diversity(&Some, &|case, _| keys[case].clone(), &mut images)?;
        material.lpips = lpips;
        material.reconstruction = reconstruction;
        Ok(material)
    }

    /// How many results are asked for.
    pub(crate) fn cases(&self) -> usize {
        self.task.cases.len()
    }

    /// Results of some cases.
    pub(crate) fn results(&self, painter: &Painter<'_>, cases: &[usize]) -> Result<Vec<RgbImage>> {
        let cases: Vec<_> = cases.iter().map(|&case| self.task.cases[case]).collect();
        let sources = self.faces(&cases.iter().map(|case| case.source).collect::<Vec<_>>())?;
        let targets: Vec<Expression> = cases.iter().map(|case| case.target).collect();
        painter.paint(&sources, &targets, &|place| self.shown(cases[place].source))
    }

    fn faces(&self, samples: &[usize]) -> Result<Vec<RgbImage>> {
        samples.iter().map(|&sample| face(self.task, sample, self.settings.image_size)).collect()
    }

    fn shown(&self, sample: usize) -> String {
        self.task.samples[sample].file.display().to_string()
    }

    /// [`ask`], of this shard's images alone.
    fn ask(
        &self,
        questions: &[Question<'_>],
        count: usize,
        images: Images<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Answers> {
        let is_ours = |index: usize| self.shard.is_none_or(|shard| shard.holds(index));
        ask(questions, count, &is_ours, images, &|index| format!("image {index} of the task"), &mut |done| {
            progress(done, count)
        })
    }

    /// What the networks say of all samples that are looked at.
    fn looks_of_samples(&self, progress: &mut dyn FnMut(usize, usize)) -> Result<Looks> {
        let count = self.task.samples.len();
        let keys = (0..count).map(|index| self.keys.get(&index).cloned()).collect();
        let stands = self.task.samples_in_sets();
        let is_tilted = |sample: usize| {
            let shown = self.task.samples[sample].expression;
            shown == Expression::Neutral || shown == Expression::Contemptuous
        };
        let (networks, cache) = (self.networks, &self.settings.cache);
        let questions =
            Looks::questions(networks, cache, keys, &|sample| stands.contains(&sample), &is_tilted);
        let answers = self.ask(&questions, count, &mut |samples| self.faces(samples), progress)?;
        Ok(Looks::of_answers(networks, answers))
    }

    /// LPIPS of the cases' images to the true images.
    fn lpips(&self, image_key: &dyn Fn(usize) -> String) -> Option<Question<'_>> {
        let judges = &self.networks.judges;
        let fingerprint = judges.fingerprint(Judged::Lpips)?;
        let of_case = |case: usize| {
            let truth = self.task.cases[case].truth?;
            Some(key(&[&image_key(case), &self.keys[&truth]]))
        };
        let keys = (0..self.task.cases.len()).map(of_case).collect();
        let answer = move |cases: &[usize], images: &[RgbImage]| {
            let truths: Vec<usize> = cases.iter().filter_map(|&case| self.task.cases[case].truth).collect();
            judges.lpips(images, &self.faces(&truths)?)
        };
        Some(Question { shelf: self.settings.cache.shelf(&fingerprint, 1), keys, answer: Box::new(answer) })
    }

    /// How far the results that stand in the sets are from their sources after the way back.
    fn reconstruction<'q>(&'q self, painter: &'q Painter<'_>, keys: &[String]) -> Question<'q> {
        let chosen = self.task.chosen();
        let of_case = |(case, own): (usize, &String)| chosen.contains(&case).then(|| key(&[own, "and back"]));
        let answer = move |cases: &[usize], images: &[RgbImage]| {
            let sources: Vec<usize> = cases.iter().map(|&case| self.task.cases[case].source).collect();
            let shown: Vec<Expression> =
                sources.iter().map(|&source| self.task.samples[source].expression).collect();
            let back = painter.paint(images, &shown, &|place| self.shown(sources[place]))?;
            let faces = self.faces(&sources)?;
            Ok(faces.iter().zip(&back).map(|(face, back)| difference(face, back)).collect())
        };
        let shelf = self.settings.cache.shelf("mean absolute difference", 1);
        Question { shelf, keys: keys.iter().enumerate().map(of_case).collect(), answer: Box::new(answer) }
    }

    /// What is computed of a case's source, target and image alone. `image` gives the place of a case's image among
    /// `looks`; the sources are among `of_samples`.
    fn of_pairs(
        &self,
        of_samples: &Looks,
        looks: &Looks,
        image: &dyn Fn(usize) -> Option<usize>,
    ) -> Material {
        let mut material = Material::default();
        for (number, case) in self.task.cases.iter().enumerate() {
            let (target, person) = (case.target, self.task.people[case.source]);
            let Some(place) = image(number) else { continue };
            for (&classifier, probabilities) in &looks.expressions {
                if let Some(probabilities) = probabilities[place] {
                    material.readings.entry(classifier).or_default().push(Reading {
                        target,
                        person,
                        probabilities,
                    });
                }
            }
            let tilt = |looks: &Looks, place: usize| looks.tilt.get(place)?.as_ref()?.first().copied();
            if target == Expression::Contemptuous
                && let Some(at_rest) =
                    self.neutral_of(case.source).and_then(|sample| tilt(of_samples, sample))
                && let Some(tilt) = tilt(looks, place)
            {
                let value = f64::from(u8::from(asymmetry(tilt, at_rest) >= ASKEW));
                material.contempt.push(Observation { target, people: [person; 2], value });
            }
            if let (Some(Some(source)), Some(Some(result))) =
                (of_samples.identity.get(case.source), looks.identity.get(place))
            {
                let value = f64::from(recognition::distance(source, result));
                material.identity.push(Observation { target, people: [person; 2], value });
            }
        }
        material
    }

    /// The same person's neutral face that looks the same way, among those that are looked at.
    fn neutral_of(&self, sample: usize) -> Option<usize> {
        let is_neutral = |&&other: &&usize| self.task.samples[other].expression == Expression::Neutral;
        let mut known = self.keys.keys().filter(is_neutral).copied();
        known.find(|&other| self.task.same_but_expression(sample, other))
    }

    /// Of each case the answer about its sample.
    fn of_cases(
        &self,
        answers: &[Option<Vec<f32>>],
        sample: &dyn Fn(usize) -> usize,
    ) -> Vec<Option<Vec<f32>>> {
        let of_case = |case: usize| answers.get(sample(case)).cloned().flatten();
        (0..self.task.cases.len()).map(of_case).collect()
    }

    /// The sets as features; none where there are no features of all their images.
    fn sets(
        &self,
        sets: &[Sets],
        reals: &Looks,
        others: &Looks,
        person: &dyn Fn(usize) -> usize,
    ) -> Result<Vec<SetPair>> {
        let features = |looks: &Looks, indices: &[usize]| -> Result<Option<Features>> {
            let rows: Option<Vec<&Vec<f32>>> =
                indices.iter().map(|&index| looks.inception.get(index)?.as_ref()).collect();
            let Some(rows) = rows.filter(|rows| !rows.is_empty()) else { return Ok(None) };
            let values = rows.iter().flat_map(|row| row.iter().copied()).collect();
            Features::new(rows[0].len(), values).map(Some)
        };
        let mut pairs = Vec::new();
        for (expression, sets) in Expression::ALL.into_iter().zip(sets) {
            let both = (features(reals, &sets.reals)?, features(others, &sets.others)?);
            if let (Some(real), Some(other)) = both {
                let people = [
                    sets.reals.iter().map(|&real| self.task.people[real]).collect(),
                    sets.others.iter().map(|&other| person(other)).collect(),
                ];
                pairs.push(SetPair { expression: Some(expression), features: [real, other], people });
            }
        }
        Ok(pairs)
    }

    /// LPIPS between the images of different people with one target: of each person the first that stands in the sets.
    fn diversity(
        &self,
        image: &dyn Fn(usize) -> Option<usize>,
        image_key: &dyn Fn(usize, usize) -> String,
        images: Images<'_>,
    ) -> Result<Vec<Observation>> {
        let judges = &self.networks.judges;
        let Some(fingerprint) = judges.fingerprint(Judged::Lpips) else { return Ok(Vec::new()) };
        let mut observations = Vec::new();
        for (number, (target, sets)) in Expression::ALL.into_iter().zip(&self.task.results).enumerate() {
            if self.shard.is_some_and(|shard| !shard.holds(number)) {
                continue;
            }
            let mut one_each: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
            for &case in &sets.others {
                if let Some(place) = image(case) {
                    one_each.entry(self.task.people[self.task.cases[case].source]).or_insert((case, place));
                }
            }
            let people: Vec<usize> = one_each.keys().copied().collect();
            let count = people.len() * people.len().saturating_sub(1) / 2;
            if count == 0 {
                continue;
            }
            let keys: Vec<String> = one_each.values().map(|&(case, place)| image_key(case, place)).collect();
            let own = key(&keys.iter().map(String::as_str).collect::<Vec<_>>());
            let shelf = self.settings.cache.shelf(&format!("{fingerprint} of all pairs"), count);
            let distances = match shelf.get(&own) {
                Some(distances) => distances,
                None => {
                    let places: Vec<usize> = one_each.values().map(|&(_, place)| place).collect();
                    let distances = pairwise(&judges.perceptual_features(&images(&places)?)?)?;
                    let _ = shelf.put(&own, &distances);
                    distances
                }
            };
            let pairs = (0..people.len()).flat_map(|a| (a + 1..people.len()).map(move |b| (a, b)));
            observations.extend(pairs.zip(distances).map(|((a, b), value)| Observation {
                target,
                people: [people[a], people[b]],
                value: f64::from(value),
            }));
        }
        Ok(observations)
    }

    /// Answers of one number a case.
    fn observations(&self, answers: Option<&Vec<Option<Vec<f32>>>>) -> Vec<Observation> {
        let cases = self.task.cases.iter().zip(answers.into_iter().flatten());
        let of_case = |(case, answer): (&Case, &Option<Vec<f32>>)| {
            let value = f64::from(*answer.as_ref()?.first()?);
            let person = self.task.people[case.source];
            Some(Observation { target: case.target, people: [person; 2], value })
        };
        cases.filter_map(of_case).collect()
    }
}

/// The mean absolute difference of two images of one size, 0 to 1.
fn difference(a: &RgbImage, b: &RgbImage) -> f32 {
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    (sum as f64 / (255 * a.as_raw().len()) as f64) as f32
}
