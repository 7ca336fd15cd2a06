//! Products of matrices with vectors against burn's own.

use burn::tensor::{Device, Distribution, Tensor};
use moue_kernels::{bilinear, matrix_vector, vector_matrix};

fn close<const D: usize>(ours: Tensor<D>, theirs: Tensor<D>) {
    let length = |tensor: Tensor<D>| tensor.square().sum().sqrt().into_scalar::<f32>();
    let (error, scale) = (length(ours - theirs.clone()), length(theirs));
    assert!(error <= 1e-5 * scale.max(1.0), "{error} of {scale}");
}

#[test]
fn products_and_the_gradient_equal_burns() {
    let device = Device::flex().autodiff();
    let random = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    for [rows, columns] in [[1, 1], [3, 5], [64, 100], [33, 5000]] {
        let (left, right) = (random([1, rows]), random([columns, 1]));
        let matrix = random([columns, rows]);
        let turned = matrix.clone().transpose(); // Not contiguous.
        let (left_vector, right_vector) = (left.clone().flatten(0, 1), right.clone().flatten(0, 1));
        close(
            matrix_vector(turned.clone(), right_vector.clone()),
            turned.clone().matmul(right.clone()).flatten(0, 1),
        );
        close(
            vector_matrix(left_vector.clone(), turned.clone()),
            left.clone().matmul(turned.clone()).flatten(0, 1),
        );
        let of = |form: &dyn Fn(Tensor<2>) -> Tensor<1>| {
            let matrix = matrix.clone().require_grad();
            let value = form(matrix.clone().transpose());
            let mut gradients = (value.clone() * 3.0).backward();
            (value.without_autodiff(), matrix.grad_remove(&mut gradients).expect("the matrix is tracked"))
        };
        let ours = of(&|matrix| bilinear(left_vector.clone(), matrix, right_vector.clone()));
        let theirs = of(&|matrix| left.clone().matmul(matrix).matmul(right.clone()).flatten(0, 1));
        close(ours.0, theirs.0);
        close(ours.1, theirs.1);
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let device = Device::flex();
    let matrix = Tensor::<2>::random([300, 5001], Distribution::Normal(0.0, 1.0), &device);
    let (left, right) = (Tensor::<1>::ones([300], &device), Tensor::<1>::ones([5001], &device));
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        pool.install(|| {
            let (matrix, left, right) = (matrix.clone(), left.clone(), right.clone());
            let tensors = [
                matrix_vector(matrix.clone(), right.clone()),
                vector_matrix(left.clone(), matrix.clone()),
                bilinear(left, matrix, right),
            ];
            tensors.map(|tensor| tensor.into_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>())
        })
    };
    let single = bits(1);
    assert!([2, 3].into_iter().all(|threads| bits(threads) == single));
}
