"""The networks of the benchmark by name: their sizes, weights and data, as numpy arrays.

Both sides get the same, so everything random is drawn here. Trainable arrays are called `weight.…`, the data of the one
batch `batch.…`; of several animals what is their own has their name and a slash before the rest. Weights are in PyTorch's layouts; `harness/product.py` makes of them what `striate fit` reads.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from arrays import Arrays


@dataclass(frozen=True)
class Sizes:
    """What is smaller in the miniature of `--quick`."""

    batch: int
    neurons: int
    height: int
    width: int
    width_of_layer: tuple[int, ...]
    frames: int = 1


@dataclass(frozen=True)
class Definition:
    """One network: its family, its sizes in full and in miniature, and what tells it from its family."""

    family: str
    full: Sizes
    quick: Sizes
    kernels: tuple[int, ...]
    temporal: tuple[int, ...] = ()
    zeros: float = 0.0
    animals: int = 1

    def sizes(self, quick: bool) -> Sizes:
        return self.quick if quick else self.full


def _what_where(zeros: float = 0.0) -> Definition:
    full = Sizes(128, 1000, 31, 31, (48, 48, 48))
    return Definition("whatwhere", full, Sizes(8, 20, 15, 15, (8, 8, 8)), (13, 3, 3), zeros=zeros)


def _xu(steps: int) -> Definition:
    full = Sizes(256, 68, 60, 80, (128, 64, 32), steps)
    # Running variances are divided by n here and by n - 1 there, which shows in small batches.
    return Definition("xu", full, Sizes(64, 20, 60, 80, (8, 8, 8), steps), (7, 7, 7))


def _video(frames: int, batch: int, temporal: tuple[int, ...], animals: int = 1) -> Definition:
    full = Sizes(batch, 5000, 36, 64, (32, 64, 128), frames)
    quick = Sizes(2, 50, 24, 28, (4, 8, 8), frames)
    return Definition("video", full, quick, (11, 5, 5), temporal, animals=animals)


DEFINITIONS = {
    "a": _what_where(),
    "b90": _what_where(0.90),
    "b95": _what_where(0.95),
    "b99": _what_where(0.99),
    "c": Definition("sensorium", Sizes(128, 5000, 36, 64, (64,) * 4), Sizes(8, 50, 20, 24, (8,) * 4), (9, 7, 7, 7)),
    "d1": _xu(1),
    "d8": _xu(8),
    "e16": _video(16, 8, (5, 3, 3)),
    "e16x4": _video(16, 8, (5, 3, 3), animals=4),
    "e40": _video(40, 4, (11, 5, 5)),
}

BEHAVIOUR = 66
HIDDEN = 512


class Draw:
    """Random arrays from one seed, in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, shape: tuple[int, ...], sd: float = 1.0, mean: float = 0.0) -> np.ndarray:
        return (mean + sd * self.rng.standard_normal(shape)).astype(np.float32)

    def uniform(self, shape: tuple[int, ...], limit: float) -> np.ndarray:
        return self.rng.uniform(-limit, limit, shape).astype(np.float32)

    def weight(self, shape: tuple[int, ...]) -> np.ndarray:
        """A convolution or a linear layer `[out, in, …]`, with the variance that keeps the signal's."""
        return self.normal(shape, prod(shape[1:]) ** -0.5)

    def poisson(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.poisson(1.0, shape).astype(np.float32)

    def offset(self, channels: int) -> np.ndarray:
        return self.normal((channels,), 0.1)

    def gain(self, channels: int) -> np.ndarray:
        return self.normal((channels,), 0.1, 1.0)


def network_arrays(name: str, quick: bool) -> Arrays:
    """Weights and data of the network `name`."""
    definition = DEFINITIONS[name]
    return _FAMILIES[definition.family](definition, definition.sizes(quick), Draw(1))


def _whatwhere_arrays(definition: Definition, sizes: Sizes, draw: Draw) -> Arrays:
    pixels, neurons = sizes.height * sizes.width, sizes.neurons
    out: Arrays = {}
    inputs = 1
    for i, (kernel, outputs) in enumerate(zip(definition.kernels, sizes.width_of_layer)):
        out[f"weight.conv{i}"] = draw.weight((outputs, inputs, kernel, kernel))
        out[f"weight.offset{i}"] = draw.offset(outputs)
        inputs = outputs
    zeros = round(definition.zeros * pixels)
    mask = draw.normal((pixels, neurons), (pixels - zeros) ** -0.5)
    if zeros:
        order = draw.rng.random((pixels, neurons)).argsort(axis=0)
        np.put_along_axis(mask, order[:zeros], 0.0, axis=0)
    out["weight.mask"] = mask
    out["weight.features"] = draw.normal((inputs, neurons), inputs**-0.5)
    out["weight.bias"] = draw.normal((neurons,), 0.1)
    out["batch.images"] = draw.normal((sizes.batch, 1, sizes.height, sizes.width))
    out["batch.responses"] = draw.poisson((sizes.batch, neurons))
    return out


def _gaussian_arrays(sizes: Sizes, channels: int, draw: Draw) -> Arrays:
    neurons = sizes.neurons
    return {
        "weight.position": draw.uniform((neurons, 2), 0.9),
        "weight.spread": draw.uniform((neurons, 2, 2), 0.1),
        "weight.features": draw.normal((channels, neurons), channels**-0.5),
        "weight.bias": draw.normal((neurons,), 0.1),
    }


def _sensorium_arrays(definition: Definition, sizes: Sizes, draw: Draw) -> Arrays:
    channels = sizes.width_of_layer[0]
    out: Arrays = {"weight.conv0": draw.weight((channels, 1, definition.kernels[0], definition.kernels[0]))}
    for i, kernel in list(enumerate(definition.kernels))[1:]:
        out[f"weight.first{i}"] = draw.weight((channels, channels, 1, 1))
        out[f"weight.depthwise{i}"] = draw.weight((channels, 1, kernel, kernel))
        out[f"weight.second{i}"] = draw.weight((channels, channels, 1, 1))
    for i in range(len(definition.kernels)):
        out[f"weight.gain{i}"] = draw.gain(channels)
        out[f"weight.offset{i}"] = draw.offset(channels)
    out |= _gaussian_arrays(sizes, channels, draw)
    out["batch.images"] = draw.normal((sizes.batch, 1, sizes.height, sizes.width))
    out["batch.responses"] = draw.poisson((sizes.batch, sizes.neurons))
    return out


def _xu_arrays(definition: Definition, sizes: Sizes, draw: Draw) -> Arrays:
    n = sizes.neurons
    out: Arrays = {}
    inputs, height, width = 1, sizes.height, sizes.width
    for i, (kernel, outputs) in enumerate(zip(definition.kernels, sizes.width_of_layer)):
        out[f"weight.conv{i}"] = draw.weight((outputs, inputs, kernel, kernel))
        out[f"weight.gain{i}"] = draw.gain(outputs)
        out[f"weight.offset{i}"] = draw.offset(outputs)
        inputs, height, width = outputs, (height - kernel) // 2 + 1, (width - kernel) // 2 + 1
    out["weight.visual.weight"] = draw.weight((n, inputs * height * width))
    out["weight.visual.bias"] = draw.normal((n,), 0.1)
    out["weight.behaviour.gain"] = draw.gain(BEHAVIOUR)
    out["weight.behaviour.offset"] = draw.offset(BEHAVIOUR)
    out["weight.behaviour.weight"] = draw.weight((n, BEHAVIOUR))
    out["weight.behaviour.bias"] = draw.normal((n,), 0.1)
    out["weight.fusion.gain"] = draw.gain(3)
    out["weight.fusion.offset"] = draw.offset(3)
    limit = HIDDEN**-0.5
    out["weight.gru.weight_ih"] = draw.uniform((3 * HIDDEN, 3 * n), limit)
    out["weight.gru.weight_hh"] = draw.uniform((3 * HIDDEN, HIDDEN), limit)
    out["weight.gru.bias_ih"] = draw.uniform((3 * HIDDEN,), limit)
    out["weight.gru.bias_hh"] = draw.uniform((3 * HIDDEN,), limit)
    out["weight.out.weight"] = draw.weight((n, HIDDEN))
    out["weight.out.bias"] = draw.normal((n,), 0.1)
    out["batch.images"] = draw.normal((sizes.frames, sizes.batch, 1, sizes.height, sizes.width))
    out["batch.behaviour"] = draw.normal((sizes.frames, sizes.batch, BEHAVIOUR))
    out["batch.responses"] = draw.poisson((sizes.batch, n))
    return out


def _video_arrays(definition: Definition, sizes: Sizes, draw: Draw) -> Arrays:
    out: Arrays = {}
    inputs, frames = 1, sizes.frames
    layers = zip(definition.kernels, definition.temporal, sizes.width_of_layer)
    for i, (kernel, temporal, outputs) in enumerate(layers):
        out[f"weight.space{i}"] = draw.weight((outputs, inputs, 1, kernel, kernel))
        out[f"weight.time{i}"] = draw.weight((outputs, outputs, temporal, 1, 1))
        out[f"weight.gain{i}"] = draw.gain(outputs)
        out[f"weight.offset{i}"] = draw.offset(outputs)
        inputs, frames = outputs, frames - temporal + 1
    for animal in range(definition.animals):
        own = _gaussian_arrays(sizes, inputs, draw)
        own["batch.images"] = draw.normal((sizes.batch, 1, sizes.frames, sizes.height, sizes.width))
        own["batch.responses"] = draw.poisson((sizes.batch, frames, sizes.neurons))
        name = f".animal{animal}/" if definition.animals > 1 else "."
        out |= {key.replace(".", name, 1): array for key, array in own.items()}
    return out


_FAMILIES = {
    "whatwhere": _whatwhere_arrays,
    "sensorium": _sensorium_arrays,
    "xu": _xu_arrays,
    "video": _video_arrays,
}
