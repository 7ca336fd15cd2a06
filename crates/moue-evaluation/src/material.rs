//! What a row of a table is computed of, and the row.

use std::collections::BTreeMap;

use moue::base::error::Result;
use moue::base::expression::Expression;
use rayon::prelude::*;

use crate::accuracy::Confusion;
use crate::bootstrap::{Draws, interval, interval_about, mean, weighted_quantile};
use crate::judges::Classifier;
use crate::metrics::precision_recall::Neighbourhoods;
use crate::metrics::{Draw, Features, Gram, frechet, kernel};
use crate::networks::CLASSES;
use crate::scores::{Metric, Of, Row, Score, Scores};

/// What KIDs are multiplied by in tables.
const KID_UNIT: f64 = 1000.0;

/// Two sets of images as features, with the person of each image.
#[derive(Debug, Clone)]
pub(crate) struct SetPair {
    /// What they show; `None` for all expressions together.
    pub(crate) expression: Option<Expression>,
    /// Real images, and what stands against them.
    pub(crate) features: [Features; 2],
    pub(crate) people: [Vec<usize>; 2],
}

/// A number of one result. What is between two people's results counts for both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Observation {
    pub(crate) target: Expression,
    pub(crate) people: [usize; 2],
    pub(crate) value: f64,
}

/// What a classifier found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) target: Expression,
    pub(crate) person: usize,
    pub(crate) probabilities: [f32; 7],
}

/// All that a row is computed of. What could not be measured is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Material {
    pub(crate) sets: Vec<SetPair>,
    pub(crate) readings: BTreeMap<Classifier, Vec<Reading>>,
    /// Whether contemptuous mouths are askew, distances of identity, LPIPS to the truth, LPIPS between people, reconstruction errors.
    pub(crate) contempt: Vec<Observation>,
    pub(crate) identity: Vec<Observation>,
    pub(crate) lpips: Vec<Observation>,
    pub(crate) diversity: Vec<Observation>,
    pub(crate) reconstruction: Vec<Observation>,
}

/// A kernel distance's draws, for differences between rows. By expression, last over all.
pub(crate) type KernelDraws = Vec<(Option<Expression>, f64, Vec<f64>)>;

impl Material {
    /// The row of a name.
    ///
    /// # Errors
    /// Those of the metrics: features that do not fit each other.
    pub(crate) fn row(&self, name: &str, of: Of, draws: &Draws) -> Result<(Row, KernelDraws)> {
        let mut kernel_draws = Vec::new();
        let mut expressions = BTreeMap::new();
        for expression in Expression::ALL {
            let scores = self.scores(Some(expression), draws, &mut kernel_draws)?;
            if !scores.is_empty() {
                expressions.insert(expression, scores);
            }
        }
        let overall = self.scores(None, draws, &mut kernel_draws)?;
        let confusion = self.readings.iter().map(|(classifier, readings)| {
            let mut confusion = Confusion::default();
            readings.iter().for_each(|reading| confusion.add(reading.target, &reading.probabilities));
            let rows = Expression::ALL.map(|target| confusion.row(target).to_vec()).to_vec();
            (classifier.name().to_string(), rows)
        });
        let row = Row { name: name.to_string(), of, expressions, overall, confusion: confusion.collect() };
        Ok((row, kernel_draws))
    }

    /// The scores of an expression, or over all.
    fn scores(
        &self,
        expression: Option<Expression>,
        draws: &Draws,
        kernel_draws: &mut KernelDraws,
    ) -> Result<Scores> {
        let mut scores = Scores::new();
        if let Some(pair) = self.pair(expression)? {
            let (of_sets, kernel) = set_scores(&pair, draws)?;
            scores.extend(of_sets);
            kernel_draws.extend(kernel.map(|(value, draws)| (expression, value, draws)));
        }
        for (classifier, metric) in [(Classifier::FaceApi, Metric::FaceApi), (Classifier::Fer, Metric::Fer)] {
            let readings = self.readings.get(&classifier).map_or(&[][..], Vec::as_slice);
            scores.extend(accuracy(readings, expression, draws).map(|score| (metric, score)));
        }
        let of = |observations: &[Observation]| -> Vec<Observation> {
            let wanted = |o: &&Observation| expression.is_none_or(|expression| o.target == expression);
            observations.iter().filter(wanted).copied().collect()
        };
        let quantile = |share: f64| {
            move |values: &[f64], times: &dyn Fn(usize) -> u32| weighted_quantile(values, times, share)
        };
        let average = |values: &[f64], times: &dyn Fn(usize) -> u32| mean(values, times);
        let identity = of(&self.identity);
        scores.extend(score(&identity, draws, quantile(0.5)).map(|score| (Metric::Identity, score)));
        scores.extend(score(&identity, draws, quantile(0.95)).map(|score| (Metric::Identity95, score)));
        for (metric, observations) in [
            (Metric::Contempt, &self.contempt),
            (Metric::Lpips, &self.lpips),
            (Metric::Diversity, &self.diversity),
            (Metric::Reconstruction, &self.reconstruction),
        ] {
            scores.extend(score(&of(observations), draws, average).map(|score| (metric, score)));
        }
        Ok(scores)
    }

    /// The sets of an expression, or of all together.
    fn pair(&self, expression: Option<Expression>) -> Result<Option<SetPair>> {
        let Some(first) = self.sets.first() else { return Ok(None) };
        if expression.is_some() {
            return Ok(self.sets.iter().find(|pair| pair.expression == expression).cloned());
        }
        let together = |side: usize| {
            let values = self.sets.iter().flat_map(|pair| pair.features[side].values()).copied().collect();
            Features::new(first.features[side].dimensions(), values)
        };
        let people = |side: usize| self.sets.iter().flat_map(|pair| pair.people[side].clone()).collect();
        Ok(Some(SetPair {
            expression: None,
            features: [together(0)?, together(1)?],
            people: [people(0), people(1)],
        }))
    }
}

/// A kernel distance and its draws, times [`KID_UNIT`].
type Kernel = Option<(f64, Vec<f64>)>;

/// The distances of two sets.
fn set_scores(pair: &SetPair, draws: &Draws) -> Result<(Scores, Kernel)> {
    let [reals, others] = &pair.features;
    let count = others.count();
    let mut scores = Scores::new();
    if reals.count() < 2 || count < 2 {
        return Ok((scores, None));
    }
    let gram = Gram::of(reals, others);
    let clusters = [pair.people[0].as_slice(), pair.people[1].as_slice()];
    let draw = |times| Draw { clusters, times };
    let each = |figure: &(dyn Fn(Draw<'_>) -> Option<f64> + Sync)| -> Vec<f64> {
        draws.times().par_iter().filter_map(|times| figure(draw(times))).collect()
    };
    let value = frechet::of_pairs(&gram, None)?;
    let drawn = each(&|draw| frechet::of_pairs(&gram, Some(draw)).ok());
    scores.insert(Metric::Fid, Score { value, interval: interval_about(value, &drawn), error: None, count });
    let mut kernel_draws = None;
    if let Some(distance) = kernel::of_pairs(&gram) {
        let value = KID_UNIT * distance.value;
        // A draw that there is none of is kept as no number, so that draws of two rows stay side by side.
        let drawn: Vec<f64> = draws
            .times()
            .iter()
            .map(|times| kernel::of_draw(&gram, draw(times)).map_or(f64::NAN, |value| KID_UNIT * value))
            .collect();
        let error = distance.error.map(|error| KID_UNIT * error);
        let finite: Vec<f64> = drawn.iter().copied().filter(|value| value.is_finite()).collect();
        scores.insert(Metric::Kid, Score { value, interval: interval_about(value, &finite), error, count });
        kernel_draws = Some((value, drawn));
    }
    let neighbourhoods = Neighbourhoods::of(&gram);
    let whole = neighbourhoods.scores(None);
    let drawn: Vec<_> = draws.times().iter().map(|times| neighbourhoods.scores(Some(draw(times)))).collect();
    for (metric, value, drawn) in [
        (Metric::Precision, whole.precision, drawn.iter().filter_map(|s| s.precision).collect::<Vec<_>>()),
        (Metric::Recall, whole.recall, drawn.iter().filter_map(|s| s.recall).collect()),
        (Metric::Density, whole.density, drawn.iter().filter_map(|s| s.density).collect()),
        (Metric::Coverage, whole.coverage, drawn.iter().filter_map(|s| s.coverage).collect()),
    ] {
        let score = |value| Score { value, interval: interval(&drawn), error: None, count };
        scores.extend(value.map(|value| (metric, score(value))));
    }
    Ok((scores, kernel_draws))
}

/// How often a classifier reads the target; over all expressions the mean of its classes.
fn accuracy(readings: &[Reading], expression: Option<Expression>, draws: &Draws) -> Option<Score> {
    let classes: Vec<Expression> =
        CLASSES.iter().copied().filter(|class| expression.is_none_or(|wanted| wanted == *class)).collect();
    let of_class = |class: &Expression| -> (Vec<f64>, Vec<usize>) {
        let wanted = readings.iter().filter(|reading| reading.target == *class);
        let right = |reading: &Reading| crate::accuracy::answer(&reading.probabilities) == *class;
        wanted.map(|reading| (f64::from(u8::from(right(reading))), reading.person)).unzip()
    };
    let classes: Vec<_> = classes.iter().map(of_class).filter(|(values, _)| !values.is_empty()).collect();
    let count = classes.iter().map(|(values, _)| values.len()).sum();
    let figure = |times: &dyn Fn(usize) -> u32| -> Option<f64> {
        let each = classes.iter().filter_map(|(values, people)| mean(values, |index| times(people[index])));
        let each: Vec<f64> = each.collect();
        (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
    };
    let value = figure(&|_| 1)?;
    let drawn: Vec<f64> = draws.times().iter().filter_map(|times| figure(&|person| times[person])).collect();
    Some(Score { value, interval: interval(&drawn), error: None, count })
}

/// A figure of some observations; `None` of none.
fn score(
    observations: &[Observation],
    draws: &Draws,
    figure: impl Fn(&[f64], &dyn Fn(usize) -> u32) -> Option<f64>,
) -> Option<Score> {
    let values: Vec<f64> = observations.iter().map(|observation| observation.value).collect();
    let value = figure(&values, &|_| 1)?;
    let of_draw = |times: &Vec<u32>| {
        let times = |index: usize| match observations[index].people {
            [one, other] if one == other => times[one],
            [one, other] => times[one] * times[other],
        };
        figure(&values, &times)
    };
    let drawn: Vec<f64> = draws.times().iter().filter_map(of_draw).collect();
    Some(Score { value, interval: interval(&drawn), error: None, count: values.len() })
}

#[cfg(test)]
mod tests {
    use moue::base::rng::Rng;

    use super::*;

    /// Two people's results: the first is always read as the target.
    fn readings() -> Vec<Reading> {
        let of = |target: Expression, person: usize, answer: usize| {
            let mut probabilities = [0.0; 7];
            probabilities[answer] = 1.0;
            Reading { target, person, probabilities }
        };
        // Classes: angry 0, disgusted 1, ..., happy 3.
        vec![
            of(Expression::Angry, 0, 0),
            of(Expression::Angry, 1, 3),
            of(Expression::Happy, 0, 3),
            of(Expression::Happy, 1, 3),
            of(Expression::Contemptuous, 0, 4),
        ]
    }

    #[test]
    fn accuracy_is_the_mean_of_the_classes_and_knows_no_contempt() {
        let draws = Draws::new(200, 2, &[vec![0, 1]], 0);
        let all = accuracy(&readings(), None, &draws).unwrap();
        assert_eq!((all.value, all.count), (0.75, 4));
        // Both draws of the second person: half; both of the first: all.
        assert_eq!(all.interval, Some([0.5, 1.0]));
        assert_eq!(accuracy(&readings(), Some(Expression::Angry), &draws).unwrap().value, 0.5);
        assert_eq!(accuracy(&readings(), Some(Expression::Contemptuous), &draws), None);
        assert_eq!(accuracy(&[], None, &draws), None);
    }

    #[test]
    fn pairs_of_people_count_as_often_as_both_were_drawn() {
        let target = Expression::Sad;
        let pair = |people, value| Observation { target, people, value };
        let observations = [pair([0, 1], 1.0), pair([1, 2], 4.0)];
        let draws = Draws::new(100, 3, &[vec![0, 1, 2]], 0);
        let average = |values: &[f64], times: &dyn Fn(usize) -> u32| mean(values, times);
        let found = score(&observations, &draws, average).unwrap();
        assert_eq!((found.value, found.count), (2.5, 2));
        let [low, high] = found.interval.unwrap();
        assert!(low >= 1.0 && high <= 4.0 && low < high);
    }

    /// Features of `people` people about a place, three images each.
    fn features(people: usize, place: f32, seed: u64) -> (Features, Vec<usize>) {
        let mut rng = Rng::stream(seed, "features", 0);
        let mut values = Vec::new();
        for _ in 0..people {
            let own: Vec<f32> = (0..16).map(|_| rng.normal()).collect();
            for _ in 0..3 {
                values.extend(own.iter().map(|value| place + value + 0.3 * rng.normal()));
            }
        }
        (Features::new(16, values).unwrap(), (0..3 * people).map(|image| image / 3).collect())
    }

    #[test]
    fn a_row_has_distances_with_intervals_about_them() {
        let people = 12;
        let draws = Draws::new(60, people, &[(0..people).collect()], 0);
        let row = |place: f32| {
            let pair = |expression| {
                let (reals, of_reals) = features(people, 0.0, 1);
                let (others, of_others) = features(people, place, 2);
                SetPair {
                    expression: Some(expression),
                    features: [reals, others],
                    people: [of_reals, of_others],
                }
            };
            let sets = [Expression::Angry, Expression::Sad].map(pair).to_vec();
            let readings = BTreeMap::from([(Classifier::Fer, readings())]);
            let material = Material { sets, readings, ..Material::default() };
            material.row("a", Of::Copy, &draws).unwrap()
        };
        let ((near, of_near), (far, of_far)) = (row(0.0), row(1.0));
        let value = |row: &Row, metric| row.overall[&metric].value;
        assert!(value(&near, Metric::Fid) < value(&far, Metric::Fid));
        assert!(value(&near, Metric::Kid) < value(&far, Metric::Kid));
        assert!(value(&near, Metric::Coverage) >= value(&far, Metric::Coverage));
        for (metric, score) in &far.overall {
            let [low, high] = score.interval.unwrap();
            assert!(low <= score.value && score.value <= high, "{metric:?} {score:?}");
        }
        assert_eq!(far.overall[&Metric::Fid].count, 72);
        assert_eq!(far.expressions[&Expression::Sad][&Metric::Fid].count, 36);
        assert!(!far.expressions.contains_key(&Expression::Neutral));
        assert_eq!(far.confusion["fer"][Expression::Angry.index()], [1, 0, 0, 1, 0, 0, 0]);
        // Draw by draw the far one is farther: no interval of the difference holds 0.
        for ((at, _, near), (same, _, far)) in of_near.iter().zip(&of_far) {
            assert_eq!(at, same);
            assert!(near.iter().zip(far).all(|(near, far)| near < far));
        }
    }
}
