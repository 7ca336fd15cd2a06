//! The blocks that methods are built of. They know nothing of files or data sets.

pub mod adam;
pub mod batch_norm;
pub mod dropout;
pub mod edit;
pub mod image_pool;
pub mod initial;
pub mod input_gradient;
pub mod label_planes;
pub mod layers;
pub mod losses;
pub mod module;
pub mod passes;
pub mod patch_gan;
pub mod player;
pub mod refinement;
pub mod residual;
pub mod self_attention;
pub mod spectral_norm;
pub mod tape;
pub mod window;
