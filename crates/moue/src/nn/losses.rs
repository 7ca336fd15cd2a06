//! The losses, each a mean over batch, map, channels and pixels, as a tensor `[1]` that nobody has read yet.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, log_softmax, relu};
use moue_kernels::{Apart, halved, mean_absolute, mean_between_neighbours, weighted_mean_absolute};
use serde::{Deserialize, Serialize};

use crate::base::expression::{Expression, one_hot};

/// How the discriminator's real-or-fake logit `a` is judged. What is returned is minimised by its player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdversarialLoss {
    /// The paper's eq. 6 to the letter, p = sigmoid(a): D maximises log p(x) + log(1 - p(G)), G minimises log(1 - p(G)).
    Saturating,
    /// As saturating, but G minimises -log p(G), whose gradient does not vanish (Goodfellow et al. 2014).
    NonSaturating,
    /// D: max(0, 1 - a(x)) + max(0, 1 + a(G)), G: -a(G) (Lim and Ye 2017).
    Hinge,
    /// D: (a(x) - 1)^2 + a(G)^2, G: (a(G) - 1)^2 (Mao et al. 2017).
    LeastSquares,
    /// D: -a(x) + a(G) and a gradient penalty, G: -a(G) (Gulrajani et al. 2017).
    WassersteinGp,
}

impl AdversarialLoss {
    /// The discriminator's loss on real images, of their logits.
    pub fn on_real(self, real: Tensor<4>) -> Tensor<1> {
        match self {
            Self::Saturating | Self::NonSaturating => -log_sigmoid(real).mean(),
            Self::Hinge => relu(-real + 1.0).mean(),
            Self::LeastSquares => (real - 1.0).square().mean(),
            Self::WassersteinGp => -real.mean(),
        }
    }

    /// The discriminator's loss on synthesised images, of their logits. The loss is the sum of both, not halved.
    pub fn on_fake(self, fake: Tensor<4>) -> Tensor<1> {
        match self {
            Self::Saturating | Self::NonSaturating => -log_sigmoid(-fake).mean(),
            Self::Hinge => relu(fake + 1.0).mean(),
            Self::LeastSquares => fake.square().mean(),
            Self::WassersteinGp => fake.mean(),
        }
    }

    /// The generator's loss, of the logits of what it made.
    pub fn of_generator(self, fake: Tensor<4>) -> Tensor<1> {
        match self {
            Self::Saturating => log_sigmoid(-fake).mean(),
            Self::NonSaturating => -log_sigmoid(fake).mean(),
            Self::Hinge | Self::WassersteinGp => -fake.mean(),
            Self::LeastSquares => (fake - 1.0).square().mean(),
        }
    }
}

/// Cross-entropy of the expression logits `[batch, 8]`: -E log D_cls(c | x) (the paper's eqs. 7 and 8).
pub fn classification(logits: Tensor<2>, expressions: &[Expression]) -> Tensor<1> {
    let labels = one_hot(expressions, &logits.device().without_autodiff());
    let batch = expressions.len() as f32;
    -(log_softmax(logits, 1) * labels).sum() / batch
}

/// Binary cross-entropy of each of the expression logits `[batch, 8]` by itself, mean over batch and expressions: is it
/// this one, and is it not that one (AttGAN's eqs. 7 to 10).
pub fn binary_classification(logits: Tensor<2>, expressions: &[Expression]) -> Tensor<1> {
    let labels = one_hot(expressions, &logits.device().without_autodiff());
    let [yes, no] = [log_sigmoid(logits.clone()), log_sigmoid(-logits)];
    -(yes * labels.clone() + no * (-labels + 1.0)).mean()
}

/// E |x - y|_1, the mean absolute difference of two batches of images of one shape (the paper's eq. 9).
pub fn mean_absolute_difference(x: Tensor<4>, y: Tensor<4>) -> Tensor<1> {
    mean_absolute(x - y)
}

/// How far what is painted is from the true colour, where it is painted: the mean of mask^2 |`difference`|, each pixel
/// weighted, without a gradient for the mask `[b, 1, h, w]`. `difference` is of the painted colour and the true image.
///
/// What a face looks like after its edit leaves it open whether the true colour is painted or half as much of one twice as
/// far away (green teeth that make pink lips white), and what is half painted turns up at another strength or where the
/// lips lie a little otherwise. The square spares creases, which are a shade over the photo's own skin.
pub fn painted_colour(mask: Tensor<4>, difference: Tensor<4>, weights: Tensor<4>) -> Tensor<1> {
    weighted_mean_absolute(difference, mask.detach().square() * weights)
}

/// How far a discriminator's features of results are from those of the true images, layer by layer of one shape, as a
/// part of the true ones' size: mean over the layers of mean |f - f'| / mean |f'| (feature matching: Salimans et al.
/// 2016, on pairs: Wang et al. 2018, pix2pixHD). Their size itself says nothing: spectral norm leaves it to the layers.
pub fn feature_matching(results: Vec<Tensor<4>>, truth: Vec<Tensor<4>>) -> Tensor<1> {
    let layers = results.len() as f32;
    let apart = results.into_iter().zip(truth).map(|(result, truth)| {
        let size = mean_absolute(truth.clone()).clamp_min(1e-6);
        mean_absolute(result - truth) / size
    });
    apart.reduce(|sum, layer| sum + layer).expect("a discriminator has layers") / layers
}

/// The mean absolute value of `difference` `[b, c, h, w]` at half its resolution: of the means of 2 x 2 pixels.
pub fn mean_absolute_at_half_size(difference: Tensor<4>) -> Tensor<1> {
    mean_absolute(halved(difference))
}

/// The mean absolute difference of horizontal neighbours plus that of vertical ones, of `[b, c, h, w]`: of the
/// difference of two images it says how their edges differ.
pub fn mean_absolute_gradient(x: Tensor<4>) -> Tensor<1> {
    mean_between_neighbours(x, Apart::Absolute)
}

/// The mean squared difference of horizontal neighbours plus that of vertical ones, of `[b, c, h, w]`.
pub fn mean_squared_gradient(x: Tensor<4>) -> Tensor<1> {
    mean_between_neighbours(x, Apart::Squared)
}
