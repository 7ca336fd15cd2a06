//! Our side of the comparison: does one thing again whenever it is asked to, and says how long it took. On the CPU, or
//! where `MOUE_DEVICE` says: `cuda:0`, exactly where `MOUE_EXACT` is set. Dumps are made on the CPU.
//!
//! `ours forward|train PRESET BATCH [WEIGHTS]` and `ours features inception BATCH [WEIGHTS]`: each line on stdin is
//! answered by the milliseconds of one more time, by the clock and on all CPUs; `reset` forgets the most memory that the
//! process had resident, and `end` is answered by it, in KiB. WEIGHTS is a file of the line below, or a model file of `moue export`.
//!
//! `ours dump forward|train|features PRESET BATCH FILE` writes a safetensors file with the weights, the inputs and what
//! comes out: `output`, or the losses of each step of a round, `step.0.NAME`, `step.1.NAME` …, in which each player is
//! updated, but by next to nothing. Labels are numbers like all others. `README.md` beside this file has the names.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Tensor;
use moue::base::device::{Device, compute_exactly, device};
use moue::base::expression::Expression;
use moue::base::faces::Batch;
use moue::base::rng::Rng;
use moue::methods::{Game, MethodConfig, Rates, Translator};
use moue::nn::input_gradient::mixing_weights;
use moue::run::exchange::{Precision, Tensors};
use moue_benches::{batch, game, images, load, method, round, weights};
use moue_evaluation::networks::INCEPTION;
use moue_evaluation::networks::inception::{Inception, SIDE};
use moue_evaluation::weights::{Store, Weights, digest};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "usage: ours forward|train|features PRESET BATCH [WEIGHTS], or ours dump WHAT PRESET BATCH FILE";

/// What learning rates are multiplied by in a dump: so little that no weight moves, and the losses of a whole round can be
/// compared. Adam's first steps are the signs of gradients, and one near zero may have either.
const STILL: f64 = 1e-9;

/// What is done again and again.
enum Work {
    Forward(Box<dyn Translator>, Batch),
    Train { game: Box<dyn Game>, method: MethodConfig, batch: Batch, rates: Rates, step: u64 },
    Features(Box<Inception>, Tensor<4>),
}

impl Work {
    /// Prepares it; what it begins with, its weights and inputs, is for a dump.
    fn new(what: &str, preset: &str, count: usize, given: Option<&Path>, device: &Device) -> (Self, Tensors) {
        let given = given.map(|path| {
            let bytes = std::fs::read(path).expect("the file of weights can be read");
            (Tensors::read(&bytes, path).expect("it is safetensors"), path)
        });
        if what == "features" {
            let weights = inception_weights(given);
            let images = images(count, SIDE, &mut Rng::stream(0, "images", 0), device);
            let mut start = weights.tensors.clone();
            let prefixed = |(name, tensor)| (format!("network.{name}"), tensor);
            start.values = start.values.into_iter().map(prefixed).collect();
            insert(&mut start, "source", &images);
            let network = Inception::new(&weights, device).expect("these are Inception-v3's weights");
            return (Self::Features(Box::new(network), images), start);
        }
        let method = method(preset);
        let mut game = game(&method, device);
        if let Some((mut tensors, path)) = given {
            let players: Vec<_> = game.players().iter().map(|(name, _)| format!("{name}.")).collect();
            if tensors.values.keys().any(|name| name.starts_with(&players[0])) {
                tensors.values.retain(|name, _| players.iter().any(|player| name.starts_with(player)));
            }
            load(game.as_mut(), &tensors, path).expect("these are the preset's weights");
        }
        let batch = batch(&method, count, device);
        let mut start = weights(game.as_mut());
        start.metadata = serde_json::to_string(&method).expect("settings are JSON");
        insert(&mut start, "source", &batch.source.images);
        insert(&mut start, "truth", batch.target_images.as_ref().expect("batches here have pairs"));
        for step in 0..round(&method) {
            let mixing = mixing_weights(&batch.source.images, &mut draws(step));
            insert(&mut start, &format!("mixing.{step}"), &mixing);
            if let MethodConfig::Moue(config) = &method {
                let mut gains = config.draw_mask_gains(count, &mut draws(step));
                gains.resize(count, 1.0); // There are none where masks stay as they are.
                start.values.insert(format!("gains.{step}"), (vec![count, 1, 1, 1], gains));
            }
        }
        let mut labels = |name: &str, of: &[Expression]| {
            let values = of.iter().map(|expression| expression.index() as f32).collect();
            start.values.insert(name.to_string(), (vec![of.len()], values));
        };
        labels("expressions", &batch.source.expressions);
        labels("targets", &batch.targets);
        let work = match what {
            "forward" => Self::Forward(game.translator(false), batch),
            "train" => {
                let rates = method.learning_rates();
                Self::Train { game, method, batch, rates, step: 0 }
            }
            _ => panic!("{USAGE}"),
        };
        (work, start)
    }

    fn once(&mut self) -> Vec<(String, Tensor<1>)> {
        match self {
            Self::Forward(translator, batch) => {
                vec![("output".to_string(), row(&edited(translator.as_ref(), batch)))]
            }
            Self::Train { game, batch, rates, step, .. } => {
                let losses = game.step(batch, *rates, &mut draws(*step));
                let name = |name| format!("step.{step}.{name}");
                let losses = losses.into_iter().map(|(loss, value)| (name(loss), value)).collect();
                *step += 1;
                losses
            }
            Self::Features(network, images) => {
                let features = network.features(images.clone());
                let length = features.shape().num_elements();
                vec![("output".to_string(), features.reshape([length]))]
            }
        }
    }

    /// How many times are dumped.
    fn round(&self) -> u64 {
        match self {
            Self::Train { method, .. } => round(method),
            Self::Forward(..) | Self::Features(..) => 1,
        }
    }
}

fn edited(translator: &dyn Translator, batch: &Batch) -> Tensor<4> {
    let x = batch.source.images.clone();
    translator.edit(x.clone(), &batch.targets).on_square(x)
}

/// What a step draws at random.
fn draws(step: u64) -> Rng {
    Rng::stream(0, "step", step)
}

fn inception_weights(given: Option<(Tensors, &Path)>) -> Weights {
    match given {
        None => {
            let store = Store::from_environment();
            store.load(&INCEPTION, None, &mut |_| {}).expect("MOUE_WEIGHTS has the weights")
        }
        Some((mut tensors, path)) => {
            tensors.keep_player("network.");
            let sha256 = digest(&tensors);
            Weights { tensors, source: path.to_path_buf(), sha256, is_reference: false }
        }
    }
}

fn row<const D: usize>(tensor: &Tensor<D>) -> Tensor<1> {
    let length = tensor.shape().num_elements();
    tensor.clone().reshape([length])
}

fn insert<const D: usize>(tensors: &mut Tensors, name: &str, tensor: &Tensor<D>) {
    let values = tensor.to_data().try_into_vec::<f32>().expect("devices compute in f32");
    tensors.values.insert(name.to_string(), (tensor.dims().to_vec(), values));
}

fn dump(arguments: &[String]) {
    let [what, preset, batch, file] = arguments else { panic!("{USAGE}") };
    let (mut work, mut all) =
        Work::new(what, preset, batch.parse().expect("a number"), None, &Device::flex());
    if let Work::Train { rates, .. } = &mut work {
        *rates = rates.scaled(STILL);
    }
    for _ in 0..work.round() {
        for (name, tensor) in work.once() {
            insert(&mut all, &name, &tensor);
        }
    }
    let mut bytes = Vec::new();
    all.write(Precision::Full, &mut bytes).expect("memory can be written to");
    std::fs::write(file, bytes).expect("the file can be written");
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).unwrap_or("0").to_string()
}

/// Milliseconds that all threads of this process have run, or 0 where Linux is not there to say.
fn cpu() -> f64 {
    let run = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.filter_map(run).sum::<f64>() / 1e6
}

fn main() {
    // As the program does.
    rayon::scope(|_| run());
}

fn run() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("dump", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return dump(rest);
    }
    let [what, preset, batch, rest @ ..] = &arguments[..] else { panic!("{USAGE}") };
    if what != "forward" {
        moue_kernels::keep_freed_memory(); // As the program does for whatever takes long.
    }
    let given = rest.first().map(PathBuf::from);
    compute_exactly(std::env::var_os("MOUE_EXACT").is_some());
    let device = match std::env::var("MOUE_DEVICE") {
        Ok(name) => device(&name).expect("MOUE_DEVICE names a device that is there"),
        Err(_) => Device::flex(),
    };
    let count = batch.parse().expect("a number");
    let (mut work, start) = Work::new(what, preset, count, given.as_deref(), &device);
    drop(start);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line == "end" {
            writeln!(out, "{}", peak()).expect("somebody listens");
            break;
        }
        if line == "reset" {
            // Linux's way to say: count from here.
            let forgotten = std::fs::write("/proc/self/clear_refs", "5");
            writeln!(out, "{}", forgotten.is_ok()).expect("somebody listens");
            out.flush().expect("somebody listens");
            continue;
        }
        let (start, run) = (Instant::now(), cpu());
        let results = work.once();
        // A value is read, so that it is there for certain.
        results.into_iter().for_each(|(_, tensor)| drop(tensor.into_data()));
        let (clock, run) = (start.elapsed().as_secs_f64() * 1e3, cpu() - run);
        writeln!(out, "{clock:.3} {run:.3}").expect("somebody listens");
        out.flush().expect("somebody listens");
    }
}
