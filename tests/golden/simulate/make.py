"""Golden numbers of the `simulate` room, from NumPy's legacy generator and SciPy's normal density:

    python make.py > golden.json

The neurons follow the order of draws described in `simulate/dog.rs`.
"""

import json
import math

import numpy as np
from scipy.stats import multivariate_normal


def stream(seed):
    np.random.seed(seed)
    return {
        "seed": seed,
        "random_sample": np.random.random_sample(3).tolist(),
        "uniform": np.random.uniform(-0.3, 0.3, 2).tolist(),
        "choice_32": np.random.choice(32, 5).tolist(),
        "pairs": [np.random.choice(2, 2, replace=False).tolist() for _ in range(6)],
        "choice_20": np.random.choice(20, 7).tolist(),
        "permutation": np.random.permutation(25).tolist(),
        "after_2000": float(np.random.random_sample(2000)[-1]),
    }


def density(grid, mean, covariance):
    # SciPy reads the lower triangle; symmetrised here so that every version agrees.
    lower = np.array([[covariance[0, 0], covariance[1, 0]], [covariance[1, 0], covariance[1, 1]]])
    return multivariate_normal(mean, lower).pdf(grid)


def dog(size, variation, centred, kernel=17, side=48):
    around_one = lambda: np.random.uniform(1 - variation, 1 + variation)
    a = around_one()
    c11 = a * around_one() * size / 4
    c22 = c11 / a**2
    s11 = a * around_one() * size
    s22 = s11 / a**2
    r = np.random.uniform(-0.3, 0.3) if variation != 0 else 0
    b = np.random.choice(2, 2, replace=False)
    sign = np.where(b == 0, 1, -1)
    centre = np.array([[c11, sign[0] * r * min(c11, c22)], [sign[1] * r * min(c11, c22), c22]])
    surround = np.array([[s11, sign[0] * r * min(s11, s22)], [sign[1] * r * min(s11, s22), s22]])
    w = around_one()
    mean = np.zeros(2) if centred else np.random.uniform(-0.5, 0.5, 2)
    corner = np.random.choice(side - kernel + 1, 2)
    axis = np.arange(kernel) - kernel // 2
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    g = w * (density(grid, mean, 8 * centre) - 2 * w * density(grid, mean, 8 * surround))
    g *= 0.1 / math.sqrt(2 / math.pi) / np.linalg.norm(g)
    return {"corner": corner.tolist(), "offset": mean.tolist(), "kernel": [float(f"{v:.12g}") for v in g.ravel()]}


def population(size, variation, centred, seed, neurons):
    np.random.seed(seed)
    drawn = [dog(size, variation, centred) for _ in range(neurons)]
    return {
        "scale": size,
        "variation": variation,
        "centred": centred,
        "seed": seed,
        "corners": [neuron["corner"] for neuron in drawn],
        "offsets": [neuron["offset"] for neuron in drawn],
        "last_kernel": drawn[-1]["kernel"],
    }


if __name__ == "__main__":
    golden = {
        "streams": [stream(seed) for seed in (0, 1, 2452, 4294967295)],
        "populations": [
            population(1.0, 0, True, 1, 30),
            population(0.6, 0.05, False, 2452, 30),
            population(1.0, 0.05, False, 2452, 30),
        ],
    }
    print(json.dumps(golden))
