"""Counts what a step asks of a GPU, kernel by kernel, and how long each takes there.

CubeCL logs every launch, and waits for it, so the times are of kernels alone: what the program needs to give them is not in
them. Works on any device that `ours` was built for, a Vulkan driver in software too. See README.md.
"""

import argparse
import os
import re
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
MILLISECONDS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}
LINE = re.compile(r"\| ([0-9.]+)(ns|µs|ms|s) *\| (.+?)(?:_[0-9a-f]{8})?$")


def launches(options, times):
    """What is launched when `ours` starts and does its work so many times: kernels and milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        environment = os.environ | {"MOUE_DEVICE": options.device, "CUBECL_DEBUG_LOG": str(log)}
        environment["CUBECL_DEBUG_OPTION"] = "profile"
        if options.exact:
            environment["MOUE_EXACT"] = "1"
        command = [options.ours, options.what, options.preset, options.batch]
        words = "again\n" * times + "end\n"
        subprocess.run(command, input=words, text=True, check=True, env=environment, stdout=subprocess.DEVNULL)
        found = map(LINE.match, log.read_text(errors="replace").splitlines())
        return [(match[3], float(match[1]) * MILLISECONDS[match[2]]) for match in found if match]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = HERE.parent.parent / "target" / "release" / "ours"
    parser.add_argument("--ours", default=str(default), help="our program (default: target/release/ours)")
    parser.add_argument("--device", default="cuda:0", help="cuda:0 or wgpu (default: cuda:0)")
    parser.add_argument("--exact", action="store_true", help="as `moue --exact`")
    parser.add_argument("what", choices=["forward", "train", "features"])
    parser.add_argument("preset")
    parser.add_argument("batch")
    options = parser.parse_args()
    launches(options, 1)  # kernels are tried out and compiled
    last = launches(options, 3)[len(launches(options, 2)) :]
    kernels = defaultdict(list)
    for name, milliseconds in last:
        kernels[name].append(milliseconds)
    print("| kernel | launches | ms |\n|---|---:|---:|")
    for name, times in sorted(kernels.items(), key=lambda kernel: -sum(kernel[1])):
        print(f"| {name.replace(' | ', ' ')} | {len(times)} | {sum(times):.3f} |")
    print(f"| all | {len(last)} | {sum(time for _, time in last):.3f} |")


if __name__ == "__main__":
    main()
