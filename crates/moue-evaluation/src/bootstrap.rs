//! Intervals by the bootstrap over people: images of one person are not independent, so people are drawn, not images.

use moue::base::rng::Rng;

/// Draws of people with replacement: how often each was drawn.
///
/// People of several groups (those judged, and those that stand against them) are drawn group by group, so that no draw
/// leaves a side empty. The draws are the same for every row of a table.
#[derive(Debug, Clone)]
pub struct Draws(Vec<Vec<u32>>);

impl Draws {
    /// `count` draws of `people` (numbers below that) in `groups`, each a list of people.
    ///
    /// # Panics
    /// When a group names a person that there is not.
    pub fn new(count: usize, people: usize, groups: &[Vec<usize>], seed: u64) -> Self {
        let draw = |number: u64| {
            let mut times = vec![0; people];
            for (group, members) in groups.iter().enumerate() {
                let mut rng = Rng::stream(seed, &format!("people {group}"), number);
                for _ in members {
                    times[members[rng.below(members.len())]] += 1;
                }
            }
            times
        };
        Self((0..count as u64).map(draw).collect())
    }

    /// How often each person was drawn, draw by draw.
    pub fn times(&self) -> &[Vec<u32>] {
        &self.0
    }
}

/// The 95 % interval of a figure whose mean over draws is the figure: the draws' own quantiles.
pub fn interval(draws: &[f64]) -> Option<[f64; 2]> {
    let sorted = sorted(draws)?;
    Some([quantile(&sorted, 0.025), quantile(&sorted, 0.975)])
}

/// The 95 % interval of a distance between sets. Copies in a draw make every draw's distance larger than the figure; what
/// is taken from the draws is therefore how they differ among themselves, laid about the figure.
pub fn interval_about(value: f64, draws: &[f64]) -> Option<[f64; 2]> {
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    interval(draws).map(|ends| ends.map(|end| value + end - mean))
}

/// Finite draws in order; `None` for fewer than twenty, of which no quantile can be told.
fn sorted(draws: &[f64]) -> Option<Vec<f64>> {
    let mut sorted: Vec<f64> = draws.iter().copied().filter(|draw| draw.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    (sorted.len() >= 20).then_some(sorted)
}

/// The quantile of sorted numbers, linear between them (Hyndman and Fan's type 7).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

/// The mean of numbers that count so often; `None` of none.
pub fn mean(values: &[f64], times: impl Fn(usize) -> u32) -> Option<f64> {
    let total: u64 = (0..values.len()).map(|index| u64::from(times(index))).sum();
    let sum: f64 = values.iter().enumerate().map(|(index, value)| f64::from(times(index)) * value).sum();
    (total > 0).then(|| sum / total as f64)
}

/// The quantile of numbers that count so often, linear between neighbours; `None` of none.
pub fn weighted_quantile(values: &[f64], times: impl Fn(usize) -> u32, share: f64) -> Option<f64> {
    let mut all: Vec<f64> = values
        .iter()
        .enumerate()
        .flat_map(|(index, value)| std::iter::repeat_n(*value, times(index) as usize))
        .collect();
    all.sort_unstable_by(f64::total_cmp);
    (!all.is_empty()).then(|| quantile(&all, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_has_as_many_of_each_group_as_the_group() {
        let groups = [vec![0, 2, 4], vec![1, 3]];
        let draws = Draws::new(50, 6, &groups, 3);
        let count = |times: &[u32], group: &[usize]| group.iter().map(|&p| times[p]).sum::<u32>();
        assert!(
            draws.times().iter().all(|t| count(t, &groups[0]) == 3 && count(t, &groups[1]) == 2 && t[5] == 0)
        );
        let again = Draws::new(50, 6, &groups, 3);
        assert_eq!(draws.times(), again.times());
        assert_ne!(draws.times(), Draws::new(50, 6, &groups, 4).times());
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_its_standard_error() {
        let people = 400;
        let mut rng = Rng::stream(1, "values", 0);
        let values: Vec<f64> = (0..people).map(|_| f64::from(rng.normal())).collect();
        let draws = Draws::new(1000, people, &[(0..people).collect()], 0);
        let means: Vec<f64> =
            draws.times().iter().map(|times| mean(&values, |index| times[index]).unwrap()).collect();
        let [low, high] = interval(&means).unwrap();
        let width = 2.0 * 1.96 / (people as f64).sqrt();
        assert!(((high - low) / width - 1.0).abs() < 0.1, "{low} to {high}");
        let [low, high] = interval_about(5.0, &means).unwrap();
        assert!(((high - low) / width - 1.0).abs() < 0.1 && low < 5.0 && high > 5.0);
        assert_eq!(interval(&means[..10]), None);
    }

    #[test]
    fn quantiles_count_copies() {
        let values = [3.0, 1.0, 2.0];
        assert_eq!(weighted_quantile(&values, |_| 1, 0.5), Some(2.0));
        assert_eq!(weighted_quantile(&values, |index| [2, 0, 0][index], 0.5), Some(3.0));
        assert_eq!(weighted_quantile(&values, |index| [1, 1, 0][index], 0.25), Some(1.5));
        assert_eq!(weighted_quantile(&values, |_| 0, 0.5), None);
        assert_eq!(mean(&values, |index| [0, 3, 1][index]), Some(1.25));
    }
}
