//! The networks against onnxruntime, the lpips package and Pillow, on the same inputs: golden/judges.safetensors.

mod support;

use std::path::Path;

use burn::tensor::Device;
use moue::base::expression::Expression;
use moue_evaluation::networks::CLASSES;
use moue_evaluation::networks::expression::FaceExpressionNet;
use moue_evaluation::networks::lpips::Lpips;
use moue_evaluation::networks::minixception::MiniXception;
use moue_evaluation::networks::recognition::{FaceRecognitionNet, LENGTH};
use moue_evaluation::networks::sources::{self, LPIPS, RECOGNITION};
use moue_evaluation::weights::Store;
use support::{Golden, difference, folder, weights};

/// A network's answers, whose classes come in `order`, in that of ours.
fn in_our_order(answers: &[f32], order: [Expression; 7]) -> Vec<f32> {
    let place = |class: Expression| order.iter().position(|other| *other == class).unwrap();
    answers.chunks(7).flat_map(|row| CLASSES.map(|class| row[place(class)])).collect()
}

#[test]
fn face_api_reads_expressions_as_in_onnxruntime() {
    use Expression::*;
    let golden = Golden::read();
    let order = [Neutral, Happy, Sad, Angry, Fearful, Disgusted, Surprised];
    let theirs = in_our_order(&golden.numbers("expression.output"), order);
    let ours = FaceExpressionNet::new(&Device::flex()).forward(&golden.images("expression.input")).concat();
    let error = difference(&ours, &theirs);
    eprintln!("expression: largest difference {error:e}");
    assert!(error < 1e-5, "{error}"); // of a probability; both add in f32, in another order
}

#[test]
fn fer_reads_expressions_as_in_onnxruntime() {
    use Expression::*;
    let golden = Golden::read();
    let order = [Angry, Disgusted, Fearful, Happy, Sad, Surprised, Neutral];
    let theirs = in_our_order(&golden.numbers("minixception.output"), order);
    let ours = MiniXception::new(&Device::flex()).forward(&golden.grey_images("minixception.input")).concat();
    let error = difference(&ours, &theirs);
    eprintln!("minixception: largest difference {error:e}");
    assert!(error < 1e-5, "{error}");
}

#[test]
fn faces_are_recognised_as_in_onnxruntime() {
    let Some((path, file)) = weights(RECOGNITION.local) else { return };
    let network = FaceRecognitionNet::from_onnx(&file, &path, &Device::flex()).unwrap();
    let golden = Golden::read();
    let ours = network.forward(&golden.images("recognition.input")).concat();
    let error = difference(&ours, &golden.numbers("recognition.output"));
    eprintln!("recognition: largest difference {error:e}");
    assert!(error < 1e-5, "{error}"); // 1e-4 of what two images of a person differ by
}

#[test]
fn perceptual_distances_are_those_of_the_lpips_package() {
    let Some((path, file)) = weights(LPIPS.local) else { return };
    let network = Lpips::from_safetensors(&file, &path, &Device::flex()).unwrap();
    let golden = Golden::read();
    for size in ["small", "wide"] {
        let images = golden.images(&format!("lpips.{size}.input"));
        let features: Vec<_> = images.iter().map(|image| network.features(image).unwrap()).collect();
        let ours = [1, 2, 0].map(|other| features[0].distance(&features[other]).unwrap());
        let theirs = golden.numbers(&format!("lpips.{size}.output"));
        let error = difference(&ours, &theirs);
        eprintln!("LPIPS, {size}: largest difference {error:e}, of {theirs:?}");
        assert!(error < 1e-6, "{error}");
        assert_eq!(ours[2], 0.0); // of an image and itself
    }
}

/// MOUE_PACKAGES is a folder that holds the packages of `networks/sources.rs`.
#[test]
fn the_published_files_hold_the_same_networks() {
    let (Some(packages), Some((path, file))) = (folder("MOUE_PACKAGES"), weights(LPIPS.local)) else {
        return;
    };
    let (device, golden) = (Device::flex(), Golden::read());
    let store = Store { folder: Some(packages), cache: None, offline: true };

    let network = sources::recognition(&store, &device, &mut |_| ()).unwrap();
    let ours = network.forward(&golden.images("recognition.input")).concat();
    let error = difference(&ours, &golden.numbers("recognition.output"));
    eprintln!("recognition, from the npm package: largest difference {error:e}");
    assert!(error < 1e-5, "{error}");

    let network = sources::lpips(&store, &device, &mut |_| ()).unwrap();
    let other = Lpips::from_safetensors(&file, &path, &device).unwrap();
    for image in golden.images("lpips.wide.input") {
        assert!(network.features(&image).unwrap() == other.features(&image).unwrap());
    }
    assert_ne!(network.fingerprint(), other.fingerprint());
}

#[test]
fn damaged_weights_are_named_with_a_remedy() {
    let device = Device::flex();
    let path = Path::new("somewhere/weights");
    let check = |error: moue::base::error::Error, part: &str| {
        let text = error.to_string();
        assert!(text.starts_with("somewhere/weights: ") && text.contains(part), "{text}");
        assert!(error.hint().is_some());
    };
    check(FaceRecognitionNet::from_onnx(b"nothing", path, &device).unwrap_err(), "no ONNX model");
    // An empty model: a graph of no nodes.
    check(
        FaceRecognitionNet::from_onnx(&[0x3A, 0], path, &device).unwrap_err(),
        "conv32_down/conv/filters is missing",
    );
    check(FaceRecognitionNet::from_tfjs(b"[]", b"", path, &device).unwrap_err(), "is missing");
    check(FaceRecognitionNet::from_tfjs(b"[]", b"1", path, &device).unwrap_err(), "1 bytes are left");
    check(Lpips::from_flax(b"\x80\x03}.", path, &device).unwrap_err(), "features.0.weight is missing");
    check(Lpips::from_flax(b"PK", path, &device).unwrap_err(), "no pickle");
    check(Lpips::from_safetensors(b"1234567", path, &device).unwrap_err(), "no safetensors");

    let Some((_, file)) = weights(LPIPS.local) else { return };
    for length in [8, 900, file.len() / 2, file.len() - 1] {
        check(Lpips::from_safetensors(&file[..length], path, &device).unwrap_err(), "no safetensors");
    }
    let mut poisoned = file.clone();
    let end = poisoned.len();
    poisoned[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    check(Lpips::from_safetensors(&poisoned, path, &device).unwrap_err(), "not finite");
    poisoned[end - 4..].copy_from_slice(&(-1f32).to_le_bytes());
    check(Lpips::from_safetensors(&poisoned, path, &device).unwrap_err(), "negative");
    let Some((_, file)) = weights(RECOGNITION.local) else { return };
    for length in [100, file.len() / 2, file.len() - 1] {
        check(FaceRecognitionNet::from_onnx(&file[..length], path, &device).unwrap_err(), "no ONNX model");
    }
    // Another network's file.
    let Some((_, other)) = weights("fer_minixception.onnx") else { return };
    check(FaceRecognitionNet::from_onnx(&other, path, &device).unwrap_err(), "conv32_down");
    assert_eq!(LENGTH, 128);
}
