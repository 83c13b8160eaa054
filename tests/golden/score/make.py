"""Golden numbers of the `score` room, computed with NumPy: python make.py > golden.json

Written from the definitions, with explicit loops, so that it shares nothing with the Rust code.
NaN is written as null.
"""

import json
import math

import numpy as np


def pearson(a, b):
    if len(a) == 0 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def groups(stimulus):
    return [np.flatnonzero(stimulus == s) for s in dict.fromkeys(stimulus.tolist())]


def signal_power(y, repeated):
    """Mean covariance between different repeats; pairs pooled when repeats are unequal."""
    most = max(len(g) for g in repeated)
    mean = [np.mean([y[g[r]] for g in repeated if len(g) > r]) for r in range(most)]
    total, dof = 0.0, 0.0
    for r in range(most):
        for s in range(most):
            both = [g for g in repeated if len(g) > max(r, s)]
            if r != s and both:
                total += sum((y[g[r]] - mean[r]) * (y[g[s]] - mean[s]) for g in both)
                dof += len(both) - 1
    return total / dof


def schoppe(y, repeated):
    """The published form, for equal repeats only."""
    table = np.array([y[g] for g in repeated])  # [stimulus, repeat]
    count = table.shape[1]
    return (table.sum(1).var(ddof=1) - table.var(axis=0, ddof=1).sum()) / (count * (count - 1))


def snr(y, repeated):
    if any(y[i] < -3 / 8 for g in repeated for i in g):
        return math.nan
    table = [[2 * math.sqrt(y[i] + 3 / 8) for i in g] for g in repeated]
    centre = np.mean([np.mean(row) for row in table])
    signal = np.mean([(np.mean(row) - centre) ** 2 for row in table])
    noise = np.mean([np.sum((np.array(row) - np.mean(row)) ** 2) / (len(row) - 1) for row in table])
    return signal / noise if any(min(row) < max(row) for row in table) else math.nan


def neuron(y, p, t, stimulus):
    every = groups(stimulus)
    repeated = [g for g in every if len(g) > 1]
    trials = np.concatenate(repeated)
    mean_y, mean_p = [[v[g].mean() for g in every] for v in (y, p)]
    others = np.concatenate([[(y[g].sum() - y[i]) / (len(g) - 1) for i in g] for g in repeated])
    signal = np.var([y[g].mean() for g in repeated])
    noise0 = np.mean([y[g].var() for g in repeated])
    noise = np.mean([y[g].var(ddof=1) for g in repeated])
    total = y[trials].var(ddof=1)
    explainable = (total - noise) / total if total > 0 else math.nan
    error = np.mean((p[trials] - y[trials]) ** 2)
    power = signal_power(y, repeated)
    if len({len(g) for g in repeated}) == 1:
        assert abs(power - schoppe(y, repeated)) < 1e-12
    average_y = np.array([y[g].mean() for g in repeated])
    average_p = np.array([p[g].mean() for g in repeated])
    defined = power > 1e-4 and np.ptp(average_p) > 0
    return {
        "single_trial_correlation": pearson(y, p),
        "correlation_to_average": pearson(mean_y, mean_p),
        "oracle_jackknife": pearson(y[trials], others),
        "oracle_conservative": signal / math.sqrt(signal * (signal + noise0)) if signal > 0 else math.nan,
        "fev": 1 - np.mean((p - t) ** 2) / t.var() if t.var() > 0 else math.nan,
        "correlation_to_truth": pearson(t, p),
        "explainable_variance": explainable,
        "snr": snr(y, repeated),
        "feve": 1 - (error - noise) / (total - noise) if explainable >= 0.15 else math.nan,
        "cc_norm": np.cov(average_y, average_p)[0, 1] / math.sqrt(average_p.var(ddof=1) * power)
        if defined
        else math.nan,
        "poisson_loss": np.mean(p - y * np.log(p + 1e-8)) if p.min() >= 0 else math.nan,
        "mse": np.mean((p - y) ** 2),
    }


def slope(oracle, r):
    oracle, r = np.array(oracle), np.array(r)
    kept = ~(np.isnan(oracle) | np.isnan(r))
    return np.linalg.lstsq(oracle[kept, None], r[kept], rcond=None)[0][0]


def case(name, stimulus, seed):
    rng = np.random.default_rng(seed)
    stimulus = np.array(stimulus)
    trials, neurons = len(stimulus), 6
    drive = rng.normal(size=(stimulus.max() + 1, neurons))[stimulus]
    truth = np.abs(2 + drive)
    response = truth + rng.normal(size=truth.shape) * [0.1, 0.5, 1.0, 2.0, 0.3, 0.3]
    prediction = np.abs(truth + 0.4 * rng.normal(size=truth.shape))
    response[:, 4] = 0.1  # constant response
    prediction[:, 5] = 0.7  # constant prediction
    truth[:, 4] = 0.1
    prediction[0, 3] = -0.25  # a negative rate
    response, prediction, truth = (v.astype(np.float32).astype(float) for v in (response, prediction, truth))
    # What the model would predict without behaviour: the same in every repeat.
    held = np.abs(2 + 0.8 * drive + 0.1).astype(np.float32).astype(float)
    rows = [neuron(response[:, n], prediction[:, n], truth[:, n], stimulus) for n in range(neurons)]
    metrics = {key: [row[key] for row in rows] for key in rows[0]}
    rows = [neuron(response[:, n], held[:, n], truth[:, n], stimulus) for n in range(neurons)]
    for key in ("single_trial_correlation", "feve", "cc_norm"):
        metrics[f"{key}_held"] = [row[key] for row in rows]
    return {
        "name": name,
        "neurons": neurons,
        "stimulus": stimulus.tolist(),
        "responses": response.ravel().tolist(),
        "predictions": prediction.ravel().tolist(),
        "held": held.ravel().tolist(),
        "truth": truth.ravel().tolist(),
        "metrics": metrics,
        "fraction_oracle": slope(metrics["oracle_jackknife"], metrics["single_trial_correlation"]),
        "fraction_oracle_held": slope(metrics["oracle_jackknife"], metrics["single_trial_correlation_held"]),
    }


def clean(value):
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [clean(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value


if __name__ == "__main__":
    cases = [
        case("equal repeats", [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 3, 2, 1, 0], 1),
        case("unequal repeats, one stimulus shown once", [0, 0, 1, 2, 2, 2, 3, 3, 4, 3, 0, 5, 5], 2),
    ]
    print(json.dumps(clean(cases)))
