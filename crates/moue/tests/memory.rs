//! Attention never holds the whole map of all positions by all positions, in training neither.
//!
//! Measured in a process of its own, since the peak of a process never falls: the test starts its own program again.
#![cfg(target_os = "linux")]

#[path = "support/noise.rs"]
mod noise;

use burn::tensor::Tensor;
use moue::base::device::Device;
use moue::base::rng::Rng;
use moue::nn::module::{for_each, gradients, tracked};
use moue::nn::self_attention::SelfAttention;

/// Set in the process that measures.
const MEASURE: &str = "MOUE_TEST_MEASURE_ATTENTION";

/// One map of 4096 by 4096 positions for each of 16 images in f32.
const WHOLE_MAP_MIB: usize = 16 * 4096 * 4096 * 4 >> 20;

/// Measured: 219 MiB with tiles of 32 MiB. Each tensor of the input's size has 32 MiB: the value, the attended value,
/// the result, and as many gradients.
const BOUND_MIB: usize = 400;

#[test]
fn attention_at_64_pixels_and_batch_16_stays_below_the_bound() {
    if std::env::var_os(MEASURE).is_some() {
        println!("grown by {} MiB", measure());
        return;
    }
    let test = "attention_at_64_pixels_and_batch_16_stays_below_the_bound";
    let output = std::process::Command::new(std::env::current_exe().expect("a test knows its program"))
        .args([test, "--exact", "--nocapture"])
        .env(MEASURE, "1")
        .output()
        .expect("the test's program can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let grown = text.split("grown by ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let grown: usize = grown.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    println!("grown by {grown} MiB, the whole map has {WHOLE_MAP_MIB} MiB");
    assert!(grown < BOUND_MIB, "{grown} MiB");
}

/// How much the peak memory grows in MiB through a forward and a backward pass of attention.
fn measure() -> usize {
    let device = Device::flex();
    let block = SelfAttention::new(128, &device, &mut Rng::stream(0, "block", 0));
    let x = noise::noise(16, 64, 0, &device).source.images;
    let x: Tensor<4> = x.repeat_dim(1, 43).slice_dim(1, 0..128); // [16, 128, 64, 64]
    let before = peak();
    let mut block = tracked(&block);
    let y = block.forward(x.autodiff().require_grad());
    let gradients = gradients(&mut block, &mut (y.clone() * y).sum().backward());
    let mut count = 0;
    for_each(&mut block, |_, _, _| count += 1);
    assert_eq!(gradients.len(), count);
    peak() - before
}

/// The most memory this process has had resident so far, in MiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux states it");
    let number = line.split_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok());
    number.expect("in kB") / 1024
}
