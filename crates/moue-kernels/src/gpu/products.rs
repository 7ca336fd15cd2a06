//! Products of a matrix with vectors, in f32 throughout: spectral norm counts on the digits that tensor cores leave out.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{LANES, element_wise, empty, sum_of_units, summing};
use crate::products::SHORTEST;

/// See [`crate::matrix_vector`].
pub(super) fn matrix_vector(matrix: CubeTensor, vector: CubeTensor) -> CubeTensor {
    let [rows, columns] = matrix.shape().dims();
    let product = empty(&matrix, [rows]);
    let units = summing(&matrix);
    matrix_vector_kernel::launch(
        &product.client,
        CubeCount::new_1d(rows as u32),
        CubeDim::new_2d(LANES, units / LANES),
        into_contiguous(matrix).into_buffer_arg(),
        into_contiguous(vector).into_buffer_arg(),
        product.clone().into_buffer_arg(),
        columns as u32,
        units as usize,
    );
    product
}

/// See [`crate::vector_matrix`].
pub(super) fn vector_matrix(vector: CubeTensor, matrix: CubeTensor) -> CubeTensor {
    let [rows, columns] = matrix.shape().dims();
    let product = empty(&matrix, [columns]);
    let units = summing(&matrix);
    vector_matrix_kernel::launch(
        &product.client,
        CubeCount::new_1d(columns.div_ceil(LANES as usize) as u32),
        CubeDim::new_2d(LANES, units / LANES),
        into_contiguous(vector).into_buffer_arg(),
        into_contiguous(matrix).into_buffer_arg(),
        product.clone().into_buffer_arg(),
        rows as u32,
        columns as u32,
        units as usize,
    );
    product
}

/// See [`crate::bilinear`].
pub(super) fn bilinear(left: CubeTensor, matrix: CubeTensor, right: CubeTensor) -> CubeTensor {
    let product = matrix_vector(matrix, right);
    let sum = empty(&product, [1]);
    let units = summing(&product);
    let length = product.meta.num_elements() as u32;
    dot_kernel::launch(
        &sum.client,
        CubeCount::new_single(),
        CubeDim::new_2d(LANES, units / LANES),
        into_contiguous(left).into_buffer_arg(),
        product.into_buffer_arg(),
        sum.clone().into_buffer_arg(),
        length,
        units as usize,
    );
    sum
}

/// `scale left_i right_j`.
pub(super) fn outer_product(left: CubeTensor, right: CubeTensor, scale: CubeTensor) -> CubeTensor {
    let [rows, columns] = [&left, &right].map(|vector| vector.meta.num_elements());
    let product = empty(&left, [rows, columns]);
    let (count, dim) = element_wise(&left, rows * columns);
    outer_product_kernel::launch(
        &product.client,
        count,
        dim,
        into_contiguous(left).into_buffer_arg(),
        into_contiguous(right).into_buffer_arg(),
        scale.into_buffer_arg(),
        product.clone().into_buffer_arg(),
        columns as u32,
    );
    product
}

/// See [`crate::normalised`].
pub(super) fn normalised(vector: CubeTensor) -> CubeTensor {
    let vector = into_contiguous(vector);
    let length = vector.meta.num_elements();
    let y = empty(&vector, [length]);
    let units = summing(&vector);
    normalised_kernel::launch(
        &y.client,
        CubeCount::new_single(),
        CubeDim::new_2d(LANES, units / LANES),
        vector.into_buffer_arg(),
        y.clone().into_buffer_arg(),
        length as u32,
        SHORTEST,
        units as usize,
    );
    y
}

/// A cube for each row.
#[cube(launch)]
fn matrix_vector_kernel(
    matrix: &[f32],
    vector: &[f32],
    product: &mut [f32],
    columns: u32,
    #[comptime] units: usize,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let row = CUBE_POS as u32 * columns;
    let mut sum = 0.0f32;
    let mut column = UNIT_POS;
    while column < columns {
        sum += matrix[(row + column) as usize] * vector[column as usize];
        column += CUBE_DIM;
    }
    let sum = sum_of_units(sum, &mut shared, false);
    if UNIT_POS == 0u32 {
        product[CUBE_POS] = sum;
    }
}

/// A cube for as many columns as it has lanes.
#[cube(launch)]
fn vector_matrix_kernel(
    vector: &[f32],
    matrix: &[f32],
    product: &mut [f32],
    rows: u32,
    columns: u32,
    #[comptime] units: usize,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let column = CUBE_POS as u32 * LANES + UNIT_POS_X;
    let mut sum = 0.0f32;
    if column < columns {
        let mut row = UNIT_POS_Y;
        while row < rows {
            sum += vector[row as usize] * matrix[(row * columns + column) as usize];
            row += CUBE_DIM_Y;
        }
    }
    let sum = sum_of_units(sum, &mut shared, true);
    if UNIT_POS_Y == 0u32 && column < columns {
        product[column as usize] = sum;
    }
}

#[cube(launch)]
fn dot_kernel(left: &[f32], right: &[f32], dot: &mut [f32], length: u32, #[comptime] units: usize) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let sum = sum_of_units(product_of_unit(left, right, length), &mut shared, false);
    if UNIT_POS == 0u32 {
        dot[0] = sum;
    }
}

/// What a unit of a single cube has of the product of two vectors.
#[cube]
fn product_of_unit(left: &[f32], right: &[f32], length: u32) -> f32 {
    let mut sum = 0.0f32;
    let mut n = UNIT_POS;
    while n < length {
        sum += left[n as usize] * right[n as usize];
        n += CUBE_DIM;
    }
    sum
}

#[cube(launch)]
fn outer_product_kernel(left: &[f32], right: &[f32], scale: &[f32], product: &mut [f32], columns: u32) {
    if ABSOLUTE_POS >= product.len() {
        terminate!();
    }
    let place = ABSOLUTE_POS as u32;
    product[ABSOLUTE_POS] = left[(place / columns) as usize] * scale[0] * right[(place % columns) as usize];
}

#[cube(launch)]
fn normalised_kernel(vector: &[f32], y: &mut [f32], length: u32, shortest: f32, #[comptime] units: usize) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let square = sum_of_units(product_of_unit(vector, vector, length), &mut shared, false);
    let factor = 1.0f32 / max(square.sqrt(), shortest);
    let mut n = UNIT_POS;
    while n < length {
        y[n as usize] = vector[n as usize] * factor;
        n += CUBE_DIM;
    }
}
