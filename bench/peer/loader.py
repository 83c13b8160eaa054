"""A PyTorch `DataLoader` over a recording folder, as a process that does what the lines on its standard input ask for.

    {"do": "open", "recording": …, "normalisation": …, "batches": [[[trial, start], …], …], "samples": n}  → {}
    {"do": "clips"}            makes all batches → seconds of wall time per batch
    {"do": "save", "file": …}  writes the first batch → {}
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import arrays


class Clips(Dataset):
    """Clips of a folder in the Sensorium 2023 layout: the whole file of each stream is loaded, and cut."""

    def __init__(self, recording: str, normalisation: dict, clips: list[list[int]], samples: int) -> None:
        self.data, self.clips, self.samples = Path(recording) / "data", clips, samples
        numbers = lambda values: np.array(values, np.float32)
        self.image = numbers(normalisation["image_mean"]), numbers(normalisation["image_scale"])
        self.response = np.float32(0), numbers(normalisation["response_scale"])
        self.behaviour, self.pupil = (
            (numbers(of["mean"]) if of["centred"] else np.float32(0), numbers(of["scale"]))
            for of in (normalisation["behaviour"], normalisation["pupil"])
        )

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "images": self._read("videos", index, self.image)[:, None],
            "responses": self._read("responses", index, self.response),
            "behaviour": self._read("behavior", index, self.behaviour),
            "pupil": self._read("pupil_center", index, self.pupil),
        }

    def _read(self, kind: str, index: int, scaling: tuple) -> torch.Tensor:
        """Time comes first and the rest of the work is done on the clip alone."""
        (trial, start), (mean, scale) = self.clips[index], scaling
        clip = np.load(self.data / kind / f"{trial}.npy")[..., start : start + self.samples]
        clip = np.ascontiguousarray(np.moveaxis(clip, -1, 0), np.float32)
        return torch.from_numpy((clip - mean) * scale)


def opened(request: dict, workers: int) -> DataLoader:
    clips = [clip for batch in request["batches"] for clip in batch]
    dataset = Clips(request["recording"], request["normalisation"], clips, request["samples"])
    size = len(request["batches"][0])
    return DataLoader(dataset, size, num_workers=workers, persistent_workers=workers > 0)


def timed(loader: DataLoader) -> dict[str, float]:
    begin = time.perf_counter()
    for _ in loader:
        pass
    return {"wall": (time.perf_counter() - begin) / len(loader)}


def save(loader: DataLoader, file: Path) -> None:
    """As rows, the samples of all clips one after another."""
    first = next(iter(loader))
    arrays.save(file, {name: x.flatten(0, 1).numpy() for name, x in first.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loader = None
    for line in sys.stdin:
        request, reply = json.loads(line), {}
        if request["do"] == "open":
            loader = opened(request, options.workers)
        elif request["do"] == "save":
            save(loader, Path(request["file"]))
        else:
            reply = timed(loader)
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
