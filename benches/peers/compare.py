"""Times moue beside PyTorch and ONNX Runtime: the same networks with the same weights, in turn.

Prints a Markdown table. A ratio is a peer's time divided by ours of the same round, so above 1 ours is faster; it is the
median over rounds. Nothing is timed whose output differs. See README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
PEERS = ["eager", "channels_last", "compile", "onnxruntime"]
CASES = [
    "forward sasn 1",
    "forward sasn 16",
    "forward moue 1",
    "forward moue 16",
    "forward moue-close 1",
    "forward sasn-small 1",
    "forward stargan 1",
    "train sasn-small 8",
    "train stargan-small 8",
    "train moue-small 8",
    "train moue 8",
    "train moue-close 8",
    "train sasn 4",
    "train stargan 4",
    "features inception 8",
]
# How far an output or a loss may be from ours: where everybody computes in f32, and where a GPU may round factors of
# products to 11 bits (TF32).
TOLERANCE, TF32_TOLERANCE = 1e-4, 3e-2


class Differs(Exception):
    pass


class Ended(Exception):
    pass


class Participant:
    """A process that does one thing whenever it is asked to."""

    def __init__(self, name, command, threads, options):
        self.name, self.times = name, []
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        environment["MOUE_DEVICE"] = options.device
        if options.exact:
            environment["MOUE_EXACT"] = "1"
        self.log = tempfile.TemporaryFile("w+")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise Ended(f"{self.name} ended:\n{self.log.read()[-4000:]}")
        return line

    def ask(self, word):
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said last is in its log
        return self.line()

    def run(self, count):
        """Milliseconds a time of so many times, by the clock and on all CPUs."""
        each = [[float(part) for part in self.ask("again").split()] for _ in range(count)]
        return [sum(column) / count for column in zip(*each)]

    def end(self):
        """The most memory that it had since it was reset, in MiB."""
        kibibytes = int(self.ask("end"))
        self.process.wait()
        return kibibytes / 1024


def checked(peer, options, warn):
    """Waits for a peer's comparison of what it gives with what ours gave."""
    apart = float(peer.line())
    rounded = options.device.startswith("cuda") and not options.exact
    if not apart <= (TF32_TOLERANCE if rounded else TOLERANCE):
        raise Differs(f"{peer.name} differs from ours by {apart:.1e}, so it is not timed")
    warn(f"  {peer.name} agrees with ours to {apart:.1e}")
    return apart


def steps_of_a_round(file):
    """How many steps update every player, by the losses in a dump."""
    with open(file, "rb") as bytes_of:
        header = json.loads(bytes_of.read(int.from_bytes(bytes_of.read(8), "little")))
    return max((int(name.split(".")[1]) + 1 for name in header if name.startswith("step.")), default=1)


def compare(case, threads, options, warn):
    what, preset, batch = case.split()
    arguments = [what, preset, batch]
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "dump.safetensors")
        subprocess.run([options.ours, "dump", *arguments, file], check=True)
        steps = steps_of_a_round(file)
        everyone = [Participant("ours", [options.ours, *arguments], threads, options)]
        if options.before:
            everyone.append(Participant("before", [options.before, *arguments], threads, options))
        apart = {}
        for kind in options.peers:
            if kind == "onnxruntime" and what == "train":
                continue  # it does not train
            command = [sys.executable, str(HERE / "peer.py"), kind, what, file, "--threads", str(threads)]
            command += ["--device", options.device] + ["--exact"] * options.exact
            peer = Participant(kind, command, threads, options)
            try:
                apart[kind] = checked(peer, options, warn)
                everyone.append(peer)
            except (Differs, Ended) as problem:
                warn(f"  {problem}")
                apart[kind] = None
                peer.process.kill()
    slowest = 0
    for participant in list(everyone):
        try:
            participant.run(steps)
            slowest = max(slowest, participant.run(steps)[0])
        except Ended as problem:  # an older program does not know every case
            if participant.name == "ours":
                raise SystemExit(problem) from None
            warn(f"  {problem}")
            everyone.remove(participant)
    for participant in everyone:
        participant.ask("reset")
    # A time of few milliseconds is the mean of several.
    count = steps * max(1, min(20, round(300 / (slowest * steps))))
    for number in range(options.rounds):
        first = number % len(everyone)
        for participant in everyone[first:] + everyone[:first]:
            participant.times.append(participant.run(count))
    return {
        "what": what,
        "preset": preset,
        "batch": int(batch),
        "threads": threads,
        "rounds": options.rounds,
        "participants": {p.name: summary(p, everyone[0], apart.get(p.name)) for p in everyone},
        "left_out": [name for name, distance in apart.items() if distance is None],
    }


def summary(participant, ours, apart):
    clock, cpu = zip(*participant.times)
    ratio = lambda n: median(theirs[n] / own[n] for theirs, own in zip(participant.times, ours.times))
    return {
        "clock_ms": median(clock),
        "cpu_ms": median(cpu),
        "clock_ratio": ratio(0),
        "cpu_ratio": ratio(1),
        "peak_mib": participant.end(),
        "difference": apart,
        "rounds": participant.times,
    }


def table(results, names):
    """A row a case: ours in ms, and beside it what the others take of ours."""
    def number(value):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"

    head = ["what", "batch", "threads", "ours, ms", "CPU ms"] + names[1:] + ["peak, MiB: " + " / ".join(names)]
    rows = [head, ["---"] * len(head)]
    for result in results:
        by = result["participants"]
        ours = by["ours"]
        cells = [f"{result['what']} `{result['preset']}`", str(result["batch"]), str(result["threads"])]
        cells += [number(ours["clock_ms"]), number(ours["cpu_ms"])]
        for name in names[1:]:
            there = by.get(name)
            left_out = "differs" if name in result["left_out"] else "-"
            cells.append(f"{there['clock_ratio']:.2f} ({there['cpu_ratio']:.2f})" if there else left_out)
        cells.append(" / ".join(f"{by[name]['peak_mib']:.0f}" if name in by else "-" for name in names))
        rows.append(cells)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = HERE.parent.parent / "target" / "release" / "ours"
    parser.add_argument("--ours", default=str(default), help="our program (default: target/release/ours)")
    parser.add_argument("--before", help="an older `ours`, put into the same alternation")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="default: all")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="default: 1 2")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0, for which `ours` is built with cuda (default: cpu)")
    parser.add_argument("--exact", action="store_true", help="on a GPU, everybody without TF32")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--case", action="append", help="such as 'forward sasn 1'; may be repeated (default: all)")
    parser.add_argument("--json", help="writes every time to this file, too")
    options = parser.parse_args()
    warn = lambda text: print(text, file=sys.stderr, flush=True)
    names = ["ours"] + (["before"] if options.before else []) + options.peers
    results = []
    for case in options.case or CASES:
        for threads in options.threads:
            warn(f"{case}, {threads} thread{'s' * (threads > 1)}")
            results.append(compare(case, threads, options, warn))
            warn(table(results[-1:], names).splitlines()[-1])
            if options.json:
                Path(options.json).write_text(json.dumps(results, indent=1))
    print("Ratios: a peer's time divided by ours, by the clock (and on all CPUs).\n")
    print(table(results, names))


if __name__ == "__main__":
    main()
