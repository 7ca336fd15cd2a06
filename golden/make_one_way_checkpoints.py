"""Makes pix2pix-G.pth and cyclegan-G_A.pth: the generators' state dicts as junyanz's PyTorch code saves them
(latest_net_G.pth, latest_net_G_A.pth), from pix2pix.safetensors and cyclegan.safetensors.

Not needed to build or to test. Run it in this folder with torch, numpy and safetensors installed:

    python make_one_way_checkpoints.py

CycleGAN's checkpoints from before PyTorch 0.4 hold running statistics of instance norms, which nothing uses: those of the
first norm are put in here, and an import leaves them out. pix2pix's batch norms have theirs in the golden file.
"""

from collections import OrderedDict

import torch
from safetensors.torch import load_file


def weights(case, prefix):
    golden = load_file(f"{case}.safetensors")
    return OrderedDict((name[len(prefix):], tensor) for name, tensor in golden.items() if name.startswith(prefix))


torch.save(weights("pix2pix", "G."), "pix2pix-G.pth")

state = weights("cyclegan", "G_A.")
channels = len(state["model.1.bias"])
state["model.2.running_mean"] = torch.linspace(-1, 1, channels)
state["model.2.running_var"] = torch.linspace(1, 2, channels)
torch.save(state, "cyclegan-G_A.pth")
