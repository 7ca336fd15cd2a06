//! The networks that judge a result, each shaped like its reference implementation, and where their weights are from.
//!
//! Inception-v3 makes the features that distances between sets of images are of. Two classifiers of expressions are embedded; the networks for identity and for perceptual distance are read from files
//! in the form in which they are published, see [`sources`].

pub mod expression;
mod flax;
pub mod inception;
mod inception_weights;
mod layers;
pub mod lpips;
pub mod minixception;
mod onnx;
pub mod recognition;
mod resize;
pub mod sources;
mod tfjs;

use moue::base::expression::Expression;
use sha2::{Digest, Sha256};

pub use self::inception_weights::INCEPTION;
pub use self::resize::Resize;

/// What the classifiers of expressions choose from, in the order of [`Expression::ALL`]. No classifier that knows
/// contempt could be had under a free licence.
pub const CLASSES: [Expression; 7] = [
    Expression::Angry,
    Expression::Disgusted,
    Expression::Fearful,
    Expression::Happy,
    Expression::Neutral,
    Expression::Sad,
    Expression::Surprised,
];

/// A network's name and the sum of its weights' bytes: what its answers depend on beside the image.
fn fingerprint(name: &str, parts: &[&[u8]]) -> String {
    let mut sum = Sha256::new();
    parts.iter().for_each(|part| sum.update(part));
    let hexadecimal: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}:{hexadecimal}")
}

/// The softmax of logits `[batch, 7]` that come in `order`, in that of [`CLASSES`].
fn probabilities(logits: &[f32], order: [Expression; 7]) -> Vec<[f32; 7]> {
    let softmax = |logits: &[f32]| {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        CLASSES.map(|class| {
            order.iter().zip(&powers).filter(|(of, _)| **of == class).map(|(_, power)| power / sum).sum()
        })
    };
    logits.chunks(7).map(softmax).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_come_in_the_order_of_the_classes() {
        let mut order = CLASSES;
        order.reverse();
        let logits = [3.0f32, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let [row] = probabilities(&logits, order)[..] else { panic!("one row") };
        let sum = 3f32.exp() + 1f32.exp() + 5.0;
        assert!((row[6] - 3f32.exp() / sum).abs() < 1e-6); // surprised is the network's first class here
        assert!((row[0] - 1f32.exp() / sum).abs() < 1e-6);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_classes_are_all_expressions_but_contempt_in_their_order() {
        let others = Expression::ALL.into_iter().filter(|&e| e != Expression::Contemptuous);
        assert_eq!(CLASSES.to_vec(), others.collect::<Vec<_>>());
    }

    #[test]
    fn a_fingerprint_is_the_name_and_the_sum_of_all_parts() {
        let whole = fingerprint("network", &[b"abc"]);
        assert_eq!(whole, "network:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(whole, fingerprint("network", &[b"a", b"bc"]));
    }
}
