//! What is asked about every image, and the answers.

use std::collections::BTreeMap;

use image::RgbImage;

use crate::ask::{Answers, Question};
use crate::evaluate::Networks;
use crate::images::{Cache, Extractor};
use crate::judges::{Classifier, Question as Judged};
use crate::networks::recognition;

/// What the networks say of some images, by image; empty for a network that is not there.
#[derive(Default)]
pub(crate) struct Looks {
    pub(crate) inception: Vec<Option<Vec<f32>>>,
    pub(crate) expressions: BTreeMap<Classifier, Vec<Option<[f32; 7]>>>,
    pub(crate) identity: Vec<Option<[f32; recognition::LENGTH]>>,
    pub(crate) tilt: Vec<Option<Vec<f32>>>,
}

impl Looks {
    /// The questions about images: features of those that stand in sets, the mouth's tilt where contempt is to be told.
    pub(crate) fn questions<'a>(
        networks: &'a Networks,
        cache: &Cache,
        keys: Vec<Option<String>>,
        in_sets: &dyn Fn(usize) -> bool,
        is_tilted: &dyn Fn(usize) -> bool,
    ) -> Vec<Question<'a>> {
        let only = |wanted: &dyn Fn(usize) -> bool| {
            keys.iter()
                .enumerate()
                .map(|(index, key)| key.clone().filter(|_| wanted(index)))
                .collect::<Vec<_>>()
        };
        let judges = &networks.judges;
        let mut questions = Vec::new();
        if let Some(inception) = &networks.inception {
            let shelf = cache.shelf(&inception.identity(), inception.dimensions());
            let answer = Box::new(|_: &[usize], images: &[RgbImage]| inception.extract(images));
            questions.push(Question { shelf, keys: only(in_sets), answer });
        }
        for classifier in Classifier::ALL {
            if let Some(fingerprint) = judges.fingerprint(Judged::Expression(classifier)) {
                let answer = move |_: &[usize], images: &[RgbImage]| {
                    Ok(judges.expression(classifier, images).concat())
                };
                let shelf = cache.shelf(&fingerprint, 7);
                questions.push(Question { shelf, keys: keys.clone(), answer: Box::new(answer) });
            }
        }
        if let Some(fingerprint) = judges.fingerprint(Judged::MouthTilt) {
            let answer = |_: &[usize], images: &[RgbImage]| Ok(judges.mouth_tilt(images));
            questions.push(Question {
                shelf: cache.shelf(&fingerprint, 1),
                keys: only(is_tilted),
                answer: Box::new(answer),
            });
        }
        if let Some(fingerprint) = judges.fingerprint(Judged::Identity) {
            let answer = |_: &[usize], images: &[RgbImage]| Ok(judges.embedding(images)?.concat());
            let shelf = cache.shelf(&fingerprint, recognition::LENGTH);
            questions.push(Question { shelf, keys, answer: Box::new(answer) });
        }
        questions
    }

    /// From the answers to [`Self::questions`] of the same networks.
    pub(crate) fn of_answers(networks: &Networks, answers: Answers) -> Self {
        let mut answers = answers.into_iter();
        let mut looks = Self::default();
        if networks.inception.is_some() {
            looks.inception = answers.next().unwrap_or_default();
        }
        for classifier in Classifier::ALL {
            if networks.judges.fingerprint(Judged::Expression(classifier)).is_some() {
                looks.expressions.insert(classifier, arrays(answers.next().unwrap_or_default()));
            }
        }
        if networks.judges.fingerprint(Judged::MouthTilt).is_some() {
            looks.tilt = answers.next().unwrap_or_default();
        }
        if networks.judges.fingerprint(Judged::Identity).is_some() {
            looks.identity = arrays(answers.next().unwrap_or_default());
        }
        looks
    }
}

/// Answers as arrays.
fn arrays<const N: usize>(answers: Vec<Option<Vec<f32>>>) -> Vec<Option<[f32; N]>> {
    answers.into_iter().map(|answer| answer.and_then(|answer| answer.try_into().ok())).collect()
}
