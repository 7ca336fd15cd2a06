//! A file a command.

pub(crate) mod train;
pub(crate) mod translate;
pub(crate) mod weights;

use anyhow::Context;
use moue::base::device::{Device, device};
use moue::run::model::Model;

use crate::args::Compute;

/// The model inside this program; `assets/models/CARD.md` says what it is.
const DEFAULT_MODEL: &[u8] = include_bytes!("../../../../assets/models/default.safetensors");

/// The model that is used when none is named.
fn default_model(device: &Device) -> anyhow::Result<Model> {
    Ok(Model::from_bytes(DEFAULT_MODEL, "the model inside this program", device)?)
}

/// The device, after the CPU's threads were set.
fn compute(compute: &Compute) -> anyhow::Result<Device> {
    if let Some(threads) = compute.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global()
            .context("the number of threads could not be set")?;
    }
    Ok(device(&compute.device)?)
}
