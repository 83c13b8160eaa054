"""The networks in PyTorch, written as an expert who wants speed on a CPU would write them.

Each takes its weights by name and a batch of tensors, and gives the predicted rates. A convolution bias that batch
normalisation would cancel is left out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arrays import by_animal

Tensors = dict[str, Tensor]


class BatchNorm(nn.Module):
    """Batch normalisation with running statistics; without `gain` the offset alone is learned."""

    def __init__(self, offset: Tensor, gain: Tensor | None, epsilon: float, momentum: float = 0.1) -> None:
        super().__init__()
        self.offset = nn.Parameter(offset)
        self.gain = None if gain is None else nn.Parameter(gain)
        self.epsilon, self.momentum = epsilon, momentum
        self.register_buffer("mean", torch.zeros_like(offset))
        self.register_buffer("variance", torch.ones_like(offset))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.mean, self.variance, self.gain, self.offset, self.training, self.momentum, self.epsilon
        )


def layer_norms(weights: Tensors, epsilon: float) -> nn.ModuleList:
    """The batch normalisations `offset0`, `offset1`, … with their gains, if they have any."""
    count = sum(name.startswith("offset") for name in weights)
    return nn.ModuleList(BatchNorm(weights[f"offset{i}"], weights.get(f"gain{i}"), epsilon) for i in range(count))


def parameters(weights: Tensors, *names: str) -> nn.ParameterDict:
    """The arrays whose names start with one of `names`, trainable."""
    return nn.ParameterDict({name: nn.Parameter(value) for name, value in weights.items() if name.startswith(names)})


class WhatWhere(nn.Module):
    """Three convolutions, then per neuron a mask times feature weights (Klindt et al. 2017)."""

    def __init__(self, weights: Tensors) -> None:
        super().__init__()
        self.convs = parameters(weights, "conv")
        self.norms = layer_norms(weights, 1e-3)
        self.features = nn.Parameter(weights["features"])
        self.bias = nn.Parameter(weights["bias"])
        self.keep_masks(weights["mask"])

    def keep_masks(self, mask: Tensor) -> None:
        self.mask = nn.Parameter(mask)
        self.support = (mask != 0).float() if (mask == 0).any() else None

    def forward(self, batch: Tensors) -> Tensor:
        x = batch["images"]
        for conv, norm in zip(self.convs.values(), self.norms):
            x = F.softplus(norm(F.conv2d(x, conv, padding=conv.shape[-1] // 2)))
        return F.softplus(self.drive(x) + self.bias)

    def drive(self, x: Tensor) -> Tensor:
        # Masks before feature weights: one large matrix product, then a sum.
        return ((x.flatten(2) @ self.mask) * self.features).sum(1)

    def after_backward(self) -> None:
        """Masks learn where they are not zero."""
        if self.support is not None and self.mask.grad is not None:
            self.mask.grad.mul_(self.support)


class SparseWhatWhere(WhatWhere):
    """The same with compressed rows of masks, whose gradient exists at the entries alone."""

    def keep_masks(self, mask: Tensor) -> None:
        rows = mask.T.to_sparse_csr()
        self.row_starts, self.pixels, self.shape = rows.crow_indices(), rows.col_indices(), rows.shape
        self.mask = nn.Parameter(rows.values())

    def drive(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        masks = torch.sparse_csr_tensor(self.row_starts, self.pixels, self.mask, self.shape)
        pooled = torch.sparse.mm(masks, x.flatten(2).permute(2, 0, 1).flatten(1))
        return (pooled.view(-1, batch, channels) * self.features.T[:, None]).sum(2).T

    def after_backward(self) -> None:
        pass


class GaussianReadout(nn.Module):
    """A point per neuron, drawn around its mean for each image while training (Lurz et al. 2021)."""

    def __init__(self, weights: Tensors) -> None:
        super().__init__()
        self.draws = True
        self.position = nn.Parameter(weights["position"])
        self.spread = nn.Parameter(weights["spread"])
        self.features = nn.Parameter(weights["features"])
        self.bias = nn.Parameter(weights["bias"])

    def one_each(self, x: Tensor, asked: Tensor) -> Tensor:
        """Of each image the rate of the one neuron that it asks, at its mean position; no other is computed."""
        points = self.position[asked].clamp(-1, 1)[:, None, None]
        sampled = F.grid_sample(x, points, align_corners=True).flatten(1)
        return F.elu((sampled * self.features[:, asked].T).sum(1) + self.bias[asked]) + 1

    def forward(self, x: Tensor) -> Tensor:
        points = self.position[None]
        if self.training and self.draws:
            noise = torch.randn(len(x), len(self.position), 1, 2)
            points = points + (self.spread * noise).sum(-1)
        points = points.clamp(-1, 1).expand(len(x), -1, -1)
        sampled = F.grid_sample(x, points[:, :, None], align_corners=True).squeeze(-1)
        return F.elu((sampled * self.features).sum(1) + self.bias) + 1


class Sensorium(nn.Module):
    """The baseline of the Sensorium 2022 competition: a convolution and three depth-separable layers."""

    def __init__(self, weights: Tensors) -> None:
        super().__init__()
        self.convs = parameters(weights, "conv", "first", "depthwise", "second")
        self.norms = layer_norms(weights, 1e-5)
        self.readout = GaussianReadout(weights)

    def separable(self, x: Tensor, i: int) -> Tensor:
        depthwise = self.convs[f"depthwise{i}"]
        x = F.conv2d(x, self.convs[f"first{i}"])
        x = F.conv2d(x, depthwise, padding=depthwise.shape[-1] // 2, groups=len(depthwise))
        return F.conv2d(x, self.convs[f"second{i}"])

    def core(self, images: Tensor) -> Tensor:
        x = F.elu(self.norms[0](F.conv2d(images, self.convs["conv0"])))
        for i in range(1, len(self.norms)):
            x = F.elu(self.norms[i](self.separable(x, i)))
        return x

    def forward(self, batch: Tensors) -> Tensor:
        return self.readout(self.core(batch["images"]))

    def after_backward(self) -> None:
        pass


class Affine(nn.Module):
    """A linear layer from its weights."""

    def __init__(self, weights: Tensors, name: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights[f"{name}.weight"])
        self.bias = nn.Parameter(weights[f"{name}.bias"])

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def gru(weights: Tensors) -> nn.GRU:
    """PyTorch's own layer with the weights of the file."""
    weight = weights["gru.weight_ih"]
    layer = nn.GRU(weight.shape[1], weight.shape[0] // 3)
    state = {f"{key}_l0": weights[f"gru.{key}"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    layer.load_state_dict(state)
    return layer


class Xu(nn.Module):
    """Vision times behaviour, then a GRU (Xu, Hou, Niell & Beyeler 2023), without shifter and dropout."""

    def __init__(self, weights: Tensors) -> None:
        super().__init__()
        self.convs = parameters(weights, "conv")
        self.norms = layer_norms(weights, 1e-5)
        self.visual = Affine(weights, "visual")
        self.behaviour_norm = BatchNorm(weights["behaviour.offset"], weights["behaviour.gain"], 1e-5)
        self.behaviour = Affine(weights, "behaviour")
        self.fusion = BatchNorm(weights["fusion.offset"], weights["fusion.gain"], 1e-5)
        self.gru = gru(weights)
        self.out = Affine(weights, "out")

    def fused(self, x: Tensor, behaviour: Tensor) -> Tensor:
        for conv, norm in zip(self.convs.values(), self.norms):
            x = F.relu(norm(F.conv2d(x, conv, stride=2)))
        v = self.visual(x.flatten(1))
        b = self.behaviour(self.behaviour_norm(behaviour))
        return self.fusion(torch.stack([v, b, v * b], 1)).flatten(1)

    def forward(self, batch: Tensors) -> Tensor:
        # Statistics of batch normalisation are those of one time step, as in the paper's code.
        steps = [self.fused(x, b) for x, b in zip(batch["images"], batch["behaviour"])]
        states, _ = self.gru(torch.stack(steps))
        return F.softplus(self.out(states[-1]))

    def after_backward(self) -> None:
        pass


class Video(nn.Module):
    """Convolutions factorised into space and time, and a point per neuron of each animal (Sensorium 2023)."""

    def __init__(self, weights: Tensors) -> None:
        super().__init__()
        self.convs = parameters(weights, "space", "time")
        self.norms = layer_norms(weights, 1e-5)
        self.readouts = nn.ModuleList(GaussianReadout(own) for own in by_animal(weights).values())

    def forward(self, batch: Tensors) -> Tensor:
        x = batch["images"]
        for i, norm in enumerate(self.norms):
            x = F.conv3d(F.conv3d(x, self.convs[f"space{i}"]), self.convs[f"time{i}"])
            x = F.elu(norm(x))
        clips, _, frames = x.shape[:3]
        rates = self.readouts[batch["animal"]](x.transpose(1, 2).flatten(0, 1))
        return rates.unflatten(0, (clips, frames))

    def after_backward(self) -> None:
        pass


FAMILIES: dict[str, type[nn.Module]] = {
    "whatwhere": WhatWhere,
    "whatwhere-sparse": SparseWhatWhere,
    "sensorium": Sensorium,
    "xu": Xu,
    "video": Video,
}


def poisson(rates: Tensor, responses: Tensor) -> Tensor:
    """Mean of `ŷ − y log(ŷ + 1e-5)` over the batch and the neurons."""
    return (rates - responses * torch.log(rates + 1e-5)).mean()
