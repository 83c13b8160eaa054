"""Golden numbers of a submission of videos, computed with NumPy: python make.py > golden.json

Written from the definitions of the Sensorium 2023 toolkit (frames after the first 50, trials joined, responses and
predictions divided by the s.d. stored for each frame, undefined correlations count as 0), so that it shares nothing with
the Rust code. NaN is written as null.
"""

import json
import math

import numpy as np

SKIP = 50


def single(values):
    return np.asarray(values, np.float32).astype(float)


def precision(std):
    threshold = 0.01 * np.nanmean(std)
    out = np.full_like(std, 1 / threshold)
    return np.divide(1, std, out=out, where=std > threshold)


def corr(a, b):
    za = (a - a.mean(0)) / (a.std(0) + 1e-8)
    zb = (b - b.mean(0)) / (b.std(0) + 1e-8)
    return (za * zb).mean(0)


def mouse(name, samples, constant, seed):
    rng = np.random.default_rng(seed)
    neurons, stored = 2, max(samples) + 2
    std = single(rng.uniform(0.1, 9.0, (neurons, stored)))
    std[0, 51] = single(1e-4)  # below the threshold
    std[:, max(samples) :] = math.nan
    responses = [single(rng.gamma(1.0, 2.0, (neurons, n))) for n in samples]
    if constant:
        for trial in responses:
            trial[1] = 0.0
    predictions = [single(np.abs(0.4 * r + rng.normal(0, 1, r.shape))) for r in responses]
    scale = precision(std)
    joined = [
        np.concatenate([v[:, SKIP:] * scale[:, SKIP : v.shape[1]] for v in values], axis=1).T
        for values in (responses, predictions)
    ]
    return {
        "name": name,
        "stored": stored,
        "samples": samples,
        "std": std.ravel().tolist(),
        "responses": [v.ravel().tolist() for v in responses],
        # As a model gives them: [sample, neuron].
        "predictions": [v.T.ravel().tolist() for v in predictions],
        "correlations": np.nan_to_num(corr(*joined)).tolist(),
        "submitted": [(v[:, SKIP:] * scale[:, SKIP : v.shape[1]]).ravel().tolist() for v in predictions],
    }


def clean(value):
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [clean(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    mice = [mouse("dynamic1-2-3", [58, 55], False, 1), mouse("dynamic4-5-6", [56, 57], True, 2)]
    mean = float(np.mean([r for m in mice for r in m["correlations"]]))
    print(json.dumps(clean({"mice": mice, "mean": mean})))
