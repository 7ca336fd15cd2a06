//! Each block by itself, at the sizes that it has in the published networks at 128 px, batch 4: forward, and forward and
//! backward.

use std::hint::black_box;

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};
use criterion::{BatchSize, Criterion, SamplingMode, criterion_group};
use moue::base::device::Device;
use moue::base::expression::Expression;
use moue::base::rng::Rng;
use moue::methods::sasn;
use moue::nn::adam::{Adam, AdamConfig};
use moue::nn::layers::{Convolution, Geometry, InstanceNorm, TransposedConvolution};
use moue::nn::module::{Module, for_each, tracked};
use moue::nn::residual::ResidualBlock;
use moue::nn::self_attention::SelfAttention;
use moue::nn::spectral_norm::SpectralNorm;
use moue_kernels::{
    Apart, Depthwise, Logistic, Pooling, blend, depthwise, doubled, grid_sample, halved, logistic,
    max_pooling, mean_absolute, mean_between_neighbours, mean_pooling, scaled_leaky_relu,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 4;

fn rng() -> Rng {
    Rng::stream(0, "benches", 0)
}

fn noise<const D: usize>(shape: [usize; D], reach: f32) -> Tensor<D> {
    let mut rng = rng();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.between(-reach, reach)).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// A network that gets `[4, channels, side, side]`.
fn block<M: Module + Clone>(
    criterion: &mut Criterion,
    name: &str,
    network: &M,
    [channels, side]: [usize; 2],
    forward: impl Fn(&M, Tensor<4>) -> Tensor<4>,
) {
    let x = noise([BATCH, channels, side, side], 1.0);
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("forward", |bencher| bencher.iter(|| forward(network, x.clone())));
    group.bench_function("forward and backward", |bencher| {
        bencher.iter(|| {
            let x = x.clone().autodiff().require_grad();
            forward(&tracked(network), x).sum().backward()
        });
    });
}

fn convolutions(criterion: &mut Criterion) {
    let (device, mut rng) = (Device::flex(), rng());
    let (wide, halving, plain) = (Geometry::new(7, 1, 3), Geometry::new(4, 2, 1), Geometry::new(3, 1, 1));
    let each = [
        ("stem", [11, 64], wide, 128),
        ("down1", [64, 128], halving, 128),
        ("down2", [128, 256], halving, 64),
        ("residual", [256, 256], plain, 32),
        ("head", [64, 3], wide, 128),
        ("refinement of moue", [24, 24], plain, 128),
        ("discriminator 1", [3, 64], halving, 128),
        ("discriminator 3", [128, 256], halving, 32),
        ("discriminator 6", [1024, 2048], halving, 4),
    ];
    for (name, channels, geometry, side) in each {
        let layer = Convolution::new(channels, geometry, false, &device, &mut rng);
        let name = format!("convolution, {name}");
        block(criterion, &name, &layer, [channels[0], side], Convolution::forward);
    }
    let stem = Convolution::new([11, 64], wide, false, &device, &mut rng);
    block(criterion, "convolution, stem, of an image and its label", &stem, [3, 128], |stem, x| {
        stem.forward_labelled(x, &Expression::ALL[..BATCH])
    });
    for (name, channels, side) in [("up1", [256, 128], 32), ("up2", [128, 64], 64)] {
        let layer = TransposedConvolution::new(channels, halving, &device, &mut rng);
        let name = format!("transposed convolution, {name}");
        block(criterion, &name, &layer, [channels[0], side], TransposedConvolution::forward);
    }
}

fn others(criterion: &mut Criterion) {
    let (device, mut rng) = (Device::flex(), rng());
    for [channels, side] in [[64, 128], [256, 32]] {
        let norm = InstanceNorm::new(channels, &device);
        let name = format!("instance norm and ReLU, {channels} @ {side}");
        block(criterion, &name, &norm, [channels, side], InstanceNorm::forward_relu);
    }
    let residual = ResidualBlock::new(256, &device, &mut rng);
    block(criterion, "residual block, 256 @ 32", &residual, [256, 32], ResidualBlock::forward);
    for [channels, side] in [[256, 32], [128, 64]] {
        let attention = SelfAttention::new(channels, &device, &mut rng);
        let name = format!("self-attention, {channels} @ {side}");
        block(criterion, &name, &attention, [channels, side], SelfAttention::forward);
    }
    let last = Convolution::new([1024, 2048], Geometry::new(4, 2, 1), true, &device, &mut rng);
    let mut norm = SpectralNorm::new(&last.weight, &device, &mut rng);
    let name = "spectral norm, discriminator 6";
    block(criterion, name, &last, [1024, 4], |layer, x| norm.convolve(layer, x));
    criterion.bench_function("spectral norm, discriminator 6/power iteration", |bencher| {
        bencher.iter(|| norm.advance(&last.weight));
    });
}

/// Operations without weights: each of the maps that it gets tracks gradients.
fn operation<const N: usize>(
    criterion: &mut Criterion,
    name: &str,
    maps: [Tensor<4>; N],
    forward: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("forward", |bencher| bencher.iter(|| forward(maps.clone())));
    group.bench_function("forward and backward", |bencher| {
        bencher.iter(|| forward(maps.clone().map(|map| map.autodiff().require_grad())).sum().backward());
    });
}

fn operations(criterion: &mut Criterion) {
    let image = || noise([BATCH, 3, 128, 128], 1.0);
    let (mask, flow) = (noise([BATCH, 1, 128, 128], 1.0), noise([BATCH, 2, 128, 128], 0.25));
    operation(criterion, "grid_sample, 128 px", [image(), flow.clone()], |[x, flow]| grid_sample(x, flow));
    operation(criterion, "blend, 128 px", [image(), mask.clone(), image()], |[below, mask, above]| {
        blend(below, mask, above)
    });
    operation(criterion, "sigmoid, 128 px", [mask], |[x]| logistic(x, Logistic::SIGMOID));
    operation(criterion, "halved, 3 @ 256", [noise([BATCH, 3, 256, 256], 1.0)], |[x]| halved(x));
    operation(criterion, "doubled, 24 @ 64", [noise([BATCH, 24, 64, 64], 1.0)], |[x]| doubled(x));
    operation(criterion, "mean absolute, 3 @ 128", [image()], |[x]| mean_absolute(x).reshape([1, 1, 1, 1]));
    operation(criterion, "between neighbours, 2 @ 128", [flow], |[x]| {
        mean_between_neighbours(x, Apart::Squared).reshape([1, 1, 1, 1])
    });
    let (scale, bias) = (noise([1], 1.0), noise([64], 1.0));
    operation(
        criterion,
        "leaky ReLU with scale and bias, 64 @ 64",
        [noise([BATCH, 64, 64, 64], 1.0)],
        |[x]| scaled_leaky_relu(x, scale.clone(), bias.clone(), 0.01),
    );
    let x = noise([BATCH, 192, 35, 35], 1.0);
    let mut group = criterion.benchmark_group("pooling, 3x3, 192 @ 35");
    group.bench_function("largest", |bencher| {
        let pooling = Pooling { size: 3, stride: 2, padding: 0 };
        bencher.iter(|| max_pooling(x.clone(), pooling));
    });
    group.bench_function("mean", |bencher| {
        let pooling = Pooling { size: 3, stride: 1, padding: 1 };
        bencher.iter(|| mean_pooling(x.clone(), pooling));
    });
    drop(group);
    let (x, weight) = (noise([1, 24, 128, 128], 1.0), noise([24, 1, 3, 3], 1.0));
    let mut group = criterion.benchmark_group("depthwise, 3x3, 24 @ 128");
    group.bench_function("moue", |bencher| {
        let places = Depthwise { stride: 1, padding: [1; 2] };
        bencher.iter(|| depthwise(x.clone(), weight.clone(), places));
    });
    group.bench_function("burn", |bencher| {
        let options = || ConvOptions::new([1; 2], [1; 2], [1; 2], 24);
        bencher.iter(|| conv2d(x.clone(), weight.clone(), None, options()));
    });
}

fn adam(criterion: &mut Criterion) {
    let config = sasn::Config::paper();
    let mut network = sasn::Discriminator::new(&config, &Device::flex(), &mut rng());
    let mut adam = Adam::new(&network, AdamConfig::default());
    let mut gradients = Vec::new();
    for_each(&mut tracked(&network), |_, kind, tensor| {
        if kind == moue::nn::module::Kind::Parameter {
            gradients.push(tensor.flat().without_autodiff() * 0.5);
        }
    });
    let mut group = criterion.benchmark_group("Adam");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("44.8 million parameters", |bencher| {
        let gradients = || gradients.clone();
        bencher.iter_batched(
            gradients,
            |gradients| adam.step(black_box(&mut network), gradients, 1e-9),
            BatchSize::PerIteration,
        );
    });
}

/// What the machine can do at most: a product of matrices (2.15 billion operations) and a copy (512 MiB read or written).
fn ceilings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ceilings");
    let [left, right] = [0, 1].map(|_| noise([1024, 1024], 1.0));
    group
        .bench_function("product, 1024 cubed", |bencher| bencher.iter(|| left.clone().matmul(right.clone())));
    let (from, mut to) = (vec![1.0_f32; 64 << 20], vec![0.0_f32; 64 << 20]);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("copy, 256 MiB", |bencher| bencher.iter(|| to.copy_from_slice(black_box(&from))));
}

criterion_group!(blocks, ceilings, convolutions, others, operations, adam);

fn main() {
    moue_benches::run(blocks);
}
