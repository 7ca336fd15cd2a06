//! What is timed: the presets' games, and batches for them to play.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use criterion::Criterion;
use moue::base::device::Device;
use moue::base::error::Result;
use moue::base::expression::Expression;
use moue::base::faces::{Batch, Faces};
use moue::base::rng::Rng;
use moue::methods::{Game, MethodConfig, PRESETS};
use moue::nn::module::{AnyTensor, for_each};
use moue::nn::player::Saved;
use moue::run::exchange::Tensors;

/// Waves that make a channel of an image.
const WAVES: usize = 4;

/// What gammas of self-attention become, which start at 0: so that attention counts in what is compared.
const GAMMA: f32 = 0.3;

/// By how much the heads of `moue` grow, which start so small that an edit is none.
const HEAD: f32 = 8.0;

/// Runs benchmarks as `criterion_main!` does, but among the threads of the pool, where the program's networks run.
pub fn run(benchmarks: impl FnOnce() + Send) {
    rayon::scope(|_| benchmarks());
    Criterion::default().configure_from_args().final_summary();
}

/// The method of a preset, in which every player has a say from the first step on.
///
/// # Panics
/// When there is no such preset.
pub fn method(preset: &str) -> MethodConfig {
    let known = PRESETS.iter().find(|known| known.name == preset || known.aliases.contains(&preset));
    let (mut method, _) = (known.expect("a preset's name").settings)();
    if let MethodConfig::Moue(config) = &mut method {
        config.alone = 0;
    }
    method
}

/// Its players after no step, but with attention and edits that can be told from none.
///
/// # Panics
/// Never for a preset's method.
pub fn game(method: &MethodConfig, device: &Device) -> Box<dyn Game> {
    let mut game = method.game(0, device).expect("presets can be played");
    let edits = matches!(method, MethodConfig::Moue(_));
    for (_, player) in game.players() {
        for (part, module) in player.parts() {
            if part != "optimiser" {
                for_each(module, |name, _, tensor| match name {
                    _ if name.ends_with("gamma") => scale(tensor, 0.0, GAMMA),
                    "head.weight" | "detail.head.weight" | "close.head.weight" if edits => {
                        scale(tensor, HEAD, 0.0)
                    }
                    _ => {}
                });
            }
        }
    }
    game
}

fn scale(tensor: &mut dyn AnyTensor, factor: f32, summand: f32) {
    let shape = tensor.shape();
    let scaled = tensor.take() * factor + summand;
    tensor.put(scaled, &shape);
}

/// `count` images of a few waves each, `[count, 3, size, size]` in -1..1. As smooth as faces are: an edit moves pixels,
/// and moving noise by a millionth of the side would make another image of it.
pub fn images(count: usize, size: usize, rng: &mut Rng, device: &Device) -> Tensor<4> {
    let mut values = Vec::with_capacity(count * 3 * size * size);
    for _ in 0..count * 3 {
        let waves: [[f32; 3]; WAVES] = std::array::from_fn(|_| {
            let turns = |highest| std::f32::consts::TAU * highest;
            [turns(rng.between(-4.0, 4.0)), turns(rng.between(-4.0, 4.0)), turns(rng.uniform())]
        });
        for place in 0..size * size {
            let [x, y] = [place % size, place / size].map(|n| n as f32 / size as f32);
            let wave = |[across, down, phase]: &[f32; 3]| (across * x + down * y + phase).cos();
            values.push(waves.iter().map(wave).sum::<f32>() / WAVES as f32);
        }
    }
    Tensor::from_data(TensorData::new(values, [count, 3, size, size]), device)
}

/// A batch of such images, with pairs, that the method can play.
///
/// # Panics
/// Never: indices of expressions are counted round.
pub fn batch(method: &MethodConfig, count: usize, device: &Device) -> Batch {
    let mut rng = Rng::stream(0, "images", 0);
    let mut images = || images(count, method.image_size(), &mut rng, device);
    let (source, truth) = (images(), images());
    let expression = |n: usize| Expression::from_index(n % Expression::COUNT).expect("it is one of them");
    let target = |n| method.direction().and_then(|direction| direction.to).unwrap_or(expression(n + 3));
    let source = Faces { images: source, expressions: (0..count).map(expression).collect() };
    Batch { source, targets: (0..count).map(target).collect(), target_images: Some(truth) }
}

/// How many steps make a round, in which each player is updated.
pub fn round(method: &MethodConfig) -> u64 {
    let updates = method.updates();
    updates.generator.max(updates.discriminator)
}

/// The weights of all players as `generator.NAME`, `discriminator.NAME` and so on.
pub fn weights(game: &mut dyn Game) -> Tensors {
    let mut all = Tensors::default();
    for (player, saved) in game.players() {
        for (_, module) in parts(saved, &["weights"]) {
            let values = Tensors::of(module, String::new()).values.into_iter();
            all.values.extend(values.map(|(name, tensor)| (format!("{player}.{name}"), tensor)));
        }
    }
    all
}

/// Gives the players weights under the names of [`weights`], or the generator alone those that have no such names: a
/// model file's.
///
/// # Errors
/// As [`Tensors::load`].
pub fn load(game: &mut dyn Game, tensors: &Tensors, path: &Path) -> Result<()> {
    for (player, saved) in game.players() {
        let prefix = format!("{player}.");
        let named = |name: &String| name.starts_with(&prefix);
        if player != "generator" && !tensors.values.keys().any(named) {
            continue;
        }
        let mut own = tensors.clone();
        own.keep_player(&prefix);
        for (_, module) in parts(saved, &["weights", "average"]) {
            own.load(module, path, &[])?;
        }
    }
    Ok(())
}

fn parts<'a>(
    saved: &'a mut dyn Saved,
    wanted: &'a [&str],
) -> impl Iterator<Item = (&'static str, &'a mut dyn moue::nn::module::Module)> {
    saved.parts().into_iter().filter(|(part, _)| wanted.contains(part))
}
