//! Weights come in from a PyTorch checkpoint and go out and in again without a loss.

#[path = "golden/file.rs"]
#[allow(dead_code, reason = "the golden tests use the rest")]
mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use moue::base::device::Device;
use moue::base::expression::Expression;
use moue::base::file::FileSystem;
use moue::base::rng::Rng;
use moue::methods::attgan;
use moue::methods::stargan::{Config, Generator};
use moue::methods::{MethodConfig, Translator};
use moue::nn::module::{Module, for_each};
use moue::run::exchange::{Precision, Tensors};
use moue::run::model::Model;

use file::Golden;

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden").join(name)
}

/// The generator of `golden/stargan.safetensors` as the public code saves it, running statistics included.
fn checkpoint() -> PathBuf {
    committed("stargan-G.ckpt")
}

/// The case that the checkpoint was made from, whatever folder of other goldens is set.
fn golden() -> Golden {
    Golden::read(committed("stargan.safetensors"))
}

fn tensors(translator: &mut dyn Translator) -> Tensors {
    Tensors::of(translator, String::new())
}

#[test]
fn a_stargan_checkpoint_imports_exactly_and_computes_what_pytorch_did() {
    let (golden, device) = (golden(), Device::flex());
    let mut model = Model::import(&checkpoint(), golden.setting("image"), None, &device).unwrap();
    let MethodConfig::Stargan(config) = &model.card.method else { panic!("{:?}", model.card.method) };
    let blocks: usize = golden.setting("residual_blocks");
    assert_eq!((config.image_size, config.residual_blocks), (32, blocks));
    assert_eq!(config.channels, golden.setting::<usize>("conv_dim"));

    let mut expected = Generator::new(config, &device, &mut Rng::stream(0, "any", 0));
    golden.load("G.", &mut expected);
    assert_eq!(tensors(&mut *model.translator).values, tensors(&mut expected).values);

    let x: Tensor<4> = golden.tensor("x", &device);
    let edit = model.translator.edit(x.clone(), &golden.expressions("target"));
    golden.check_output("fake", edit.on_square(x));
}

#[test]
fn an_exported_model_opens_again_exactly_and_writes_the_same_bytes() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let [first, second] = ["a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
    let mut model = Model::import(&checkpoint(), 32, None, &device).unwrap();
    model.write(&first, Precision::Full, &FileSystem).unwrap();
    let mut opened = Model::open(&first, None, &device).unwrap();
    assert_eq!(opened.card, model.card);
    assert_eq!(tensors(&mut *opened.translator).values, tensors(&mut *model.translator).values);
    opened.write(&second, Precision::Full, &FileSystem).unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
}

#[test]
fn half_precision_stays_within_half_a_unit_of_the_last_place() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let path = folder.path().join("half.safetensors");
    let mut model = Model::import(&checkpoint(), 32, None, &device).unwrap();
    model.write(&path, Precision::Half, &FileSystem).unwrap();
    let mut half = Model::open(&path, None, &device).unwrap();
    let (full, half) = (tensors(&mut *model.translator).values, tensors(&mut *half.translator).values);
    for (name, (_, values)) in full {
        for (&full, &half) in values.iter().zip(&half[&name].1) {
            // 11 bits of mantissa; below 2^-14 the steps are 2^-24.
            let bound = full.abs() * 2f32.powi(-11) + 2f32.powi(-25);
            assert!((full - half).abs() <= bound, "{name}: {full} became {half}");
        }
    }
}

/// Imports a generator of the public code that gives happy faces.
fn import(checkpoint: &str) -> Model {
    Model::import(&committed(checkpoint), 32, Some(Expression::Happy), &Device::flex()).unwrap()
}

/// What is imported is the golden case's network `prefix`, whatever the names begin with here.
fn assert_weights(case: &str, prefix: &str, beginning: &str, model: &mut Model) {
    let golden = Golden::read(committed(case));
    let values = tensors(&mut *model.translator).values;
    assert!(values.len() > 10);
    for (name, (shape, values)) in values {
        let name = name.strip_prefix(beginning).unwrap_or_else(|| panic!("{name} does not begin so"));
        let expected: Tensor<1> = golden.flat(&format!("{prefix}{name}"), &Device::flex());
        assert_eq!(shape.iter().product::<usize>(), values.len());
        assert_eq!(values, expected.into_data().try_into_vec::<f32>().unwrap(), "{name}");
    }
}

#[test]
fn a_pix2pix_checkpoint_imports_exactly_with_its_running_statistics() {
    let mut model = import("pix2pix-G.pth");
    let MethodConfig::Pix2pix(config) = &model.card.method else { panic!("{:?}", model.card.method) };
    assert_eq!((config.channels, config.layers, config.target), (4, 5, Expression::Happy));
    assert!(tensors(&mut *model.translator).values.keys().any(|name| name.ends_with("running_var")));
    assert_weights("pix2pix.safetensors", "G.", "", &mut model);
    assert_eq!(model.translator.targets(), [Expression::Happy, Expression::Neutral]);
}

#[test]
fn a_cyclegan_checkpoint_imports_exactly_and_computes_what_pytorch_did() {
    let mut model = import("cyclegan-G_A.pth");
    let MethodConfig::Cyclegan(config) = &model.card.method else { panic!("{:?}", model.card.method) };
    assert_eq!((config.channels, config.residual_blocks, config.way_back), (4, 2, false));
    assert_weights("cyclegan.safetensors", "G_A.", "G_A.", &mut model);
    let (golden, device) = (Golden::read(committed("cyclegan.safetensors")), Device::flex());
    let x: Tensor<4> = golden.tensor("a", &device);
    let targets = vec![Expression::Happy; x.dims()[0]];
    golden.check_output("fake_b", model.translator.edit(x.clone(), &targets).on_square(x));
    let error = model.check_targets(&[Expression::Happy, Expression::Neutral]).unwrap_err();
    assert!(error.to_string().contains("no network for neutral: it gives happy"), "{error}");
}

#[test]
fn a_generator_of_one_way_needs_to_be_told_its_target() {
    for (checkpoint, method) in [("pix2pix-G.pth", "pix2pix"), ("cyclegan-G_A.pth", "CycleGAN")] {
        let error = Model::import(&committed(checkpoint), 32, None, &Device::flex()).err().unwrap();
        assert!(error.to_string().contains(method) && error.to_string().contains("--target"), "{error}");
    }
    let other = Model::import(&committed("pix2pix-G.pth"), 48, Some(Expression::Sad), &Device::flex());
    assert!(other.err().unwrap().to_string().contains("48 px"));
}

#[test]
fn an_attgan_checkpoint_imports_exactly_with_its_running_statistics() {
    let device = Device::flex();
    let golden = Golden::read(committed("attgan.safetensors"));
    let mut model = Model::import(&committed("attgan-weights.pth"), 32, None, &device).unwrap();
    let MethodConfig::Attgan(config) = &model.card.method else { panic!("{:?}", model.card.method) };
    assert_eq!((config.image_size, config.channels, config.layers), (32, 4, 3));
    assert!(config.second_label);
    assert_eq!(config.negative_slope, 0.01, "the port's");
    let mut expected = attgan::Generator::new(config, &device, &mut Rng::stream(0, "any", 0));
    golden.load("G.", &mut expected);
    let running = "enc_layers.0.layers.1.running_var";
    assert!(tensors(&mut expected).values.contains_key(running));
    assert_eq!(tensors(&mut *model.translator).values, tensors(&mut expected).values);
    let x: burn::tensor::Tensor<4> = golden.tensor("x", &device);
    let result = model.translator.edit(x.clone(), &[Expression::Happy; 3]).on_square(x);
    assert!(result.abs().max().into_scalar::<f32>() <= 1.0);
}

/// The state dict's shapes of a network.
fn shapes_of(network: &mut dyn Module) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    for_each(network, |name, _, tensor| {
        shapes.insert(name.to_string(), tensor.shape());
    });
    shapes
}

/// Those of StarGAN's generator in the public code, with another number of labels.
fn shapes(labels: usize) -> BTreeMap<String, Vec<usize>> {
    let mut generator = Generator::new(&Config::smoke(), &Device::flex(), &mut Rng::stream(0, "any", 0));
    let mut shapes = shapes_of(&mut generator);
    shapes.get_mut("main.0.weight").expect("the stem")[1] = 3 + labels;
    shapes
}

#[test]
fn an_attgan_generator_says_what_it_is_by_its_shapes() {
    for (channels, layers, second_label) in [(8, 3, true), (8, 3, false), (4, 2, true), (4, 4, false)] {
        let config = attgan::Config { channels, layers, second_label, ..attgan::Config::smoke() };
        let mut generator = attgan::Generator::new(&config, &Device::flex(), &mut Rng::stream(0, "any", 0));
        let mut shapes = shapes_of(&mut generator);
        let MethodConfig::Attgan(found) = recognise(&shapes).unwrap() else { panic!("another method") };
        assert_eq!((found.channels, found.layers, found.second_label), (channels, layers, second_label));
        // The port's own models know 13 attributes of other kinds.
        let first = shapes.get_mut("dec_layers.0.layers.0.weight").expect("the decoder's first");
        first[0] += 13 - Expression::COUNT;
        let problem = recognise(&shapes).unwrap_err();
        assert!(problem.contains("13 attributes, not the 8 expressions"), "{problem}");
        shapes.remove("dec_layers.0.layers.0.weight");
        assert!(recognise(&shapes).unwrap_err().contains("no generator of AttGAN"));
    }
}

fn recognise(shapes: &BTreeMap<String, Vec<usize>>) -> Result<MethodConfig, String> {
    let shapes = shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    MethodConfig::recognise(&shapes, 32, None).map(|(method, _)| method)
}

#[test]
fn a_generator_of_other_labels_is_refused_in_words() {
    let MethodConfig::Stargan(config) = recognise(&shapes(Expression::COUNT)).unwrap() else {
        panic!("another method")
    };
    assert_eq!((config.channels, config.residual_blocks), (8, 2));
    let problem = recognise(&shapes(5)).unwrap_err();
    assert!(problem.contains("5 labels") && problem.contains('8'), "{problem}");
    let mut other = shapes(8);
    other.remove("main.0.weight");
    assert!(recognise(&other).unwrap_err().contains("no generator of StarGAN"));
}

#[test]
fn what_is_no_checkpoint_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text-G.ckpt");
    let whole = std::fs::read(checkpoint()).unwrap();
    for content in [&b"no checkpoint"[..], b"", &whole[..whole.len() / 2]] {
        std::fs::write(&path, content).unwrap();
        let error = Model::import(&path, 32, None, &Device::flex()).err().expect("it is none");
        assert!(error.to_string().contains("text-G.ckpt"), "{error}");
        assert!(error.hint().unwrap().contains("torch.save"), "{error}");
    }
    let model = folder.path().join("model.safetensors");
    std::fs::write(&model, b"{}").unwrap();
    assert!(Model::open(&model, None, &Device::flex()).is_err());
    let error = Model::open(&checkpoint(), None, &Device::flex()).err().expect("it is to be imported first");
    assert!(error.hint().unwrap().contains("moue import"), "{error}");
}
