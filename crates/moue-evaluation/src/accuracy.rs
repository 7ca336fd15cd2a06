//! Whether classifiers read the expression that a result should show.

use moue::base::expression::Expression;

use crate::networks::CLASSES;

/// The class that a classifier finds most likely; of equal ones the first.
pub fn answer(probabilities: &[f32; 7]) -> Expression {
    let mut best = 0;
    for (index, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = index;
        }
    }
    CLASSES[best]
}

/// How often each of the eight targets was read as each of the seven classes.
///
/// The classifiers do not know contempt: its row says as what it is read, and it is in no accuracy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusion {
    /// By target in the order of [`Expression::ALL`], then by answer in that of [`CLASSES`].
    counts: [[u64; 7]; Expression::COUNT],
}

impl Confusion {
    /// Counts one answer.
    pub fn add(&mut self, target: Expression, probabilities: &[f32; 7]) {
        let answer = answer(probabilities);
        let place = CLASSES.iter().position(|class| *class == answer);
        self.counts[target.index()][place.unwrap_or_default()] += 1;
    }

    /// Counts what another has counted, too.
    pub fn merge(&mut self, other: &Self) {
        let both = self.counts.iter_mut().flatten().zip(other.counts.iter().flatten());
        both.for_each(|(count, other)| *count += other);
    }

    /// How often a target was read as each of [`CLASSES`].
    pub fn row(&self, target: Expression) -> [u64; 7] {
        self.counts[target.index()]
    }

    /// Which part of a target's images was read as it, 0 to 1. `None` for contempt, and where there is no image.
    pub fn accuracy(&self, target: Expression) -> Option<f64> {
        let place = CLASSES.iter().position(|class| *class == target)?;
        let row = self.row(target);
        let sum: u64 = row.iter().sum();
        (sum > 0).then(|| row[place] as f64 / sum as f64)
    }

    /// The mean over the classes that have images: each counts the same, however many it has.
    pub fn mean(&self) -> Option<f64> {
        let each: Vec<f64> = CLASSES.iter().filter_map(|class| self.accuracy(*class)).collect();
        (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sure_of(class: usize) -> [f32; 7] {
        std::array::from_fn(|index| if index == class { 0.4 } else { 0.1 })
    }

    #[test]
    fn the_most_likely_class_is_the_answer_and_of_equal_ones_the_first() {
        assert_eq!(answer(&sure_of(3)), Expression::Happy);
        assert_eq!(answer(&[0.1, 0.4, 0.1, 0.4, 0.0, 0.0, 0.0]), Expression::Disgusted);
        assert_eq!(answer(&[f32::NAN; 7]), Expression::Angry); // never a panic
    }

    #[test]
    fn classes_count_the_same_however_many_images_they_have() {
        let mut confusion = Confusion::default();
        assert_eq!((confusion.mean(), confusion.accuracy(Expression::Happy)), (None, None));
        for class in [3, 3, 3, 0] {
            confusion.add(Expression::Happy, &sure_of(class));
        }
        confusion.add(Expression::Sad, &sure_of(0));
        confusion.add(Expression::Contemptuous, &sure_of(3));
        assert_eq!(confusion.accuracy(Expression::Happy), Some(0.75));
        assert_eq!(confusion.accuracy(Expression::Sad), Some(0.0));
        assert_eq!(confusion.accuracy(Expression::Contemptuous), None);
        assert_eq!(confusion.mean(), Some(0.375));
        assert_eq!(confusion.row(Expression::Contemptuous), [0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn two_halves_merged_are_the_whole() {
        let (mut whole, mut first, mut second) =
            (Confusion::default(), Confusion::default(), Confusion::default());
        for index in 0..40 {
            let target = Expression::ALL[index % 8];
            let part = if index < 13 { &mut first } else { &mut second };
            part.add(target, &sure_of(index % 7));
            whole.add(target, &sure_of(index % 7));
        }
        first.merge(&second);
        assert_eq!(first, whole);
    }
}
