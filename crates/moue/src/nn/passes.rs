//! What the updates of a StarGAN-like game compute before they step: a label-conditioned generator that also
//! reconstructs, and a discriminator that tells real from fake and names the expression.

use burn::tensor::Tensor;

/// Losses by name that still lie on the device: reading one waits for all work before it.
pub type Losses = Vec<(String, Tensor<1>)>;

/// The discriminator's answer.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Real-or-fake logits, `[batch, 1, h, w]`.
    pub source: Tensor<4>,
    /// Expression logits, `[batch, 8]`.
    pub expression: Tensor<2>,
}

impl Judgement {
    /// Parts the judgement of real images followed by as many fakes. Judging them in one pass is allowed where no
    /// layer mixes the images of a batch, and reads the weights once.
    pub fn halves(self) -> [Self; 2] {
        let half = self.source.dims()[0] / 2;
        [0..half, half..2 * half].map(|range| Self {
            source: self.source.clone().slice_dim(0, range.clone()),
            expression: self.expression.clone().slice_dim(0, range),
        })
    }
}

/// What a generator update computes.
pub struct GeneratorPass {
    /// G(x, c), `[b, 3, s, s]`.
    pub fake: Tensor<4>,
    /// The face again: G(G(x, c), c'), c' its own expression; AttGAN decodes the same code once more instead.
    pub reconstructed: Tensor<4>,
    /// D(G(x, c)).
    pub judgement: Judgement,
    /// The generator's part of the adversarial loss.
    pub adversarial: Tensor<1>,
    /// L_cls^f: (binary) cross-entropy of the target expressions.
    pub classification: Tensor<1>,
    /// L_rec: mean |x - reconstructed|.
    pub reconstruction: Tensor<1>,
    /// L_G: the weighted sum.
    pub total: Tensor<1>,
}

impl GeneratorPass {
    /// The losses for the log.
    pub fn losses(&self) -> Losses {
        named([
            ("generator.adversarial", self.adversarial.clone()),
            ("generator.classification", self.classification.clone()),
            ("generator.reconstruction", self.reconstruction.clone()),
        ])
    }
}

/// What a discriminator update computes.
pub struct DiscriminatorPass {
    /// D(x).
    pub real: Judgement,
    /// D(G(x, c)).
    pub fake: Judgement,
    /// The adversarial loss on real images.
    pub on_real: Tensor<1>,
    /// The adversarial loss on fakes.
    pub on_fake: Tensor<1>,
    /// L_cls^r: (binary) cross-entropy of the faces' own expressions.
    pub classification: Tensor<1>,
    /// The gradient of D's source logits at points between real and fake, `[b, 3, s, s]`, for a gradient penalty.
    pub input_gradient: Option<Tensor<4>>,
    /// The gradient penalty without its weight.
    pub penalty: Option<Tensor<1>>,
    /// L_D: the weighted sum.
    pub total: Tensor<1>,
}

impl DiscriminatorPass {
    /// The losses for the log.
    pub fn losses(&self) -> Losses {
        let adversarial = self.on_real.clone() + self.on_fake.clone();
        let penalty = self.penalty.clone().map(|penalty| ("discriminator.gradient_penalty", penalty));
        let losses = [
            ("discriminator.adversarial", adversarial),
            ("discriminator.classification", self.classification.clone()),
        ];
        named(losses.into_iter().chain(penalty))
    }
}

/// Losses for the log, out of the graph.
pub fn named<'a>(losses: impl IntoIterator<Item = (&'a str, Tensor<1>)>) -> Losses {
    losses.into_iter().map(|(name, loss)| (name.to_string(), loss.detach())).collect()
}
