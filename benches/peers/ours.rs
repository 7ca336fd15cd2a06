//! Our side of the comparison: does one thing again whenever it is asked to, and says how long it took.
//!
//! `ours forward PRESET BATCH [WEIGHTS]` or `ours train PRESET BATCH`; each line on stdin is answered by the
//! milliseconds of one more time, by the clock and on all CPUs, and `end` by the most memory that the process had
//! resident, in KiB.

use std::io::{BufRead, Write};
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use moue::base::device::Device;
use moue::base::expression::Expression;
use moue::base::faces::{Batch, Faces};
use moue::base::rng::Rng;
use moue::methods::{MethodConfig, PRESETS};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A batch of noise, with pairs.
fn noise(count: usize, size: usize, device: &Device) -> Batch {
    let mut rng = Rng::stream(0, "noise", 0);
    let mut images = || {
        let values: Vec<f32> = (0..count * 3 * size * size).map(|_| rng.between(-1.0, 1.0)).collect();
        Tensor::<4>::from_data(TensorData::new(values, [count, 3, size, size]), device)
    };
    let (source, truth) = (images(), images());
    let expression = |n: usize| Expression::from_index(n % Expression::COUNT).expect("it is one of them");
    let expressions = (0..count).map(expression).collect();
    let targets = (0..count).map(|n| expression(n + 3)).collect();
    Batch { source: Faces { images: source, expressions }, targets, target_images: Some(truth) }
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, preset, batch, ..] = &arguments[..] else {
        panic!("usage: ours forward|train PRESET BATCH [WEIGHTS]")
    };
    if what == "train" {
        moue_kernels::keep_freed_memory(); // As the program does.
    }
    let preset = PRESETS.iter().find(|known| known.name == preset).expect("a preset's name");
    let (mut method, _) = (preset.settings)();
    if let MethodConfig::Moue(config) = &mut method {
        config.alone = 0; // The discriminator has a say from the first step on.
    }
    let device = Device::flex();
    let batch = noise(batch.parse().expect("a number"), method.image_size(), &device);
    let mut game = method.game(0, &device).expect("presets can be played");
    let translator = game.translator(false);
    let rates = method.learning_rates();
    let mut step = 0;
    let mut once = || match what.as_str() {
        "forward" => {
            let x = batch.source.images.clone();
            translator.edit(x.clone(), &batch.targets).on_square(x).into_data();
        }
        _ => {
            game.step(&batch, rates, &mut Rng::stream(0, "step", step));
            step += 1;
        }
    };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line == "end" {
            writeln!(out, "{}", peak()).expect("somebody listens");
            break;
        }
        let (start, run) = (Instant::now(), cpu());
        once();
        let (clock, run) = (start.elapsed().as_secs_f64() * 1e3, cpu() - run);
        writeln!(out, "{clock:.3} {run:.3}").expect("somebody listens");
        out.flush().expect("somebody listens");
    }
}
