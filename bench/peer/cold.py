"""What `striate predict` does on the run of `striate demo`, in PyTorch: arguments are run, stack and output."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import arrays


def main(run: Path, stack: Path, out: Path) -> None:
    weights = {name: torch.from_numpy(array) for name, array in arrays.load(run / WEIGHTS).items()}
    kernel = weights["core.layers.0.weight"]
    norm = kernel.square().sum((2, 3), keepdim=True).sqrt()
    with torch.inference_mode():
        features = F.conv2d(torch.from_numpy(np.load(stack)), kernel / (norm + 1e-5))
        pooled = features.flatten(2) @ weights["readout.mask"]
        np.save(out, (pooled * weights["readout.features"]).sum(1).numpy())


WEIGHTS = "checkpoints/best/weights.safetensors"

if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
