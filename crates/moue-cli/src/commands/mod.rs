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
use moue::base::device::Device;
use moue::base::error::Error;
use moue::run::model::Model;

use crate::terminal::say;

/// The model inside this program; `assets/models/CARD.md` says what it is.
const DEFAULT_MODEL: &[u8] = include_bytes!("../../../../assets/models/default.safetensors");

/// Bytes of stack for each thread, as much as a program's first thread has on Linux.
const STACK: usize = 8 << 20;

/// The model that is used when none is named.
fn default_model(device: &Device) -> anyhow::Result<Model> {
    Ok(Model::from_bytes(DEFAULT_MODEL, "the model inside this program", device)?)
}

/// Runs `command` on one of the threads that share the CPU's work, so many of them or one for each core. Another thread
/// would have to wake them and be woken for each of a network's layers.
pub(crate) fn among_threads(
    threads: Option<u16>,
    command: impl FnOnce() -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.map_or(0, usize::from))
        .stack_size(STACK)
        .build_global()
        .map_err(|error| {
            let problem = format!("the threads cannot be started ({error})");
            Error::device(problem, "ask for fewer with --threads")
        })?;
    rayon::scope(|_| command())
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
