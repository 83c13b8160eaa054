"""Predictions of a Sensorium 2022 state dict in plain NumPy.

    python make.py                            writes tiny.pth and golden.json beside this file (needs torch to save)
    python make.py CHECKPOINT SESSION IMAGE.npy [STATE.npy]
                                              prints the response of every neuron of the session, one per line

IMAGE is [1, height, width], as the model takes it (normalised); STATE holds behaviour planes, then the pupil (2).
Layers: correlation without bias, batch normalisation with running statistics, ELU; a full Gaussian readout at its mean
positions, moved by the shifter; ELU + 1.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def correlate(x, weight, pad):
    """x [in, h, w], weight [out, in, k, k] -> [out, h', w']."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    side = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return np.einsum("ihwkl,oikl->ohw", windows, weight, optimize=True)


def depthwise(x, weight, pad):
    """x [c, h, w], weight [c, 1, k, k] -> [c, h', w']."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    side = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return np.einsum("chwkl,ckl->chw", windows, weight[:, 0], optimize=True)


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def core(state, x, linear):
    layer = 0
    while f"core.features.layer{layer}.norm.weight" in state:
        name = f"core.features.layer{layer}"
        if f"{name}.conv.weight" in state:
            x = correlate(x, state[f"{name}.conv.weight"], 0)
        else:
            parts = f"{name}.ds_conv"
            spatial = state[f"{parts}.spatial_conv.weight"]
            x = correlate(x, state[f"{parts}.in_depth_conv.weight"], 0)
            x = depthwise(x, spatial, spatial.shape[-1] // 2)
            x = correlate(x, state[f"{parts}.out_depth_conv.weight"], 0)
        norm = {part: state[f"{name}.norm.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")}
        x = (x - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) * norm["weight"] + norm["bias"]
        x = x if linear else elu(x)
        layer += 1
    return x


def perceptron(state, prefix, x, between, last):
    layers = 0
    while f"{prefix}.{2 * layers}.weight" in state:
        layers += 1
    for i in range(layers):
        x = x @ state[f"{prefix}.{2 * i}.weight"].T + state[f"{prefix}.{2 * i}.bias"]
        x = last(x) if i + 1 == layers else between(x)
    return x


def sample(features, points):
    """Bilinear values [c, n] of features [c, h, w] at points [n, 2] (x, y), -1 to 1, zero outside."""
    _, height, width = features.shape
    x = (points[:, 0] + 1) / 2 * (width - 1)
    y = (points[:, 1] + 1) / 2 * (height - 1)
    out = 0
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = np.floor(y).astype(int) + dy, np.floor(x).astype(int) + dx
            share = (1 - abs(y - row)) * (1 - abs(x - column))
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            values = features[:, np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            out = out + values * (share * inside)
    return out


def respond(state, session, image, extra=(), linear=False):
    """Responses [neuron] to image [1, h, w] with behaviour planes and pupil in `extra`."""
    state = {name: np.asarray(value, np.float64) for name, value in state.items()}
    readout = f"readout.{session}"
    extra = np.asarray(extra, np.float64)
    planes = state["core.features.layer0.conv.weight"].shape[1] - image.shape[0]
    constant = np.ones((planes, *image.shape[1:])) * extra[:planes, None, None]
    features = core(state, np.concatenate([image, constant]), linear)
    points = perceptron(state, f"{readout}.mu_transform", state[f"{readout}.source_grid"], elu, np.tanh)
    points = np.clip(points, -1, 1)
    if f"shifter.{session}.mlp.0.weight" in state:
        points = points + perceptron(state, f"shifter.{session}.mlp", extra[planes:], np.tanh, np.tanh)
    drive = (sample(features, points) * state[f"{readout}._features"][0, :, 0]).sum(0) + state[f"{readout}.bias"]
    return elu(drive) + 1


def tiny(rng):
    """A state dict of the published layout, with few channels and neurons."""
    draw = lambda *shape, scale=1.0: (scale * rng.standard_normal(shape)).astype(np.float32)
    state = {"core._input_weights_regularizer.laplace.filter": draw(1, 1, 3, 3)}
    for layer in range(3):
        name = f"core.features.layer{layer}"
        if layer == 0:
            state[f"{name}.conv.weight"] = draw(6, 4, 5, 5, scale=0.2)
        else:
            state[f"{name}.ds_conv.in_depth_conv.weight"] = draw(6, 6, 1, 1, scale=0.4)
            state[f"{name}.ds_conv.spatial_conv.weight"] = draw(6, 1, 3, 3, scale=0.4)
            state[f"{name}.ds_conv.out_depth_conv.weight"] = draw(6, 6, 1, 1, scale=0.4)
        state[f"{name}.norm.weight"] = 1 + draw(6, scale=0.1)
        state[f"{name}.norm.bias"] = draw(6, scale=0.1)
        state[f"{name}.norm.running_mean"] = draw(6, scale=0.1)
        state[f"{name}.norm.running_var"] = 1 + abs(draw(6))
        state[f"{name}.norm.num_batches_tracked"] = np.array(17, np.int64)
    for session, neurons in (("one", 5), ("other", 2)):
        name = f"readout.{session}"
        state[f"{name}.sigma"] = draw(1, neurons, 2, 2)
        state[f"{name}._features"] = draw(1, 6, 1, neurons)
        state[f"{name}.bias"] = draw(neurons)
        state[f"{name}.source_grid"] = draw(neurons, 2, scale=0.5)
        for part, (outputs, inputs) in (("0", (7, 2)), ("2", (2, 7))):
            state[f"{name}.mu_transform.{part}.weight"] = draw(outputs, inputs)
            state[f"{name}.mu_transform.{part}.bias"] = draw(outputs, scale=0.1)
    for part, (outputs, inputs) in (("0", (5, 2)), ("2", (5, 5)), ("4", (2, 5))):
        state[f"shifter.one.mlp.{part}.weight"] = draw(outputs, inputs, scale=0.3)
        state[f"shifter.one.mlp.{part}.bias"] = draw(outputs, scale=0.1)
    return state


def main():
    if len(sys.argv) > 1:
        import torch

        file, session, image, *rest = sys.argv[1:]
        state = {k: v.numpy() for k, v in torch.load(file, map_location="cpu", weights_only=True).items()}
        extra = np.load(rest[0]) if rest else ()
        for response in respond(state, session, np.load(image).astype(np.float64), extra, "_ln_" in file):
            print(repr(float(response)))
        return
    import torch

    rng = np.random.default_rng(7)
    state = tiny(rng)
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in state.items()}, HERE / "tiny.pth")
    images = rng.integers(0, 256, (3, 1, 12, 14)).astype(np.float64)
    extra = rng.standard_normal((3, 5))
    mean, sd = 113.5, 64.5
    cases = [respond(state, "one", (image - mean) / sd, state_, False) for image, state_ in zip(images, extra)]
    rest = respond(state, "one", (images[0] - mean) / sd, np.zeros(5), False)
    golden = {
        "session": "one", "image_mean": mean, "image_sd": sd, "shape": [1, 12, 14],
        "images": images.ravel().tolist(), "behaviour": extra[:, :3].ravel().tolist(),
        "pupil": extra[:, 3:].ravel().tolist(), "responses": np.concatenate(cases).tolist(),
        "first_in_mean_state": rest.tolist(),
    }
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
