"""One variant of PyTorch as a process that does what the lines on its standard input ask for.

A request and its answer are one line of JSON each:

    {"do": "load", "family": …, "file": …}       weights and batch              → {}
    {"do": "check"}                               three steps of Adam            → losses before, after, in evaluation
    {"do": "step", "mode": …, "count": n}         n steps                        → seconds of wall and CPU per step
    {"do": "memory", "mode": …, "count": n}       n steps after two more         → bytes: `baseline`, `peak`
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import arrays
from peer.networks import FAMILIES, Tensors, poisson

LEARNING_RATE = 1e-3


def resident(key: str) -> int:
    """`VmRSS` or `VmHWM` of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}; the benchmark needs Linux")


def to_channels_last(x: torch.Tensor) -> torch.Tensor:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=formats[x.dim()]) if x.dim() in formats else x


class Trainer:
    """A network, its batch and its optimiser."""

    def __init__(self, family: str, path: Path, compiled: bool, channels_last: bool) -> None:
        torch._dynamo.reset()
        weights, self.batch = self._read(path)
        self.network = FAMILIES[family](weights)
        if channels_last:
            # The steps of `xu` are images of one channel, for which both layouts are the same.
            self.network._apply(to_channels_last)
            self.batch = {name: x if family == "xu" else to_channels_last(x) for name, x in self.batch.items()}
        compile_if: Callable = torch.compile if compiled else (lambda function: function)
        self.loss = compile_if(lambda: poisson(self.network(self.batch), self.batch["responses"]))
        self.rates = compile_if(lambda: self.network(self.batch))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, foreach=True)

    @staticmethod
    def _read(path: Path) -> tuple[Tensors, Tensors]:
        tensors = {name: torch.from_numpy(array) for name, array in arrays.load(path).items()}
        named = lambda kind: {name[len(kind) :]: x for name, x in tensors.items() if name.startswith(kind)}
        return named("weight."), named("batch.")

    def train(self) -> float:
        """One step; the loss before it."""
        self.network.train()
        self.optimiser.zero_grad()
        loss = self.loss()
        loss.backward()
        self.network.after_backward()
        self.optimiser.step()
        return loss.item()

    def infer(self) -> float:
        """One forward pass in evaluation mode; its loss."""
        self.network.eval()
        with torch.inference_mode():
            rates = self.rates()
            return poisson(rates, self.batch["responses"]).item()

    def check(self) -> dict[str, float]:
        losses = [self.train() for _ in range(4)]
        return {"first": losses[0], "after": losses[3], "evaluation": self.infer()}


def touch_libraries() -> None:
    """One step of a tiny network, so that the pages of PyTorch's libraries are not counted as the network's."""
    conv = torch.nn.Conv2d(2, 2, 3)
    optimiser = torch.optim.Adam(conv.parameters(), foreach=True)
    torch.nn.functional.elu(conv(torch.ones(1, 2, 8, 8))).mean().backward()
    optimiser.step()


def timed(step: Callable[[], float], count: int) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        loss = step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall / count, "cpu": cpu / count, "loss": loss}


def peak(step: Callable[[], float], count: int, baseline: int) -> dict[str, int]:
    timed(step, 2)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak: compiling is not charged
    timed(step, count)
    return {"baseline": baseline, "peak": resident("VmHWM")}


def answer(request: dict, trainer: Trainer | None, baseline: int) -> dict:
    if request["do"] == "check":
        return trainer.check()
    step = trainer.train if request["mode"] == "train" else trainer.infer
    if request["do"] == "memory":
        return peak(step, request["count"], baseline)
    return timed(step, request["count"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--sparse", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    warnings.filterwarnings("ignore", message="Sparse")  # they tell users that the format is young
    touch_libraries()
    baseline, trainer = resident("VmRSS"), None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "load":
            trainer = None
            family = request["family"] + ("-sparse" if options.sparse else "")
            trainer = Trainer(family, Path(request["file"]), options.compile, options.channels_last)
            reply = {}
        else:
            reply = answer(request, trainer, baseline)
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
