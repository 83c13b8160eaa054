"""One variant of PyTorch as a process that does what the lines on its standard input ask for.

A request and its answer are one line of JSON each:

    {"do": "load", "family": …, "file": …, "recording": …}
                                                  weights and batch              → {}
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

import numpy as np
import torch

import arrays
from peer.networks import FAMILIES, GaussianReadout, Tensors, poisson
from peer.prefer import Search

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
    """A network, the batch of each animal, and the optimiser."""

    def __init__(
        self, family: str, path: Path, recording: Path | None, compiled: bool, channels_last: bool
    ) -> None:
        torch._dynamo.reset()
        weights, batch = self._read(path)
        self.batches = arrays.by_animal(batch)
        self.recording = recording
        # The steps of `xu` are images of one channel, for which both layouts are the same.
        self.kept: Callable = to_channels_last if channels_last and family != "xu" else (lambda x: x)
        self.network = FAMILIES[family](weights)
        if channels_last:
            self.network._apply(to_channels_last)
            self.batches = {
                animal: {name: self.kept(x) for name, x in batch.items()} for animal, batch in self.batches.items()
            }
        compile_if: Callable = torch.compile if compiled else (lambda function: function)
        for animal, batch in enumerate(self.batches.values()):
            batch["animal"] = animal
        self.loss = compile_if(lambda batch: poisson(self.network(batch), batch["responses"]))
        self.rates = compile_if(lambda batch: self.network(batch))
        # Masks with zeros stand still (see docs/BENCHMARKS.md); all else of their step is done.
        still = [p for name, p in self.network.named_parameters() if name == "mask" and family == "whatwhere-sparse"]
        still += [self.network.mask] if getattr(self.network, "support", None) is not None else []
        moving = [p for p in self.network.parameters() if all(p is not other for other in still)]
        groups = [{"params": moving}] + ([{"params": still, "lr": 0.0}] if still else [])
        self.optimiser = torch.optim.Adam(groups, lr=LEARNING_RATE, foreach=True)

    @staticmethod
    def _read(path: Path) -> tuple[Tensors, Tensors]:
        tensors = {name: torch.from_numpy(array) for name, array in arrays.load(path).items()}
        named = lambda kind: {name[len(kind) :]: x for name, x in tensors.items() if name.startswith(kind)}
        return named("weight."), named("batch.")

    def train(self) -> float:
        """One step on the sum of the gradients of all animals, taken one after another; the mean loss before it."""
        self.network.train()
        self.optimiser.zero_grad()
        losses = [self.backward(batch) for batch in self.batches.values()]
        self.network.after_backward()
        self.optimiser.step()
        return sum(losses) / len(losses)

    def backward(self, batch: Tensors) -> float:
        loss = self.loss(batch)
        loss.backward()
        return loss.item()

    def read(self) -> float:
        """One step with a batch that is read from the files of the recording."""
        for animal, batch in self.batches.items():
            self.load(batch, self.recording / animal / "data")
        return self.train()

    def load(self, batch: Tensors, data: Path) -> None:
        clips = (data / "videos").is_dir()
        load = lambda kind, i: np.load(data / kind / f"{i}.npy")
        trials = range(len(batch["responses"]))
        if "behaviour" in batch:
            # Steps come first here; the last sample is that of the response.
            images = np.stack([load("videos", i).transpose(2, 0, 1)[:-1, None] for i in trials], 1)
            behaviour = np.stack([load("behavior", i).T[:-1] for i in trials], 1)
            batch["behaviour"] = torch.from_numpy(np.ascontiguousarray(behaviour))
            responses = np.stack([load("responses", i)[:, -1] for i in trials])
        elif clips:
            # Time comes last in the files; the first samples have no prediction.
            images = np.stack([load("videos", i).transpose(2, 0, 1)[None] for i in trials])
            kept = batch["responses"].shape[1]
            responses = np.stack([load("responses", i).T[-kept:] for i in trials])
        else:
            images = np.stack([load("images", i) for i in trials])
            responses = np.stack([load("responses", i) for i in trials])
        batch["images"] = self.kept(torch.from_numpy(np.ascontiguousarray(images)))
        batch["responses"] = torch.from_numpy(responses)

    def infer(self) -> float:
        """One forward pass of each animal in evaluation mode; the mean loss."""
        self.network.eval()
        with torch.inference_mode():
            losses = [poisson(self.rates(batch), batch["responses"]).item() for batch in self.batches.values()]
        return sum(losses) / len(losses)

    def prefer(self) -> float:
        """Ten steps towards what 64 neurons prefer; their mean response."""
        batch = next(iter(self.batches.values()))
        return Search(self.network, batch["responses"].shape[-1], batch["images"].shape[1:]).run()

    def check(self) -> dict[str, float]:
        """At mean positions, since every side has draws of its own."""
        readouts = [part for part in self.network.modules() if isinstance(part, GaussianReadout)]
        for readout in readouts:
            readout.draws = False
        losses = [self.train() for _ in range(4)]
        for readout in readouts:
            readout.draws = True
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
        step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall / count, "cpu": cpu / count}


def peak(step: Callable[[], float], count: int, baseline: int) -> dict[str, int]:
    timed(step, 2)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak: compiling is not charged
    timed(step, count)
    return {"baseline": baseline, "peak": resident("VmHWM")}


def answer(request: dict, trainer: Trainer | None, baseline: int) -> dict:
    if request["do"] == "check":
        return trainer.check()
    step = getattr(trainer, request["mode"])
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
            recording = request["recording"] and Path(request["recording"])
            trainer = Trainer(family, Path(request["file"]), recording, options.compile, options.channels_last)
            reply = {}
        else:
            reply = answer(request, trainer, baseline)
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
