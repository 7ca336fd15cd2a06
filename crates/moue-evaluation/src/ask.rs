//! Networks asked about images that may have to be made first; what was answered before comes from the cache.

use image::RgbImage;
use moue::base::error::{Error, Result};
use sha2::{Digest, Sha256};

use crate::images::Shelf;
use crate::weights::hex;

/// Images that are made and looked at together.
const BATCH: usize = 16;

/// Answers to a question about some images, as numbers.
type Answer<'a> = Box<dyn Fn(&[usize], &[RgbImage]) -> Result<Vec<f32>> + 'a>;

/// Answers by question, then by image; `None` where it was not asked.
pub(crate) type Answers = Vec<Vec<Option<Vec<f32>>>>;

/// Something that is asked about images.
pub(crate) struct Question<'a> {
    /// Where answers are kept; also how many numbers an answer has.
    pub(crate) shelf: Shelf,
    /// Of each image what decides the answer, beside the shelf's name; `None` where it is not asked.
    pub(crate) keys: Vec<Option<String>>,
    /// The answers for some of the images, whose indices come along.
    pub(crate) answer: Answer<'a>,
}

/// A key made of several others.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// Asks all questions about those of `count` images that are `asked` about. `images` makes those of some indices; it is called for images only that some
/// question's answer is not known of. `shown` names an image in errors. `progress` hears how many are done.
///
/// The answers are by question, then by image.
///
/// # Errors
/// What `images` and the networks say; [`Error::Config`] for an answer that is no number; those of keeping answers are
/// none: what cannot be kept is computed again another time.
pub(crate) fn ask(
    questions: &[Question<'_>],
    count: usize,
    asked: &dyn Fn(usize) -> bool,
    images: &mut dyn FnMut(&[usize]) -> Result<Vec<RgbImage>>,
    shown: &dyn Fn(usize) -> String,
    progress: &mut dyn FnMut(usize),
) -> Result<Answers> {
    let known = |question: &Question<'_>| {
        question.keys.iter().map(|key| key.as_ref().and_then(|key| question.shelf.get(key))).collect()
    };
    let mut answers: Answers = questions.iter().map(known).collect();
    let open = |question: usize, answers: &[Vec<Option<Vec<f32>>>], index: usize| {
        questions[question].keys[index].is_some() && answers[question][index].is_none()
    };
    let is_missing = |&index: &usize| (0..questions.len()).any(|question| open(question, &answers, index));
    let missing: Vec<usize> = (0..count).filter(|&index| asked(index)).filter(is_missing).collect();
    progress(count - missing.len());
    for (number, batch) in missing.chunks(BATCH).enumerate() {
        let made = images(batch)?;
        for (at, question) in questions.iter().enumerate() {
            let places: Vec<usize> =
                (0..batch.len()).filter(|&place| open(at, &answers, batch[place])).collect();
            if places.is_empty() {
                continue;
            }
            let asked: Vec<usize> = places.iter().map(|&place| batch[place]).collect();
            let seen: Vec<RgbImage> = places.iter().map(|&place| made[place].clone()).collect();
            let numbers = (question.answer)(&asked, &seen)?;
            for (index, answer) in asked.into_iter().zip(numbers.chunks_exact(question.shelf.length())) {
                if answer.iter().any(|number| !number.is_finite()) {
                    let problem = format!("what a network answers of {} is no number", shown(index));
                    return Err(Error::config(
                        problem,
                        "look at that image, and at the weights of the network",
                    ));
                }
                if let Some(key) = &question.keys[index] {
                    // A full disk is no reason to end: it is computed again next time.
                    let _ = question.shelf.put(key, answer);
                }
                answers[at][index] = Some(answer.to_vec());
            }
        }
        progress(count - missing.len() + number * BATCH + batch.len());
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::images::Cache;

    fn image(value: u8) -> RgbImage {
        RgbImage::from_pixel(1, 1, image::Rgb([value; 3]))
    }

    #[test]
    fn what_was_answered_is_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let made = RefCell::new(Vec::new());
        let run = |shelf: &str, asked: &dyn Fn(usize) -> bool| {
            let answer = |_: &[usize], images: &[RgbImage]| {
                Ok(images.iter().flat_map(|image| [f32::from(image[(0, 0)][0]), 1.0]).collect())
            };
            // The third image is not asked about.
            let keys = (0..40).map(|n| (n != 2).then(|| key(&["image", &n.to_string()]))).collect();
            let questions = [Question { shelf: cache.shelf(shelf, 2), keys, answer: Box::new(answer) }];
            let mut images = |indices: &[usize]| {
                made.borrow_mut().extend_from_slice(indices);
                Ok(indices.iter().map(|&index| image(index as u8)).collect())
            };
            let mut heard = Vec::new();
            let answers =
                ask(&questions, 40, asked, &mut images, &|n| n.to_string(), &mut |done| heard.push(done))
                    .unwrap();
            (answers[0].clone(), heard.last().copied())
        };
        // One of two parts, the other, and all of it together from both.
        run("a", &|index| index % 2 == 0);
        assert_eq!(made.take().len(), 19);
        let (answers, _) = run("a", &|index| index % 2 == 1);
        assert_eq!(made.take().len(), 20);
        assert_eq!(answers[4], Some(vec![4.0, 1.0]));
        let (answers, heard) = run("a", &|_| true);
        assert!(made.take().is_empty() && heard == Some(40));
        assert_eq!((answers[2].clone(), answers[39].clone()), (None, Some(vec![39.0, 1.0])));
        run("another network", &|_| true);
        assert_eq!(made.take().len(), 39);
    }

    #[test]
    fn an_answer_that_is_no_number_ends_it_with_the_image_s_name() {
        let cache = Cache::none();
        let answer = |_: &[usize], images: &[RgbImage]| Ok(vec![f32::NAN; images.len()]);
        let keys = vec![Some(key(&["a"]))];
        let questions = [Question { shelf: cache.shelf("a", 1), keys, answer: Box::new(answer) }];
        let mut images = |_: &[usize]| Ok(vec![image(1)]);
        let error = ask(&questions, 1, &|_| true, &mut images, &|_| "face.png".into(), &mut |_| ());
        assert!(error.unwrap_err().to_string().contains("face.png"));
    }

    #[test]
    fn keys_tell_parts_apart() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["a"]).len(), 64);
    }
}
