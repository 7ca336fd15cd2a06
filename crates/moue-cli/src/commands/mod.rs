//! A file a command.

pub(crate) mod compare;
pub(crate) mod evaluate;
pub(crate) mod fid;
mod judging;
mod plan;
pub(crate) mod prepare;
pub(crate) mod summary;
pub(crate) mod train;
pub(crate) mod translate;
pub(crate) mod weights;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use moue::base::device::{Device, device};
use moue::run::model::Model;

use crate::args::Compute;
use crate::terminal::say;

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

/// The first signal asks for an orderly end, which `what` describes; the second ends the program at once.
fn stop_on_signal(what: &'static str) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say(&format!("\nstopping after {what}; once more to stop at once\n"));
    })
    .context("signals cannot be handled")?;
    Ok(stop)
}
