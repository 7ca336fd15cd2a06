//! The faces of one way: sources of one expression, and what they are to become.

use std::collections::BTreeMap;

use super::pairing::{Pair, raised_left};
use super::sources::Sample;
use crate::base::expression::Expression;
use crate::base::faces::Direction;
use crate::base::rng::Rng;

/// Sources and targets of a direction, as indices of the samples.
#[derive(Debug)]
pub(super) struct Domains {
    places: Places,
    /// Where the raised corner of the mouth is in a contemptuous sample: whether it is on the image's left.
    raised_left: Vec<Option<bool>>,
}

#[derive(Debug)]
enum Places {
    /// Source and target of one person who looks one way.
    Pairs(Vec<[usize; 2]>),
    /// All sources, and all targets.
    Apart([Vec<usize>; 2]),
}

impl Domains {
    /// What some samples have of a direction.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub(super) fn of(samples: &[Sample], direction: Direction) -> Result<Self, (String, String)> {
        let places = match direction.paired {
            true => Places::Pairs(pairs(samples, direction)?),
            false => Places::Apart(apart(samples, direction)?),
        };
        Ok(Self { places, raised_left: samples.iter().map(raised_left).collect() })
    }

    /// How many pairs there are, or faces of the larger domain.
    pub(super) fn len(&self) -> usize {
        match &self.places {
            Places::Pairs(pairs) => pairs.len(),
            Places::Apart([sources, targets]) => sources.len().max(targets.len()),
        }
    }

    /// The pair at a place below [`Self::len`]. Of two domains the target is anybody's, drawn at random.
    pub(super) fn pair(&self, place: usize, rng: &mut Rng) -> Pair {
        let [source, target] = match &self.places {
            Places::Pairs(pairs) => pairs[place],
            Places::Apart([sources, targets]) => {
                [sources[place % sources.len()], targets[rng.below(targets.len())]]
            }
        };
        Pair { source, target, mirrored: self.raised_left[target] }
    }
}

/// Whether a sample shows what the direction leads to.
fn is_target(direction: Direction, shown: Expression) -> bool {
    direction.to.map_or(shown != direction.from, |to| shown == to)
}

/// What the direction leads to, for people.
fn target_name(direction: Direction) -> &'static str {
    direction.to.map_or("another", Expression::name)
}

fn pairs(samples: &[Sample], direction: Direction) -> Result<Vec<[usize; 2]>, (String, String)> {
    let mut people: BTreeMap<(&str, Option<&str>), [Vec<usize>; 2]> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        let Some(identity) = &sample.identity else { continue };
        let [sources, targets] = people.entry((identity, sample.gaze.as_deref())).or_default();
        if sample.expression == direction.from {
            sources.push(index);
        } else if is_target(direction, sample.expression) {
            targets.push(index);
        }
    }
    let known = !people.is_empty();
    let of_person = |[sources, targets]: [Vec<usize>; 2]| {
        let pair = move |&source: &usize| targets.iter().map(move |&target| [source, target]).collect();
        sources.iter().flat_map::<Vec<_>, _>(pair).collect::<Vec<_>>()
    };
    let pairs: Vec<[usize; 2]> = people.into_values().flat_map(of_person).collect();
    if !pairs.is_empty() {
        return Ok(pairs);
    }
    let (from, to) = (direction.from, target_name(direction));
    let problem = match known {
        true => format!("there is nobody with a {from} and a {to} face who looks the same way in both"),
        false => format!("the data set does not say who is who, so no {from} face has its {to} one"),
    };
    let hint = "pairs need a manifest.csv with the columns identity and, where people look several ways, gaze, or a \
                folder for each person in each expression's; methods that learn without pairs, such as cyclegan, need \
                neither";
    Err((problem, hint.to_string()))
}

fn apart(samples: &[Sample], direction: Direction) -> Result<[Vec<usize>; 2], (String, String)> {
    let of = |wanted: &dyn Fn(Expression) -> bool| -> Vec<usize> {
        (0..samples.len()).filter(|&index| wanted(samples[index].expression)).collect()
    };
    let domains = [of(&|shown| shown == direction.from), of(&|shown| is_target(direction, shown))];
    let names = [direction.from.name(), target_name(direction)];
    match domains.iter().zip(names).find(|(faces, _)| faces.is_empty()) {
        None => Ok(domains),
        Some((_, name)) => Err((
            format!("there is no {name} face among the training images"),
            "add some, or train towards another expression with --target".to_string(),
        )),
    }
}
