//! What a method's networks are made of, layer by layer.

use burn::tensor::{Tensor, TensorData};
use serde::Serialize;

use crate::base::device::device;
use crate::base::error::Result;
use crate::methods::MethodConfig;
use crate::nn::module::{Kind, for_each};
use crate::nn::tape::record;

/// The networks of a method at its configured size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The method's name.
    pub method: &'static str,
    /// Side of its images in pixels.
    pub image_size: usize,
    /// Its players, the generator first.
    pub players: Vec<PlayerSummary>,
}

/// One player's network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlayerSummary {
    /// `generator`, `discriminator`, …
    pub name: String,
    /// Learned values.
    pub parameters: usize,
    /// Values that are saved, but not learned by gradient: running statistics, the u and v of spectral norm.
    pub buffers: usize,
    /// Products that are added up as one face goes through, as [`crate::nn::tape::Report`] counts them.
    pub multiply_adds: u64,
    /// Its layers in the order in which the face goes through them.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Its name in weights, as `res.0.main.1`.
    pub name: String,
    /// What it is, as `conv 4x4 /2`.
    pub kind: String,
    /// Channels, height and width of its output, or its values.
    pub output: Vec<usize>,
    /// Learned values.
    pub parameters: usize,
    /// Products that are added up.
    pub multiply_adds: u64,
}

/// A parameter: the number of its player, the path of its layer, and how many values it has.
type Parameter = (usize, String, usize);

impl Summary {
    /// Builds the players of a method and sends one black face through each.
    ///
    /// # Errors
    /// [`crate::base::error::Error::Config`] for settings that cannot be.
    pub fn of(method: &MethodConfig) -> Result<Self> {
        let device = device("cpu")?;
        let mut game = method.game(0, &device)?;
        let (mut players, mut parameters) = (Vec::new(), Vec::<Parameter>::new());
        for (number, (name, player)) in game.players().into_iter().enumerate() {
            let mut summary = PlayerSummary { name: name.to_string(), ..PlayerSummary::default() };
            let weights = player.parts().into_iter().find(|(part, _)| *part == "weights");
            let (_, weights) = weights.expect("every player has weights");
            for_each(weights, |name, kind, tensor| {
                let (shape, count) = (tensor.shape(), tensor.shape().iter().product());
                if kind == Kind::Buffer {
                    summary.buffers += count;
                    return;
                }
                summary.parameters += count;
                // Filled with its number, a parameter can be told from all others.
                tensor.set(TensorData::new(vec![parameters.len() as f32; count], shape));
                let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
                parameters.push((number, layer.to_string(), count));
            });
            players.push(summary);
        }
        let side = method.image_size();
        for report in record(|| game.show(Tensor::zeros([1, 3, side, side], &device))) {
            let mark = report.weight.slice_dim(0, 0..1).into_scalar::<f32>();
            let (player, name, _) = &parameters[mark as usize];
            let of_layer = parameters.iter().filter(|(p, layer, _)| (p, layer) == (player, name));
            let layer = Layer {
                name: name.clone(),
                kind: report.kind,
                output: report.output[1..].to_vec(),
                parameters: of_layer.map(|(.., count)| count).sum(),
                multiply_adds: report.multiply_adds,
            };
            let player = &mut players[*player];
            player.multiply_adds += layer.multiply_adds;
            player.layers.push(layer);
        }
        Ok(Self { method: method.name(), image_size: side, players })
    }
}
