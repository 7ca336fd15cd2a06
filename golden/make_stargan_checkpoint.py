"""Makes stargan-G.ckpt from stargan.safetensors: the generator's state dict as the public PyTorch code saves it.

Not needed to build or to test. Run it in this folder with torch, numpy and safetensors installed:

    python make_stargan_checkpoint.py

yunjey/stargan's instance norms were made with track_running_stats=True, so that its published checkpoints hold
running statistics beside the weights. The network never uses them; an import leaves them out.
"""

from collections import OrderedDict

import torch
from safetensors.torch import load_file

golden = load_file("stargan.safetensors")
prefix = "G."
weights = {name[len(prefix):]: tensor for name, tensor in golden.items() if name.startswith(prefix)}

state = OrderedDict()
for name, tensor in weights.items():
    state[name] = tensor.clone()
    if name.endswith(".bias"):  # only instance norms have one in this generator
        norm, channels = name[: -len("bias")], len(tensor)
        state[norm + "running_mean"] = torch.linspace(-1, 1, channels)
        state[norm + "running_var"] = torch.linspace(1, 2, channels)
        state[norm + "num_batches_tracked"] = torch.tensor(200000)

torch.save(state, "stargan-G.ckpt")
