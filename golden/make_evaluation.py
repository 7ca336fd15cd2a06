"""Makes evaluation.safetensors and statistics.npz: what moue-evaluation must compute, from public implementations.

Not needed to build or to test. Run it in this folder with torch, torchvision, numpy, scipy, pillow, safetensors,
pytorch-fid 0.3.0 and prdc 0.2 installed, and the weights in a folder (see crates/moue-evaluation/src/networks):

    python make_evaluation.py FOLDER/inception_fid_2015-12-05.safetensors
"""

import json
import sys

import numpy as np
import pytorch_fid.inception as inception
import torch
import torch.nn.functional as F
from PIL import Image
from prdc import compute_prdc
from safetensors.numpy import save_file
from safetensors.torch import load_file

torch.set_num_threads(1)
tensors, facts = {}, {}

# Images by a formula, so that only results are stored: one that grows to 299 x 299, one that shrinks.
SIZES = {"small": (60, 44), "large": (340, 410)}  # width, height


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width]
    # A gradient, a disc and a texture: all spatial frequencies.
    disc = ((2 * x - width) ** 2 + (2 * y - height) ** 2 < (min(width, height) // 2 * 2) ** 2) * 90
    planes = [(x * (3 + c) + y * (5 - c) + disc + (x * y) % (17 + c)) % 256 for c in range(3)]
    return np.stack(planes, 2).astype(np.uint8)


def pytorch_fid_input(image):
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1


def clean_input(image):
    """clean-fid 0.1.35: resize.py, make_resizer("PIL", False, "bicubic", (299, 299)); inception_torchscript.py."""
    planes = [Image.fromarray(image[:, :, c].astype(np.float32)) for c in range(3)]
    planes = [np.asarray(p.resize((299, 299), resample=Image.BICUBIC)).clip(0, 255) for p in planes]
    return (torch.from_numpy(np.stack(planes))[None] - 128) / 128


def load(url, progress=True):
    weights = load_file(sys.argv[1])
    return {**weights, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


inception.load_state_dict_from_url = load
network = inception.InceptionV3([3], resize_input=False, normalize_input=False).eval()
for name, (width, height) in SIZES.items():
    image = picture(width, height)
    for mode, prepare in {"pytorch_fid": pytorch_fid_input, "clean": clean_input}.items():
        x = prepare(image)
        tensors[f"{mode}.{name}.input"] = x[0, :, ::23, ::23].contiguous().numpy()  # every 23rd row and column
        with torch.no_grad():
            tensors[f"{mode}.{name}.features"] = network(x)[0][0, :, 0, 0].contiguous().numpy()

# Sets of vectors: precision and recall with k = 3, density and coverage with k = 5, KID and its jackknife.
rng = np.random.default_rng(7)
real = rng.normal(size=(40, 6)).astype(np.float32)
fake = (rng.normal(size=(30, 6)) * 0.8 + 0.4).astype(np.float32)
tensors["real"], tensors["fake"] = real, fake
three, five = (compute_prdc(real, fake, nearest_k=k) for k in (3, 5))
facts["prdc"] = {
    "precision": three["precision"], "recall": three["recall"], "density": five["density"], "coverage": five["coverage"]
}
facts["prdc"] = {name: float(value) for name, value in facts["prdc"].items()}


def kid(x, y):
    def kernel(a, b):
        return (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3

    def own(a):
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return own(x) + own(y) - 2 * kernel(x, y).mean()


def jackknife(estimates):
    count = len(estimates)
    return (count - 1) / count * np.sum((np.array(estimates) - np.mean(estimates)) ** 2)


left = jackknife([kid(np.delete(real, i, 0), fake) for i in range(len(real))])
right = jackknife([kid(real, np.delete(fake, i, 0)) for i in range(len(fake))])
facts["kid"] = {"value": float(kid(real, fake)), "error": float(np.sqrt(left + right))}

save_file(tensors, "evaluation.safetensors", metadata={"facts": json.dumps(facts)})
np.savez_compressed("statistics.npz", mu=real.mean(0, dtype=np.float64), sigma=np.cov(real, rowvar=False))
print(json.dumps(facts, indent=1))
