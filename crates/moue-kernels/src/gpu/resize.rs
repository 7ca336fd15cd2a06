//! Halving and doubling of images and maps, and their gradients: a unit for each number that is written.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{dense, element_wise, empty_laid, memory};

/// What is made of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Change {
    Halved,
    HalvedGradient,
    Doubled,
    DoubledGradient,
}

/// `[batch, channels, h, w]` at half or twice the size.
pub(super) fn resized(x: CubeTensor, change: Change) -> CubeTensor {
    let (x, layout) = dense(x);
    let [batch, channels, height, width] = x.shape().dims();
    let [new_height, new_width] = match change {
        Change::Halved | Change::DoubledGradient => [height / 2, width / 2],
        Change::Doubled | Change::HalvedGradient => [height * 2, width * 2],
    };
    let y = empty_laid(&x, [batch, channels, new_height, new_width], layout);
    let (count, dim) = element_wise(&y, y.meta.num_elements());
    // Interleaved, a place of the map has all channels; planar, it has one number.
    let numbers = if layout.is_interleaved() { channels } else { 1 };
    resize_kernel::launch(
        &y.client,
        count,
        dim,
        memory(x, layout),
        memory(y.clone(), layout),
        (batch * channels * new_height * new_width) as u32,
        height as u32,
        width as u32,
        numbers as u32,
        layout.pitch(),
        change,
    );
    y
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn resize_kernel(
    x: &[f32],
    y: &mut [f32],
    elements: u32,
    height: u32,
    width: u32,
    numbers: u32,
    pitch: u32,
    #[comptime] change: Change,
) {
    let place = ABSOLUTE_POS as u32;
    if place >= elements {
        terminate!();
    }
    let larger = comptime!(matches!(change, Change::Doubled | Change::HalvedGradient));
    let new_height = if comptime!(larger) { height * 2u32 } else { height / 2u32 };
    let new_width = if comptime!(larger) { width * 2u32 } else { width / 2u32 };
    let offset = place % numbers;
    let pixel = place / numbers;
    let column = pixel % new_width;
    let row = (pixel / new_width) % new_height;
    let plane = pixel / (new_width * new_height);
    let base = plane * height * width;

    let mut sum = 0.0f32;
    if comptime!(change == Change::HalvedGradient) {
        sum = 0.25f32 * x[((base + row / 2u32 * width + column / 2u32) * pitch + offset) as usize];
    } else if comptime!(change == Change::Halved) {
        #[unroll]
        for down in 0..2u32 {
            #[unroll]
            for along in 0..2u32 {
                let from = base + (2u32 * row + down) * width + 2u32 * column + along;
                sum += 0.25f32 * x[(from * pitch + offset) as usize];
            }
        }
    } else if comptime!(change == Change::Doubled) {
        // Three quarters of the nearest, a quarter of the next nearest; at the border that is the same.
        let near_row = row / 2u32;
        let near_column = column / 2u32;
        let far_row = next(row, height);
        let far_column = next(column, width);
        let near = 0.75f32 * x[((base + near_row * width + near_column) * pitch + offset) as usize]
            + 0.25f32 * x[((base + near_row * width + far_column) * pitch + offset) as usize];
        let far = 0.75f32 * x[((base + far_row * width + near_column) * pitch + offset) as usize]
            + 0.25f32 * x[((base + far_row * width + far_column) * pitch + offset) as usize];
        sum = 0.75f32 * near + 0.25f32 * far;
    } else {
        // The outputs 2n - 1 to 2n + 2, a quarter of the outer ones; beyond the border those at it.
        #[unroll]
        for down in 0..4u32 {
            let from_row = base + around(row, down, height) * width;
            let mut of_row = 0.0f32;
            #[unroll]
            for along in 0..4u32 {
                let from = from_row + around(column, along, width);
                of_row += share(along) * x[(from * pitch + offset) as usize];
            }
            sum += share(down) * of_row;
        }
    }
    y[(pixel * pitch + offset) as usize] = sum;
}

/// The input that is second nearest to an output of a doubled axis of `size` inputs.
#[cube]
fn next(output: u32, size: u32) -> u32 {
    let near = output / 2u32;
    let before = select(near == 0u32, 0u32, near - 1u32);
    let after = min(near + 1u32, size - 1u32);
    select(output & 1u32 == 0u32, before, after)
}

/// The `n`th of the four outputs around an input, of `size` outputs.
#[cube]
fn around(input: u32, #[comptime] n: u32, size: u32) -> u32 {
    let place = 2u32 * input + n;
    let from = select(place == 0u32, 0u32, place - 1u32);
    min(from, size - 1u32)
}

/// What the `n`th of the four has of an input.
#[cube]
fn share(#[comptime] n: u32) -> f32 {
    comptime!(if n == 0 || n == 3 { 0.25f32 } else { 0.75f32 }).runtime()
}
