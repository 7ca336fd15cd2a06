//! Who is trained on and who is held out.
//!
//! People are ranked by the SHA-256 of `data set/identity`: the first 15 % are for the test, the next 10 % for
//! validation, the rest for training. The split is by person, never by image: the images of one face are near copies.
//! It depends on no seed, method, order of rows or place on the disk, so every run on a data set shares it.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::sources::{Dataset, Sample};
use crate::base::expression::Expression;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What the networks learn from.
    Train,
    /// What choices between runs are made on.
    Validation,
    /// What results are stated on.
    Test,
}

/// What is kept together when a data set is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    /// All images of a person.
    Identity,
    /// Each image alone, where the data set does not say who is who: a held-out face may also be trained on.
    File,
    /// Everything: all images are trained on, none is held out.
    Nothing,
}

/// The people of each part, sorted; where the data set names none, its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Identities {
    pub train: Vec<String>,
    pub validation: Vec<String>,
    pub test: Vec<String>,
}

/// A data set in three parts. Serialises to what a run folder states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Split {
    /// What was kept together.
    pub by: SplitBy,
    /// Indices of the training samples, ascending.
    pub train: Vec<usize>,
    /// Indices of the validation samples, ascending.
    pub validation: Vec<usize>,
    /// Indices of the test samples, ascending.
    pub test: Vec<usize>,
    /// What the training samples show, in the order of [`Expression::ALL`]: what can be learned.
    pub expressions: Vec<Expression>,
    /// The people of each part.
    pub identities: Identities,
}

impl Split {
    /// Splits by identity, or by file where not every sample has one: 15 % test (one at least, from three on), 10 %
    /// validation.
    pub fn of(dataset: &Dataset) -> Self {
        let groups = Groups::of(dataset);
        let ranked = groups.ranked(&dataset.name);
        let (test, validation) = (test_count(ranked.len()), percent(ranked.len(), 10));
        let (test, rest) = ranked.split_at(test);
        let (validation, train) = rest.split_at(validation);
        groups.split(dataset, groups.by, train, validation, test)
    }

    /// All images to train on and none held out, as in the paper.
    pub fn everything(dataset: &Dataset) -> Self {
        let groups = Groups::of(dataset);
        groups.split(dataset, SplitBy::Nothing, &groups.ranked(&dataset.name), &[], &[])
    }

    /// The sample indices of a part, ascending.
    pub fn indices(&self, part: Part) -> &[usize] {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }
}

/// Samples by what is kept together.
struct Groups {
    by: SplitBy,
    members: BTreeMap<String, Vec<usize>>,
}

impl Groups {
    fn of(dataset: &Dataset) -> Self {
        let named = dataset.samples.iter().all(|sample| sample.identity.is_some());
        let by = if named { SplitBy::Identity } else { SplitBy::File };
        let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, sample) in dataset.samples.iter().enumerate() {
            let key = sample.identity.clone().filter(|_| named).unwrap_or_else(|| relative(dataset, sample));
            members.entry(key).or_default().push(index);
        }
        Self { by, members }
    }

    /// The groups' names in the order of their hashes.
    fn ranked(&self, dataset: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self.members.keys().map(String::as_str).collect();
        names.sort_by_cached_key(|name| <[u8; 32]>::from(Sha256::digest(format!("{dataset}/{name}"))));
        names
    }

    fn split(
        &self,
        dataset: &Dataset,
        by: SplitBy,
        train: &[&str],
        validation: &[&str],
        test: &[&str],
    ) -> Split {
        let sorted = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            names.sort_unstable();
            names
        };
        let identities =
            Identities { train: sorted(train), validation: sorted(validation), test: sorted(test) };
        let (train, validation, test) = (self.indices(train), self.indices(validation), self.indices(test));
        let expressions = dataset.shown(&train);
        Split { by, train, validation, test, expressions, identities }
    }

    fn indices(&self, names: &[&str]) -> Vec<usize> {
        let mut indices: Vec<usize> = names.iter().flat_map(|&name| &self.members[name]).copied().collect();
        indices.sort_unstable();
        indices
    }
}

/// A sample's path inside its data set, with slashes: it stays the same when the folder is moved.
fn relative(dataset: &Dataset, sample: &Sample) -> String {
    let absolute = std::path::absolute(&dataset.root).unwrap_or_default();
    let inside = sample.file.strip_prefix(&dataset.root).or_else(|_| sample.file.strip_prefix(absolute));
    let parts = inside.unwrap_or(&sample.file).components();
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn test_count(people: usize) -> usize {
    let least = usize::from(people >= 3);
    percent(people, 15).max(least)
}

/// So many percent of a count, rounded to the nearest, halves up.
fn percent(count: usize, percent: usize) -> usize {
    (count * percent + 50) / 100
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::expression::Expression;
    use crate::data::fixtures::{assets, sample};

    /// So many people with all expressions each.
    fn people(count: usize) -> Dataset {
        let person = |number| {
            Expression::ALL.map(|e| Sample { identity: Some(format!("{number:03}")), ..sample(e) }).to_vec()
        };
        Dataset {
            name: "people".into(),
            root: "people".into(),
            samples: (1..=count).flat_map(person).collect(),
        }
    }

    /// The same images without a word on who is who, in a folder `root`.
    fn nameless(root: &str, count: usize) -> Dataset {
        let sample = |number| Sample {
            file: Path::new(root).join(format!("happy/{number}.png")),
            ..sample(Expression::Happy)
        };
        Dataset { name: "nameless".into(), root: root.into(), samples: (0..count).map(sample).collect() }
    }

    #[test]
    fn a_quarter_of_the_people_is_held_out() {
        let parts = |count| {
            let split = Split::of(&people(count)).identities;
            (split.train.len(), split.validation.len(), split.test.len())
        };
        assert_eq!(parts(81), (61, 8, 12));
        assert_eq!(parts(12), (9, 1, 2));
        assert_eq!(parts(5), (3, 1, 1));
        assert_eq!(parts(3), (2, 0, 1));
        assert_eq!(parts(2), (2, 0, 0));
    }

    #[test]
    fn a_person_is_in_one_part_with_all_images() {
        let dataset = people(81);
        let split = Split::of(&dataset);
        assert_eq!(split.by, SplitBy::Identity);
        let mut all: Vec<usize> = Vec::new();
        for (part, people) in [
            (Part::Train, &split.identities.train),
            (Part::Validation, &split.identities.validation),
            (Part::Test, &split.identities.test),
        ] {
            let indices = split.indices(part);
            assert_eq!(indices.len(), people.len() * Expression::COUNT);
            assert!(indices.iter().all(|&i| people.contains(dataset.samples[i].identity.as_ref().unwrap())));
            all.extend(indices);
        }
        all.sort_unstable();
        assert_eq!(all, (0..dataset.samples.len()).collect::<Vec<_>>());
    }

    #[test]
    fn the_split_is_pinned() {
        // Of the hashes of faces/006 … faces/067: runs of different versions must hold out the same people.
        let split = Split::of(&Dataset::open(&assets()).unwrap());
        assert_eq!(split.identities.test, ["033", "058"]);
        assert_eq!(split.identities.validation, ["067"]);
    }

    #[test]
    fn neither_order_nor_place_matters() {
        let mut dataset = people(20);
        let split = Split::of(&dataset);
        dataset.samples.reverse();
        assert_eq!(Split::of(&dataset).identities, split.identities);

        let here = nameless("a/nameless", 20);
        let split = Split::of(&here);
        assert_eq!(split, Split::of(&nameless("/other/place/nameless", 20)));
        let absolute = nameless(std::path::absolute("a/nameless").unwrap().to_str().unwrap(), 20);
        assert_eq!(split, Split::of(&Dataset { root: "a/nameless".into(), ..absolute }));
    }

    #[test]
    fn images_of_nobody_are_split_one_by_one() {
        let split = Split::of(&nameless("a", 20));
        assert_eq!(
            (split.by, split.train.len(), split.validation.len(), split.test.len()),
            (SplitBy::File, 15, 2, 3)
        );
        assert!(split.identities.train[0].starts_with("happy/"));
    }

    #[test]
    fn everything_holds_out_nothing() {
        let split = Split::everything(&people(4));
        assert_eq!((split.by, split.train), (SplitBy::Nothing, (0..32).collect()));
        assert_eq!((split.test, split.identities.train.len()), (vec![], 4));
    }

    #[test]
    fn a_run_folder_can_state_it() {
        let text = toml::to_string(&Split::of(&people(3))).unwrap();
        assert!(text.starts_with("by = \"identity\"\n"), "{text}");
        assert!(text.contains("[identities]\ntrain = [\"00"), "{text}");
    }
}
