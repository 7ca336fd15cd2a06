//! Pairs of one person's faces: a source, and what it looks like with the target expression.

use std::collections::BTreeMap;

use super::sources::Sample;
use crate::base::expression::Expression;
use crate::base::rng::Rng;

/// How often an expression is a target, relative to the others: a smile has the most to learn (teeth, cheeks), and
/// contempt is the subtlest.
fn weight(expression: Expression) -> usize {
    match expression {
        Expression::Happy | Expression::Contemptuous => 2,
        _ => 1,
    }
}

/// Two images of one person that look the same way, as indices of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The face to change.
    pub source: usize,
    /// The face it is to become.
    pub target: usize,
    /// Whether both are to be mirrored; `None` leaves it to chance.
    pub mirrored: Option<bool>,
}

/// The people of a data set with their faces by expression.
#[derive(Debug)]
pub struct Pairs {
    /// Of each person and gaze, the samples of each expression.
    people: Vec<[Vec<usize>; Expression::COUNT]>,
    /// How many of the times that a sample is drawn as a target it becomes one, above 0 and at most 1.
    target_weights: Vec<f32>,
    /// Where the raised corner of the mouth is in a contemptuous sample: whether it is on the image's left.
    raised_left: Vec<Option<bool>>,
}

impl Pairs {
    /// The pairs that some samples give; `None` where nobody is known with two expressions.
    pub fn of(samples: &[Sample]) -> Option<Self> {
        let mut people: BTreeMap<(&str, Option<&str>), [Vec<usize>; Expression::COUNT]> = BTreeMap::new();
        for (index, sample) in samples.iter().enumerate() {
            let Some(identity) = &sample.identity else { continue };
            let person = people.entry((identity, sample.gaze.as_deref())).or_default();
            person[sample.expression.index()].push(index);
        }
        let several = |faces: &[Vec<usize>; 8]| faces.iter().filter(|faces| !faces.is_empty()).count() > 1;
        let people: Vec<_> = people.into_values().filter(several).collect();
        let raised_left = samples.iter().map(raised_left).collect();
        let target_weights = samples.iter().map(Sample::target_weight).collect();
        (!people.is_empty()).then_some(Self { people, target_weights, raised_left })
    }

    fn anybody(&self, rng: &mut Rng) -> &[Vec<usize>; Expression::COUNT] {
        &self.people[rng.below(self.people.len())]
    }

    /// Draws a pair: anybody, from neutral half of the time and from a smile a quarter of the time, for these are what
    /// people bring, to any expression that the person shows. Of targets that the data set gives a `target_weight`
    /// below 1 so many are left for another person's target of that expression.
    pub fn draw(&self, rng: &mut Rng) -> Pair {
        let mut faces = self.anybody(rng);
        let common = match rng.below(4) {
            0 | 1 => Some(Expression::Neutral.index()),
            2 => Some(Expression::Happy.index()),
            _ => None,
        };
        let wanted = choose(faces, weight, rng);
        let mut target = one_of(&faces[wanted], rng);
        while self.target_weights[target] < 1.0 && rng.uniform() >= self.target_weights[target] {
            faces = self.anybody(rng);
            if !faces[wanted].is_empty() {
                target = one_of(&faces[wanted], rng);
            }
        }
        let common = common.filter(|&shown| !faces[shown].is_empty());
        let source = common.unwrap_or_else(|| choose(faces, |_| 1, rng));
        let source = one_of(&faces[source], rng);
        // Contempt is one-sided: shown now on this and now on that side, a network learns their mean, which is none.
        // Mirrored so that the raised corner is on the image's right, it learns one.
        let mirrored = self.raised_left[target].or(self.raised_left[source]);
        Pair { source, target, mirrored }
    }
}

fn one_of(samples: &[usize], rng: &mut Rng) -> usize {
    samples[rng.below(samples.len())]
}

/// An expression that the person shows, drawn by weight.
fn choose(
    faces: &[Vec<usize>; Expression::COUNT],
    weight: impl Fn(Expression) -> usize,
    rng: &mut Rng,
) -> usize {
    let weight = |shown: Expression| if faces[shown.index()].is_empty() { 0 } else { weight(shown) };
    let mut rest = rng.below(Expression::ALL.map(weight).iter().sum());
    let chosen = Expression::ALL.into_iter().find(|&shown| match rest.checked_sub(weight(shown)) {
        Some(left) => {
            rest = left;
            false
        }
        None => true,
    });
    chosen.expect("a number below the sum of the weights falls on one of them").index()
}

/// Of a contemptuous sample that says so whether the raised corner of the mouth is on the image's left.
pub(super) fn raised_left(sample: &Sample) -> Option<bool> {
    let contempt = sample.expression == Expression::Contemptuous;
    match sample.extra.get("contempt_side").filter(|_| contempt)?.as_str() {
        "left" => Some(true),
        "right" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::sample;

    fn face(identity: &str, gaze: &str, expression: Expression) -> Sample {
        let extra = BTreeMap::from([("contempt_side".to_string(), "left".to_string())]);
        Sample { identity: Some(identity.into()), gaze: Some(gaze.into()), extra, ..sample(expression) }
    }

    #[test]
    fn a_pair_is_one_person_who_looks_one_way() {
        let mut samples = Vec::new();
        for (identity, gaze) in [("a", "left"), ("a", "right"), ("b", "left")] {
            samples.extend(Expression::ALL.map(|expression| face(identity, gaze, expression)));
        }
        samples.push(face("alone", "left", Expression::Happy));
        let pairs = Pairs::of(&samples).unwrap();
        let mut rng = Rng::stream(1, "pairs", 0);
        let (mut sources, mut targets) = ([0; Expression::COUNT], [0; Expression::COUNT]);
        for _ in 0..9_000 {
            let Pair { source, target, mirrored } = pairs.draw(&mut rng);
            let (source, target) = (&samples[source], &samples[target]);
            assert_eq!((&source.identity, &source.gaze), (&target.identity, &target.gaze));
            assert_ne!(source.identity.as_deref(), Some("alone"));
            let contempt = [source, target].iter().any(|s| s.expression == Expression::Contemptuous);
            assert_eq!(mirrored, contempt.then_some(true));
            sources[source.expression.index()] += 1;
            targets[target.expression.index()] += 1;
        }
        // An eighth of a quarter for each source, and what is drawn besides; two tenths and one tenth of the targets.
        let share = |expression| match expression {
            Expression::Neutral => 0.5 + 0.25 / 8.0,
            Expression::Happy => 0.25 + 0.25 / 8.0,
            _ => 0.25 / 8.0,
        };
        for expression in Expression::ALL {
            let close = |count: i32, expected: f64| (f64::from(count) / 9_000.0 - expected).abs() < 0.02;
            let [source, target] = [sources, targets].map(|counts| counts[expression.index()]);
            assert!(close(source, share(expression)), "{expression}: {source}");
            assert!(close(target, weight(expression) as f64 / 10.0), "{expression}: {target}");
        }
    }

    #[test]
    fn what_the_data_set_wants_seldom_is_seldom_a_target() {
        let mut samples = Vec::new();
        for identity in ["a", "b"] {
            samples.extend(Expression::ALL.map(|expression| face(identity, "front", expression)));
        }
        let happy_of_a = Expression::Happy.index();
        samples[happy_of_a].extra.insert("target_weight".to_string(), "0.25".to_string());
        let pairs = Pairs::of(&samples).unwrap();
        let mut rng = Rng::stream(2, "pairs", 0);
        let drawn: Vec<Pair> = (0..9_000).map(|_| pairs.draw(&mut rng)).collect();
        let targets = |sample: usize| drawn.iter().filter(|pair| pair.target == sample).count() as f64;
        assert!(drawn.iter().all(|p| samples[p.source].identity == samples[p.target].identity));
        // A fifth of all targets are happy; with weights 1/4 and 1 those are a's and b's as 1 to 4.
        let happy_of_b = Expression::COUNT + happy_of_a;
        assert!((targets(happy_of_a) / 9_000.0 - 0.04).abs() < 0.01, "{}", targets(happy_of_a));
        assert!((targets(happy_of_b) / 9_000.0 - 0.16).abs() < 0.015, "{}", targets(happy_of_b));
    }

    #[test]
    fn nobody_known_gives_no_pairs() {
        assert!(Pairs::of(&Expression::ALL.map(sample)).is_none());
        let strangers = [face("a", "left", Expression::Happy), face("b", "left", Expression::Sad)];
        assert!(Pairs::of(&strangers).is_none());
    }
}
