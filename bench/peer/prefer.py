"""What neurons prefer, as `striate explain mei` searches for it, in PyTorch."""

import math

import torch
from torch import Tensor

from peer.networks import Sensorium

NEURONS, STEPS, RATE = 64, 10, 0.3
CONTRAST, LOW, HIGH = 0.5, -3.0, 3.0


def cosines(side: int) -> Tensor:
    """The orthonormal cosine transform, `[wave, pixel]`."""
    wave, pixel = torch.arange(side)[:, None], torch.arange(side)[None] + 0.5
    scale = torch.full((side, 1), math.sqrt(2 / side))
    scale[0] = math.sqrt(1 / side)
    return scale * torch.cos(math.pi * wave * pixel / side)


def falling(height: int, width: int) -> Tensor:
    """Weight of a wave: one over its frequency, that of a whole image being the least."""
    down, across = torch.arange(height) / (2 * height), torch.arange(width) / (2 * width)
    least = 1 / max(height, width)
    return least / torch.hypot(down[:, None], across[None]).clamp(min=least)


class Search:
    """Gradient ascent at one contrast and in a range, each stimulus for a neuron of its own; of the others nothing is computed."""

    def __init__(self, network: Sensorium, neurons: int, shape: torch.Size) -> None:
        self.network, self.shape = network, shape
        self.asked = torch.arange(NEURONS) % neurons
        self.rows, self.columns = cosines(shape[-2]), cosines(shape[-1])
        self.weights = falling(*shape[-2:])

    def run(self) -> float:
        """Ten steps; the mean response at the last."""
        weights = list(self.network.parameters())
        tracked = [weight.requires_grad for weight in weights]
        for weight in weights:
            weight.requires_grad_(False)
        self.network.eval()
        x = self.keep(self.smooth(torch.randn(NEURONS, *self.shape)))
        for step in range(STEPS):
            x = self.step(x, RATE * (1 - 0.9 * step / STEPS))
        for weight, was in zip(weights, tracked):
            weight.requires_grad_(was)
        with torch.inference_mode():
            return self.asked_of(x).mean().item()

    def asked_of(self, x: Tensor) -> Tensor:
        return self.network.readout.one_each(self.network.core(x), self.asked)

    def step(self, x: Tensor, rate: float) -> Tensor:
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.asked_of(x).sum(), x)
        x = x.detach()
        along = self.sum(gradient * x) / self.sum(x * x)
        whole = self.sum(self.smooth(gradient).square()).sqrt().clamp(min=1e-30)
        direction = self.smooth(gradient - along * x) / whole
        return self.keep(x + direction * (rate * self.sum(x * x).sqrt()))

    def smooth(self, x: Tensor) -> Tensor:
        waves = self.rows @ x @ self.columns.T
        return self.rows.T @ (waves * self.weights) @ self.columns

    def keep(self, x: Tensor) -> Tensor:
        norm = CONTRAST * math.sqrt(x[0].numel())
        for _ in range(3):
            x = (x * (norm / self.sum(x * x).sqrt().clamp(min=1e-30))).clamp(LOW, HIGH)
        return x

    @staticmethod
    def sum(x: Tensor) -> Tensor:
        return x.sum((1, 2, 3), keepdim=True)
