//! Who is asked to show what, and what the results are held against. It is spelled out in every output: a score without
//! its protocol compares with nothing.

use std::collections::{BTreeMap, BTreeSet};

use moue::base::error::{Error, Result};
use moue::base::expression::Expression;
use moue::base::rng::Rng;
use moue::data::{Dataset, Part, Sample, Split};
use serde::{Deserialize, Serialize};

/// Which images a model is judged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The people of the test part, whom no model of this data set was trained on: each of their faces with each other
    /// expression.
    Test,
    /// The same with the validation part: to choose a model or a setting.
    Validation,
    /// All images, trained on or not, as the paper must have done: for each one a result with its expression, made of
    /// another face of the same person.
    Paper,
}

/// A result that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The face to change, an index of the data set's samples.
    pub source: usize,
    /// What it is to show.
    pub target: Expression,
    /// The same person, looking the same way, with that expression, where the data set has it.
    pub truth: Option<usize>,
}

/// Two sets of images of one expression that are held against each other, as indices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets {
    /// Real images, of the data set's samples.
    pub reals: Vec<usize>,
    /// What stands on the other side: cases, or real images of the row `real`.
    pub others: Vec<usize>,
}

/// A protocol applied to a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The protocol.
    pub protocol: Protocol,
    /// The data set's samples.
    pub samples: Vec<Sample>,
    /// Of each sample the person, or a number of its own where nobody is named.
    pub people: Vec<usize>,
    /// What is asked for, and what the sources show.
    pub expressions: Vec<Expression>,
    /// What was to be asked for and has too few real images, with their number.
    pub lacking: Vec<(Expression, usize)>,
    /// All results that are asked for, by target.
    pub cases: Vec<Case>,
    /// By expression in the order of [`Expression::ALL`]: its real images, and as many of the cases. Distances between sets
    /// grow as sets shrink, so both sides always have the same number. Empty for what is not asked for.
    pub results: Vec<Sets>,
    /// The same for the row `real`: real images against as many real images of other people.
    pub floor: Vec<Sets>,
}

impl Task {
    /// Applies a protocol to those of the expressions `wanted` that have two real images at least: fewer have no distance
    /// to anything. What is drawn is drawn from `seed`.
    ///
    /// # Errors
    /// [`Error::Data`] when fewer than two expressions are left, or nobody is held out.
    pub fn new(
        protocol: Protocol,
        dataset: &Dataset,
        split: &Split,
        wanted: &[Expression],
        seed: u64,
    ) -> Result<Self> {
        let judged: Vec<usize> = match protocol {
            Protocol::Test => split.indices(Part::Test).to_vec(),
            Protocol::Validation => split.indices(Part::Validation).to_vec(),
            Protocol::Paper => (0..dataset.samples.len()).collect(),
        };
        if judged.is_empty() {
            return Err(Error::data(
                &dataset.root,
                "nobody is held out of this data set to judge a model on",
                "judge on all images with --protocol paper, and say so with the scores",
            ));
        }
        let (samples, people) = (dataset.samples.clone(), people(&dataset.samples));
        let count = |expression| of_expression(&samples, &judged, expression).len();
        let counts = wanted.iter().map(|&expression| (expression, count(expression)));
        let (enough, lacking): (Vec<_>, Vec<_>) = counts.partition(|(_, count)| *count >= 2);
        let expressions: Vec<Expression> = enough.into_iter().map(|(expression, _)| expression).collect();
        if expressions.len() < 2 {
            let counts = lacking.iter().map(|(expression, count)| format!("{expression} {count}"));
            let counts = counts.collect::<Vec<_>>().join(", ");
            let problem = format!(
                "two expressions with two images each are needed to judge by, and too few have them ({counts})"
            );
            let hint = match protocol {
                Protocol::Paper => "add images: all that there are were counted",
                _ => "add images, or judge on all of them with --protocol paper",
            };
            return Err(Error::data(&dataset.root, problem, hint));
        }
        let (cases, results, floor) = (Vec::new(), Vec::new(), Vec::new());
        let mut task = Self { protocol, samples, people, expressions, lacking, cases, results, floor };
        for target in Expression::ALL {
            if !task.expressions.contains(&target) {
                task.results.push(Sets::default());
                task.floor.push(Sets::default());
                continue;
            }
            let reals = of_expression(&task.samples, &judged, target);
            let mut rng = Rng::stream(seed, "cases", target.index() as u64);
            let chosen = match protocol {
                Protocol::Paper => task.one_for_each(&reals, target, &mut rng),
                Protocol::Test | Protocol::Validation => task.all_of(&judged, &reals, target, &mut rng),
            };
            task.results.push(Sets { others: chosen, reals: reals.clone() });
            task.floor.push(task.floor(&judged, reals, target, &mut rng));
        }
        Ok(task)
    }

    /// Asks for every judged face of another expression; answers with as many of these cases as there are reals: for
    /// each real image one of the same person and gaze, where there is one.
    fn all_of(&mut self, judged: &[usize], reals: &[usize], target: Expression, rng: &mut Rng) -> Vec<usize> {
        let first = self.cases.len();
        for &source in judged {
            if self.is_source(source, target) {
                let truth = reals.iter().copied().find(|&real| self.same_but_expression(source, real));
                self.cases.push(Case { source, target, truth });
            }
        }
        let mut free: Vec<usize> = (first..self.cases.len()).collect();
        rng.shuffle(&mut free);
        let mut chosen = Vec::with_capacity(reals.len());
        for &real in reals {
            let place = free.iter().position(|&case| self.cases[case].truth == Some(real)).unwrap_or(0);
            if place < free.len() {
                chosen.push(free.remove(place));
            }
        }
        chosen.sort_unstable();
        chosen
    }

    /// Asks for one result for each real image, of another face of the same person, or of anybody where there is none.
    fn one_for_each(&mut self, reals: &[usize], target: Expression, rng: &mut Rng) -> Vec<usize> {
        let first = self.cases.len();
        for &real in reals {
            let all = (0..self.samples.len()).filter(|&index| self.is_source(index, target));
            let mut sources: Vec<usize> =
                all.clone().filter(|&s| self.same_but_expression(s, real)).collect();
            let truth = (!sources.is_empty()).then_some(real);
            if sources.is_empty() {
                sources = all.collect();
            }
            let source = sources[rng.below(sources.len())];
            self.cases.push(Case { source, target, truth });
        }
        (first..self.cases.len()).collect()
    }

    /// Whether a sample is one to make a target of: it shows something else, and a model that gives it knows the way back.
    fn is_source(&self, sample: usize, target: Expression) -> bool {
        let shown = self.samples[sample].expression;
        shown != target && self.expressions.contains(&shown)
    }

    /// Reals against as many reals of other people: those that are not judged; where all are, one half of the people
    /// against the other.
    fn floor(&self, judged: &[usize], reals: Vec<usize>, target: Expression, rng: &mut Rng) -> Sets {
        let all: Vec<usize> = (0..self.samples.len()).collect();
        let mut others = of_expression(&self.samples, &all, target);
        if judged.len() < self.samples.len() {
            let is_judged = |index: &usize| judged.binary_search(index).is_ok();
            others.retain(|index| !is_judged(index));
            rng.shuffle(&mut others);
            others.truncate(reals.len());
            others.sort_unstable();
            return Sets { reals, others };
        }
        let mut order: Vec<usize> = reals.iter().map(|&real| self.people[real]).collect();
        order.sort_unstable();
        order.dedup();
        Rng::stream(0, "halves", 0).shuffle(&mut order);
        let half: Vec<usize> = order[..order.len() / 2].to_vec();
        let (mut others, mut reals): (Vec<usize>, Vec<usize>) =
            reals.into_iter().partition(|&real| half.contains(&self.people[real]));
        let count = reals.len().min(others.len());
        others.truncate(count);
        reals.truncate(count);
        Sets { reals, others }
    }

    /// One person who looks one way, named as such.
    pub(crate) fn same_but_expression(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.samples[a], &self.samples[b]);
        a.identity.is_some() && a.identity == b.identity && a.gaze == b.gaze
    }

    /// The cases that stand in sets.
    pub(crate) fn chosen(&self) -> BTreeSet<usize> {
        self.results.iter().flat_map(|sets| &sets.others).copied().collect()
    }

    /// The samples that stand in sets: real images, those of the row `real`, and the sources of the chosen cases.
    pub(crate) fn samples_in_sets(&self) -> BTreeSet<usize> {
        let reals = self.results.iter().flat_map(|sets| &sets.reals);
        let floor = self.floor.iter().flat_map(|sets| sets.reals.iter().chain(&sets.others));
        let sources = self.chosen().into_iter().map(|case| self.cases[case].source);
        reals.chain(floor).copied().chain(sources).collect()
    }

    /// How many people are judged.
    pub fn judged_people(&self) -> usize {
        let mut people: Vec<usize> =
            self.results.iter().flat_map(|sets| &sets.reals).map(|&real| self.people[real]).collect();
        people.sort_unstable();
        people.dedup();
        people.len()
    }

    /// The protocol in sentences.
    pub fn describe(&self) -> String {
        let asked = |sets: &[Sets]| -> Vec<Sets> {
            self.expressions.iter().map(|expression| sets[expression.index()].clone()).collect()
        };
        let (results, floor) = (asked(&self.results), asked(&self.floor));
        let counts: Vec<usize> = results.iter().map(|sets| sets.reals.len()).collect();
        let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
        let count = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let (people, cases) = (self.judged_people(), self.cases.len());
        let mut reals = self.results.iter().flat_map(|sets| &sets.reals);
        let people = match reals.all(|&real| self.samples[real].identity.is_some()) {
            true => format!("{people} people"),
            false => format!("{people} people (an image whose person is not named counts as one)"),
        };
        let who = match self.protocol {
            Protocol::Test => {
                format!("{people} whom runs on this data set are not trained on (the test part)")
            }
            Protocol::Validation => {
                format!("{people} whom runs on this data set are not trained on (the validation part)")
            }
            Protocol::Paper => format!("all {people}, those trained on included, as in the paper"),
        };
        let fewer = floor.iter().zip(&results).any(|(floor, sets)| floor.others.len() < sets.others.len());
        let floor = match (fewer, floor.iter().map(|sets| sets.others.len()).min()) {
            (true, Some(least)) => format!(
                " The sides of `real` have fewer images, {least} at least: its FID is higher for that, its KID is not."
            ),
            _ => String::new(),
        };
        let paired = self.cases.iter().filter(|case| case.truth.is_some()).count();
        let results = match self.protocol {
            Protocol::Paper if paired == cases => {
                "for each real image a result of another face of the same person"
            }
            Protocol::Paper if paired == 0 => "for each real image a result of anybody's other face",
            Protocol::Paper => {
                "for each real image a result of another face of the same person, or of anybody where there is none"
            }
            _ => "every face of another expression translated to it",
        };
        format!(
            "Judged on {who}: {count} real images of each expression; {cases} results, {results}. Distances between \
             sets hold as many results as there are real images against these; the other figures are of all results.{floor}"
        )
    }
}

fn of_expression(samples: &[Sample], indices: &[usize], expression: Expression) -> Vec<usize> {
    indices.iter().copied().filter(|&index| samples[index].expression == expression).collect()
}

/// Numbers for people: of each sample one that it shares with all images of the same person.
fn people<'a>(samples: &'a [Sample]) -> Vec<usize> {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next = 0;
    let mut new = || {
        next += 1;
        next - 1
    };
    let number = |sample: &'a Sample| match &sample.identity {
        Some(identity) => *known.entry(identity).or_insert_with(&mut new),
        None => new(),
    };
    samples.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use moue::data::Identities;
    use moue::data::split::SplitBy;

    use super::*;

    /// People who show every expression once for each gaze.
    fn dataset(people: usize, gazes: &[&str]) -> Dataset {
        let mut samples = Vec::new();
        for person in 0..people {
            for gaze in gazes {
                samples.extend(Expression::ALL.map(|expression| Sample {
                    file: PathBuf::from(format!("{person}-{gaze}-{expression}.png")),
                    expression,
                    identity: Some(person.to_string()),
                    gaze: Some((*gaze).to_string()),
                    extra: BTreeMap::new(),
                }));
            }
        }
        Dataset { name: "made up".into(), root: PathBuf::from("nowhere"), samples }
    }

    /// The first `test` people are held out.
    fn split(dataset: &Dataset, test: usize) -> Split {
        let is_test = |index: &usize| {
            dataset.samples[*index]
                .identity
                .as_deref()
                .is_some_and(|name| name.parse::<usize>().unwrap() < test)
        };
        let (test, train): (Vec<usize>, Vec<usize>) = (0..dataset.samples.len()).partition(is_test);
        let identities = Identities { train: vec![], validation: vec![], test: vec![] };
        let expressions = dataset.shown(&train);
        Split { by: SplitBy::Identity, train, validation: vec![], test, expressions, identities }
    }

    /// A task of every expression, with so many people held out.
    fn task(protocol: Protocol, dataset: &Dataset, test: usize, seed: u64) -> Result<Task> {
        Task::new(protocol, dataset, &split(dataset, test), &Expression::ALL, seed)
    }

    #[test]
    fn every_face_of_the_test_part_is_asked_for_every_other_expression() {
        let dataset = dataset(10, &["left", "right"]);
        let task = task(Protocol::Test, &dataset, 4, 0).unwrap();
        assert_eq!(task.cases.len(), 4 * 2 * 8 * 7);
        assert_eq!(task.judged_people(), 4);
        for case in &task.cases {
            let (source, truth) = (&dataset.samples[case.source], &dataset.samples[case.truth.unwrap()]);
            assert!(source.expression != case.target && truth.expression == case.target);
            assert_eq!((&source.identity, &source.gaze), (&truth.identity, &truth.gaze));
        }
        for (expression, (results, floor)) in
            Expression::ALL.into_iter().zip(task.results.iter().zip(&task.floor))
        {
            // As many results as reals, one of each person and gaze.
            assert_eq!((results.reals.len(), results.others.len()), (8, 8));
            let mut truths: Vec<usize> =
                results.others.iter().map(|&case| task.cases[case].truth.unwrap()).collect();
            truths.sort_unstable();
            assert_eq!(truths, results.reals);
            assert!(results.others.iter().all(|&case| task.cases[case].target == expression));
            assert_eq!((&floor.reals, floor.others.len()), (&results.reals, 8));
            assert!(floor.others.iter().all(|&other| task.people[other] >= 4));
            assert!(floor.others.iter().all(|&other| dataset.samples[other].expression == expression));
        }
        assert_eq!(task, self::task(Protocol::Test, &dataset, 4, 0).unwrap());
        assert_ne!(task, self::task(Protocol::Test, &dataset, 4, 1).unwrap());
        let text = task.describe();
        assert!(
            text.contains("4 people")
                && !text.contains("sides of `real`")
                && text.contains("8 real images")
                && text.contains("448 results"),
            "{text}"
        );
    }

    #[test]
    fn the_paper_s_protocol_asks_for_one_result_for_each_real_image() {
        let dataset = dataset(6, &["frontal"]);
        let task = task(Protocol::Paper, &dataset, 2, 0).unwrap();
        assert_eq!(task.cases.len(), dataset.samples.len());
        for (results, floor) in task.results.iter().zip(&task.floor) {
            assert_eq!((results.reals.len(), results.others.len()), (6, 6));
            // One half of the people against the other.
            assert_eq!((floor.reals.len(), floor.others.len()), (3, 3));
            assert!(
                floor.reals.iter().all(|&real| {
                    floor.others.iter().all(|&other| task.people[real] != task.people[other])
                })
            );
        }
        let text = task.describe();
        assert!(text.contains("all 6 people, those") && text.contains("of the same person. "), "{text}");
        assert!(
            text.ends_with("have fewer images, 3 at least: its FID is higher for that, its KID is not."),
            "{text}"
        );
    }

    #[test]
    fn nobody_named_is_everybody_for_themselves() {
        let mut dataset = dataset(4, &["frontal"]);
        dataset.samples.iter_mut().for_each(|sample| sample.identity = None);
        let task = task(Protocol::Paper, &dataset, 0, 0).unwrap();
        assert_eq!(task.people, (0..32).collect::<Vec<_>>());
        assert!(task.cases.iter().all(|case| case.truth.is_none()));
        let text = task.describe();
        assert!(text.contains("not named") && text.contains("anybody's") && !text.contains("same"), "{text}");
        let error = self::task(Protocol::Test, &dataset, 0, 0).unwrap_err();
        assert!(error.hint().unwrap().contains("--protocol paper"));
    }

    #[test]
    fn an_expression_that_too_few_show_is_left_out_with_its_faces() {
        let mut dataset = dataset(3, &["frontal"]);
        dataset
            .samples
            .retain(|sample| sample.expression != Expression::Sad || sample.identity.as_deref() == Some("0"));
        for protocol in [Protocol::Paper, Protocol::Test] {
            let task = task(protocol, &dataset, 2, 0).unwrap();
            assert_eq!(task.lacking, [(Expression::Sad, 1)]);
            assert!(task.expressions.len() == 7 && !task.expressions.contains(&Expression::Sad));
            let of_case = |case: &Case| [case.target, dataset.samples[case.source].expression];
            assert!(task.cases.iter().all(|case| !of_case(case).contains(&Expression::Sad)));
            let sad = Expression::Sad.index();
            assert_eq!((&task.results[sad], &task.floor[sad]), (&Sets::default(), &Sets::default()));
            let (all, some) = match protocol {
                Protocol::Paper => (3, 1),
                _ => (2, 1),
            };
            for expression in &task.expressions {
                let (results, floor) = (&task.results[expression.index()], &task.floor[expression.index()]);
                assert_eq!(
                    (results.reals.len(), floor.others.len()),
                    (all, some),
                    "{protocol:?} {expression}"
                );
            }
            assert!(task.describe().contains(&format!("{all} real images of each expression")));
        }
    }

    #[test]
    fn a_task_has_the_expressions_that_were_asked_for_or_none() {
        let dataset = dataset(3, &["frontal"]);
        let of = |wanted: &[Expression]| Task::new(Protocol::Paper, &dataset, &split(&dataset, 0), wanted, 0);
        let task = of(&[Expression::Happy, Expression::Neutral]).unwrap();
        assert_eq!((task.cases.len(), task.lacking.len()), (6, 0));
        let error = of(&[Expression::Happy]).unwrap_err();
        assert!(!error.hint().unwrap().contains("--protocol"), "{error}");
    }
}
