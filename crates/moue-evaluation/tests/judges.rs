//! The judges from image to answer, on the rendered faces of `assets/` and, where they are there, on true people.

mod support;

use std::fs;

use burn::tensor::Device;
use image::RgbImage;
use moue::base::error::Error;
use moue::base::expression::Expression;
use moue_evaluation::accuracy::Confusion;
use moue_evaluation::contempt::asymmetry;
use moue_evaluation::judges::{Classifier, Judges, Question, pairwise};
use moue_evaluation::networks::CLASSES;
use moue_evaluation::networks::recognition::distance;
use rayon::ThreadPoolBuilder;
use support::{Face, difference, faces, folder, images, root};

fn rendered() -> Vec<Face> {
    faces(&root().join("assets/faces"))
}

/// With identity and LPIPS, or `None` and a line that says so.
fn all_judges() -> Option<Judges> {
    let weights = folder("MOUE_WEIGHTS")?;
    Some(Judges::with_folder(&weights, &Device::flex()).unwrap())
}

fn confusion(faces: &[Face], answers: &[[f32; 7]]) -> Confusion {
    let mut confusion = Confusion::default();
    faces.iter().zip(answers).for_each(|(face, answer)| confusion.add(face.expression, answer));
    confusion
}

/// The value below which a part of them lies, as numpy has it.
fn percentile(values: &[f32], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let place = part * (sorted.len() - 1) as f64;
    let (low, high) = (f64::from(sorted[place.floor() as usize]), f64::from(sorted[place.ceil() as usize]));
    low + (high - low) * place.fract()
}

/// How often one of `these` is larger than one of `those`.
fn area_under_curve(these: &[f32], those: &[f32]) -> f64 {
    let wins = |a: &f32| those.iter().map(|b| if a > b { 1.0 } else { f64::from(a == b) / 2.0 }).sum::<f64>();
    these.iter().map(wins).sum::<f64>() / (these.len() * those.len()) as f64
}

fn of(faces: &[Face], values: &[f32], wanted: impl Fn(Expression) -> bool) -> Vec<f32> {
    faces.iter().zip(values).filter(|(face, _)| wanted(face.expression)).map(|(_, value)| *value).collect()
}

/// Each face's value against that of the same person's neutral face.
fn against_neutral<T>(faces: &[Face], values: &[T], compare: impl Fn(&T, &T) -> f32) -> Vec<f32> {
    let neutral = Expression::Neutral.index();
    values.iter().enumerate().map(|(index, value)| compare(value, &values[index / 8 * 8 + neutral])).collect::<Vec<_>>()
        .into_iter().zip(faces).map(|(value, _)| value).collect()
}

#[test]
fn rendered_expressions_are_read_better_than_by_chance() {
    let faces = rendered();
    let judges = Judges::embedded(&Device::flex());
    let images = images(&faces);
    for classifier in Classifier::ALL {
        let answers = judges.expression(classifier, &images);
        assert!(answers.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        let confusion = confusion(&faces, &answers);
        let each: Vec<_> = CLASSES.map(|class| confusion.accuracy(class).unwrap()).to_vec();
        eprintln!("{}: {:.4} {each:.2?}", classifier.name(), confusion.mean().unwrap());
        for expression in Expression::ALL {
            eprintln!("  {expression:12} {:?}", confusion.row(expression));
        }
    }
}

#[test]
fn the_rendered_people_are_told_apart() {
    let Some(judges) = all_judges() else { return };
    let faces = rendered();
    let vectors = judges.embedding(&images(&faces)).unwrap();
    let own = against_neutral(&faces, &vectors, distance);
    let neutral: Vec<_> = vectors.iter().skip(Expression::Neutral.index()).step_by(8).collect();
    let strangers: Vec<_> = (0..12).flat_map(|a| (a + 1..12).map(move |b| (a, b))).map(|(a, b)| distance(neutral[a], neutral[b])).collect();
    let own = of(&faces, &own, |expression| expression != Expression::Neutral);
    eprintln!("own {:.3} strangers {:.3}", percentile(&own, 0.5), percentile(&strangers, 0.5));
}
