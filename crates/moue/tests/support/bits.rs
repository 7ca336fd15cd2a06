//! Weights as bits.

use moue::methods::Game;
use moue::nn::module::for_each;

/// Every tensor of every player, averages and moments included, in visiting order: its name and its values' bits.
pub(crate) fn bits(game: &mut dyn Game) -> Vec<(String, Vec<u32>)> {
    let mut all = Vec::new();
    for (player, saved) in game.players() {
        for (part, module) in saved.parts() {
            for_each(module, |name, _, tensor| {
                let values = tensor.data().try_into_vec::<f32>().expect("a tensor's data was converted to f32");
                all.push((format!("{player}.{part}.{name}"), values.into_iter().map(f32::to_bits).collect()));
            });
        }
    }
    all
}

/// The names of the tensors that differ in a bit.
pub(crate) fn differing<'a>(
    a: &'a [(String, Vec<u32>)],
    b: &'a [(String, Vec<u32>)],
) -> impl Iterator<Item = &'a str> {
    assert_eq!(a.len(), b.len(), "both have the same tensors");
    a.iter().zip(b).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0.as_str())
}
