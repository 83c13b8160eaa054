"""Models of Xu et al. 2023 in plain PyTorch: writes KIND.pth, shapes.json and golden.json beside this file.

    python make.py        needs torch

Weights are drawn, or made by formula where they are many, layers few and narrow; names, order and arithmetic are those of the
published state dicts. The recording is made by formula (`pixel`, `signal`), which the test repeats: nothing of it is stored.
"""

import json
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
HEIGHT, WIDTH, NEURONS, SAMPLES, SEGMENTS = 60, 80, 3, 6, 2
SIGNALS = ["speed", "pitch", "roll", "phi", "th", "eyerad"]


def pixel(segment, test, t, y, x):
    return 20 + 10 * segment + 3 * test + (31 * t + 7 * segment + y * y + 3 * x + x * y // (1 + t)) % 200


def signal(at, segment, test, t):
    return ((7 * at + 5 * t * (at + 1) + 3 * segment + test) % 23 - 11) / 4


def recording(segment):
    """Frames [sample, 1, height, width] from 0 to 1, and signals [sample, 6], of what is tested on."""
    raw = [[[pixel(segment, 1, t, y, x) for x in range(WIDTH)] for y in range(HEIGHT)] for t in range(SAMPLES)]
    frames = torch.tensor(raw, dtype=torch.float64)[:, None]
    frames = (frames - frames.min()) / (frames.max() - frames.min())
    signals = [[signal(at, segment, 1, t) for at in range(6)] for t in range(SAMPLES)]
    return frames, torch.tensor(signals, dtype=torch.float64)


def features(signals):
    """The 66 of `all_prod`."""
    changes = torch.diff(signals, dim=0, prepend=torch.zeros(1, 6, dtype=signals.dtype))[:, 1:]
    base = torch.cat([signals, changes], 1)
    products = [base[:, i] * base[:, j] for i in range(11) for j in range(i + 1, 11)]
    return torch.cat([base, torch.stack(products, 1)], 1)


class Shifter(nn.Module):
    def __init__(self, hidden, reach):
        super().__init__()
        self.reach = reach
        self.bias = nn.Parameter(torch.zeros(3))
        self.layers = nn.Sequential(
            nn.BatchNorm1d(4), nn.Linear(4, hidden), nn.BatchNorm1d(hidden), nn.Tanh(), nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden), nn.Tanh(), nn.Linear(hidden, 3), nn.Tanh(),
        )

    def forward(self, frames, signals):
        moved = self.layers(signals[:, [4, 3, 1, 2]]) + self.bias
        across, down = moved[:, 0] * WIDTH / self.reach, moved[:, 1] * HEIGHT / self.reach
        return torch.stack([warp(*each) for each in zip(frames[:, 0], across, down, moved[:, 2] * torch.pi / 4)])[:, None]


def warp(frame, across, down, turn):
    """Turned about (30, 40) and moved, bilinear, 0 outside."""
    u = torch.arange(WIDTH, dtype=frame.dtype)[None, :] - 30 - across
    v = torch.arange(HEIGHT, dtype=frame.dtype)[:, None] - 40 - down
    x, y = 30 + turn.cos() * u + turn.sin() * v, 40 - turn.sin() * u + turn.cos() * v
    out = torch.zeros_like(frame)
    for right in (0, 1):
        for below in (0, 1):
            column, row = x.floor() + right, y.floor() + below
            share = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
            picked = frame[row.clamp(0, HEIGHT - 1).long(), column.clamp(0, WIDTH - 1).long()]
            out = out + torch.where(inside, share * picked, 0.0)
    return out


class Visual(nn.Module):
    """Convolutions at 0, 4, 8, and a layer at 13, as published."""

    def __init__(self, channels, out):
        super().__init__()
        layers, inputs = [], 1
        for outputs in channels:
            layers += [nn.Conv2d(inputs, outputs, 7, stride=2), nn.BatchNorm2d(outputs), nn.ReLU(), nn.Dropout(0.5)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(15 * inputs, out))

    def forward(self, frames):
        return self.layers(frames)


class Behaviour(nn.Module):
    def __init__(self, inputs, out):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(inputs), nn.Linear(inputs, out))


class Cnn(nn.Module):
    steps = 1

    def __init__(self, shifted=True):
        super().__init__()
        self.shifted = shifted
        self.shifter = Shifter(6, 4)
        self.encoder = Visual([4, 3, 2], NEURONS)

    def forward(self, frames, signals):
        frames = self.shifter(frames, signals) if self.shifted else frames
        return nn.functional.softplus(self.encoder(frames))


class Full(nn.Module):
    steps = 2

    def __init__(self):
        super().__init__()
        self.shifter = Shifter(6, 5.5)
        self.visual_encoder = Visual([4, 3, 2], NEURONS)
        self.behav_encoder = Behaviour(66, NEURONS)
        self.bn = nn.BatchNorm1d(3)
        self.lstm_net = nn.GRU(3 * NEURONS, 5, batch_first=True)
        self.fc = nn.Linear(5, NEURONS)

    def forward(self, frames, signals):
        seen = self.visual_encoder(self.shifter(frames, signals))
        moved = self.behav_encoder.layers(features(signals))
        fused = self.bn(torch.stack([seen, moved, seen * moved], 1)).flatten(1)
        windows = torch.stack([fused[t : t + self.steps] for t in range(len(fused) - self.steps + 1)])
        return nn.functional.softplus(self.fc(self.lstm_net(windows)[0][:, -1]))


class Autoencoder(nn.Module):
    """Layers as of the CNN, features at 13; back: a layer at 0, transposed convolutions at 4, 8, 12."""

    def __init__(self):
        super().__init__()
        self.shifter = Shifter(6, 4)
        self.encoder = Visual([4, 3, 2], 5)
        self.decoder = nn.Module()
        up = lambda inputs, outputs, beyond: [
            nn.ConvTranspose2d(inputs, outputs, 7, stride=2, output_padding=beyond), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Dropout(0.0),
        ]
        self.decoder.conv_layers = nn.Sequential(
            nn.Linear(5, 30), nn.ReLU(), nn.Dropout(0.0), nn.Unflatten(1, (2, 3, 5)),
            *up(2, 3, (0, 1)), *up(3, 4, 0), *up(4, 1, (1, 1)),
        )
        self.fc = nn.Linear(5, NEURONS)

    def features(self, frames, signals):
        return self.encoder(self.shifter(frames, signals))

    def forward(self, frames, signals):
        return nn.functional.softplus(self.fc(self.features(frames, signals)))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        conv = lambda inputs, side, stride: nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
        self.conv1, self.bn1 = conv(inputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, 3, 1), nn.BatchNorm2d(outputs)
        if stride > 1:
            self.downsample = nn.Sequential(conv(inputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class ResNet18(nn.Module):
    """By torchvision's names, `width` channels in the first stage."""

    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        for stage in range(4):
            inputs, outputs = width << max(stage - 1, 0), width << stage
            blocks = nn.Sequential(Block(inputs, outputs, 1 + (stage > 0)), Block(outputs, outputs, 1))
            setattr(self, f"layer{stage + 1}", blocks)
        self.fc = nn.Linear(8 * width, NEURONS)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class Mobile(nn.Module):
    def __init__(self, inputs, outputs, side, stride, widening):
        super().__init__()
        wide = inputs * widening
        self.widens, self.residual = widening > 1, stride == 1 and inputs == outputs
        spatial = nn.Conv2d(wide, wide, side, stride, side // 2, groups=wide, bias=False)
        self.se = nn.Module()
        self.se.conv_reduce = nn.Conv2d(wide, inputs // 4, 1)
        self.se.conv_expand = nn.Conv2d(inputs // 4, wide, 1)
        narrow = nn.Conv2d(wide, outputs, 1, bias=False)
        if self.widens:
            self.conv_pw, self.bn1 = nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide)
            self.conv_dw, self.bn2 = spatial, nn.BatchNorm2d(wide)
            self.conv_pwl, self.bn3 = narrow, nn.BatchNorm2d(outputs)
        else:
            self.conv_dw, self.bn1 = spatial, nn.BatchNorm2d(wide)
            self.conv_pw, self.bn2 = narrow, nn.BatchNorm2d(outputs)

    def forward(self, x):
        silu = nn.functional.silu
        y = silu(self.bn1(self.conv_pw(x))) if self.widens else x
        spatial, narrow = (self.bn2, self.bn3) if self.widens else (self.bn1, self.bn2)
        y = silu(spatial(self.conv_dw(y)))
        weighed = self.se.conv_expand(silu(self.se.conv_reduce(y.mean((2, 3), keepdim=True))))
        y = narrow((self.conv_pwl if self.widens else self.conv_pw)(y * weighed.sigmoid()))
        return x + y if self.residual else y


class EfficientNetB0(nn.Module):
    """By timm's names."""

    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = nn.Conv2d(1, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
        stages, inputs = [], 32
        for count, side, stride, widening, outputs in [
            (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
            (1, 3, 1, 6, 320),
        ]:
            blocks = []
            for block in range(count):
                blocks.append(Mobile(inputs, outputs, side, stride if block == 0 else 1, widening))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280)
        self.classifier = nn.Linear(1280, NEURONS)

    def forward(self, x):
        silu = nn.functional.silu
        x = silu(self.bn2(self.conv_head(self.blocks(silu(self.bn1(self.conv_stem(x)))))))
        return self.classifier(x.mean((2, 3)))


class Library(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.shifter = Shifter(6, 4)
        self.encoder = nn.Module()
        self.encoder.layers = network

    def forward(self, frames, signals):
        return nn.functional.softplus(self.encoder.layers(self.shifter(frames, signals)))


def by_formula(model):
    """Weights and statistics that the test makes, too, from names and shapes."""
    with torch.no_grad():
        for name, array in model.state_dict().items():
            start = 31 * sum(name.encode())
            spread = torch.tensor([(start + 7919 * i) % 10007 / 10007 - 0.5 for i in range(array.numel())])
            if name.endswith("num_batches_tracked"):
                continue
            elif name.endswith("running_var"):
                spread = 1 + spread
            elif array.dim() == 1 and name.endswith("weight"):
                spread = 1 + 0.5 * spread
            elif array.dim() == 1:
                spread = 0.2 * spread
            else:
                spread = spread * (24 / (array.numel() / array.shape[0])) ** 0.5
            array.copy_(spread.reshape(array.shape))
    return model


def drawn(model):
    """Weights as PyTorch draws them, larger, so that outputs differ, and statistics of some batch."""
    for name, array in model.state_dict().items():
        if name.endswith("running_mean"):
            array.normal_(0, 0.3)
        elif name.endswith("running_var"):
            array.uniform_(0.5, 1.5)
        elif name.endswith("num_batches_tracked"):
            array.fill_(17)
        elif name == "shifter.bias":
            array.uniform_(-0.2, 0.2)
        else:
            array.copy_(2 * array + 0.05 * torch.randn_like(array))
    return model


def main():
    torch.manual_seed(11)
    golden = {}
    cnn = drawn(Cnn())
    unshifted = Cnn(shifted=False)
    unshifted.load_state_dict(cnn.state_dict())
    for name, model in {"cnn": cnn, "cnn-unshifted": unshifted, "full": drawn(Full())}.items():
        if "unshifted" not in name:
            torch.save(model.state_dict(), HERE / f"{name}.pth")
        model = model.double().eval()
        with torch.no_grad():
            # The last frame is that of the last response, which no model sees.
            parts = [model(*[rows[:-1] for rows in recording(segment)]) for segment in range(SEGMENTS)]
        golden[name] = [round(value, 9) for value in torch.cat(parts).flatten().tolist()]
    shapes = {}
    for name, model in {
        "autoencoder": Autoencoder(), "resnet18": Library(ResNet18(4)), "efficientnet_b0": Library(EfficientNetB0()),
    }.items():
        model = by_formula(model).double().eval()
        shapes[name] = {name: list(array.shape) for name, array in model.state_dict().items()}
        with torch.no_grad():
            rows = [[rows[:-1] for rows in recording(segment)] for segment in range(SEGMENTS)]
            parts = [model(*each) for each in rows]
            golden[name] = [round(value, 9) for value in torch.cat(parts).flatten().tolist()]
            if name == "autoencoder":
                images = model.decoder.conv_layers(model.features(*rows[0])).flatten()
                weights = torch.arange(images.numel()) * 7 % 13
                golden["image"] = [images.mean().item(), (images * weights).mean().item()]
    (HERE / "shapes.json").write_text(json.dumps(shapes) + "\n")
    (HERE / "golden.json").write_text(json.dumps(golden) + "\n")


main()
