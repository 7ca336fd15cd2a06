"""A peer's side of the comparison: does one thing again whenever it is asked to, and says how long it took.

Speaks as `ours` does, but for its first line: how far what it gives is from what `ours dump` wrote. Started by compare.py.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

import networks
import training

STILL = 1e-9  # as ours.rs has it
KINDS = ["eager", "channels_last", "compile", "onnxruntime"]


def read(path, device):
    """Tensors and settings of a dump."""
    with safe_open(path, "pt") as file:
        metadata = (file.metadata() or {}).get("moue", "")
    tensors = load_file(path, device)
    for name in ("expressions", "targets"):
        if name in tensors:
            tensors[name] = tensors[name].long()
    return tensors, json.loads(metadata) if metadata else {"name": "inception"}


def generator(tensors, settings):
    if settings["name"] == "inception":
        return networks.inception(tensors)
    network = networks.NETWORKS[settings["name"]][0](settings)
    networks.load(network, tensors, "generator")
    return network


class Shown(torch.nn.Module):
    """What is seen of a network: the result alone, without moue's edit."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *inputs):
        output = self.network(*inputs)
        return output[0] if isinstance(output, tuple) else output


def forward(kind, tensors, settings, threads):
    """A function that makes the output once."""
    network = Shown(generator(tensors, settings)).eval().requires_grad_(False)
    inputs = [tensors["source"]] + ([tensors["targets"]] if "targets" in tensors else [])
    if kind == "onnxruntime":
        return onnx_forward(network, inputs, threads)
    if kind == "channels_last":
        network, inputs[0] = channels_last(network), channels_last(inputs[0])
    if kind == "compile":
        import torch._inductor.config as inductor

        inductor.freezing = True  # weights are constants, packed once for oneDNN
        network = torch.compile(network)

    # Frozen weights are folded under no_grad alone.
    mode = torch.no_grad if kind == "compile" else torch.inference_mode

    def once():
        with mode():
            return network(*inputs)

    return once


def onnx_forward(network, inputs, threads):
    import tempfile

    import onnxruntime

    names = ["source", "targets"][: len(inputs)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.onnx")
        torch.onnx.export(network, tuple(inputs), path, input_names=names, opset_version=20, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.force_spinning_stop", "1")  # the others' turn is next
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {name: tensor.numpy() for name, tensor in zip(names, inputs)}
    return lambda: torch.from_numpy(session.run(None, given)[0])


def channels_last(x):
    return x.to(memory_format=torch.channels_last)


def train(kind, tensors, settings):
    """The players, ready to step."""
    players = {}
    for player, network in zip(("generator", "discriminator"), networks.NETWORKS[settings["name"]]):
        players[player] = network(settings).train()
        networks.load(players[player], tensors, player)
    names = ("source", "truth", "expressions", "targets", "mixing", "gains")
    batch = {name: tensor for name, tensor in tensors.items() if name.split(".")[0] in names}
    if kind == "channels_last":
        players = {name: channels_last(network) for name, network in players.items()}
        batch |= {name: channels_last(batch[name]) for name in ("source", "truth")}
    game = training.GAMES[settings["name"]](settings, **players, batch=batch)
    if kind == "compile":
        game.compile()
    return game


def distance(once, tensors):
    """How far the output is from what ours gave, as a part of the largest value where that is above 1."""
    output, expected = once().flatten(), tensors["output"].flatten()
    return float((output - expected).abs().max() / expected.abs().max().clamp(min=1))


def distance_of_losses(game, tensors):
    """How far the losses of a round are from ours, relative where a loss is above 1. No weight moves meanwhile."""
    game.scale_rates(STILL)
    apart, step = 0.0, 0
    while any(name.startswith(f"step.{step}.") for name in tensors):
        prefix = f"step.{step}."
        expected = {name[len(prefix) :]: float(t) for name, t in tensors.items() if name.startswith(prefix)}
        found = {name: float(loss) for name, loss in game.step().items()}
        if expected.keys() != found.keys():
            raise SystemExit(f"step {step} has the losses {sorted(found)}, not {sorted(expected)}")
        each = [abs(found[name] - value) / max(1, abs(value)) for name, value in expected.items()]
        apart = max(apart, *(distance if math.isfinite(distance) else math.inf for distance in each))
        step += 1
    game.scale_rates(1 / STILL)
    return apart


def cpu():
    """Milliseconds that all threads of this process have run."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # the thread ended meanwhile
    return total / 1e6


def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("VmHWM:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("what", choices=["forward", "train", "features"])
    parser.add_argument("file", help="what `ours dump` wrote")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--exact", action="store_true", help="on a GPU, without TF32")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(arguments.device)
    if arguments.exact:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    tensors, settings = read(arguments.file, arguments.device)
    ended = torch.cuda.synchronize if arguments.device.startswith("cuda") else lambda: None
    answers = sys.stdout
    sys.stdout = sys.stderr  # exporters print
    if arguments.what == "train":
        game = train(arguments.kind, tensors, settings)
        apart, once = distance_of_losses(game, tensors), game.step
    else:
        once = forward(arguments.kind, tensors, settings, arguments.threads)
        apart = distance(once, tensors)
    del tensors
    print(apart, file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            print(peak(), file=answers, flush=True)
            break
        if line.strip() == "reset":
            Path("/proc/self/clear_refs").write_text("5")
            print("true", file=answers, flush=True)
            continue
        start, run = time.perf_counter(), cpu()
        once()
        ended()
        clock, run = (time.perf_counter() - start) * 1e3, cpu() - run
        print(f"{clock:.3f} {run:.3f}", file=answers, flush=True)


if __name__ == "__main__":
    main()
