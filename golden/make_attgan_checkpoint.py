"""Makes attgan-weights.pth from attgan.safetensors: the generator as the public PyTorch port saves it.

Not needed to build or to test. Run it in this folder with torch installed:

    python make_attgan_checkpoint.py

elvisyjlin/AttGAN-PyTorch saves {"G": state dict}, with the running statistics of its batch norms, which the generator
needs, and their counters, which nothing needs.
"""

import json
from collections import OrderedDict

import torch

with open("attgan.safetensors", "rb") as file:
    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    data = bytearray(file.read())

state = OrderedDict()
for name in sorted(header):
    if name.startswith("G."):
        entry = header[name]
        begin, end = entry["data_offsets"]
        dtype = {"F32": torch.float32, "I64": torch.int64}[entry["dtype"]]
        size = torch.empty(0, dtype=dtype).element_size()
        tensor = torch.frombuffer(data, dtype=dtype, offset=begin, count=(end - begin) // size)
        state[name[2:]] = tensor.reshape(entry["shape"]).clone()

torch.save({"G": state}, "attgan-weights.pth")
