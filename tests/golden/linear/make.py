"""Golden numbers of the linear models of `fit`, computed with NumPy and scikit-learn: python make.py > golden.json

Images and responses are drawn with few decimals, so that they are the same numbers in single precision. Least squares
goes through the singular value decomposition of the images, not their Gram matrix.
"""

import json

import numpy as np
from sklearn.linear_model import Lasso, Ridge


def draw(seed, trials, pixels, neurons):
    """Images that are neither centred nor independent, and noisy responses to a few of their pixels."""
    random = np.random.default_rng(seed)
    mixing = np.eye(pixels) + 0.3 * random.normal(size=(pixels, pixels))
    images = random.normal(size=(trials, pixels)) @ mixing + random.normal(size=pixels)
    truth = random.normal(size=(pixels, neurons)) * (random.random((pixels, neurons)) < 0.3)
    responses = images @ truth + 0.5 * random.normal(size=(trials, neurons)) + 1.5
    return [np.float32(np.round(values, 2)) for values in (images, responses)]


def ols(images, responses, alpha, intercept):
    assert alpha == 0
    mean = images.mean(0) * intercept, responses.mean(0) * intercept
    weights = np.linalg.pinv(images - mean[0], rcond=1e-9) @ (responses - mean[1])
    return weights.T, mean[1] - mean[0] @ weights


def ridge(images, responses, alpha, intercept):
    model = Ridge(alpha=alpha, fit_intercept=intercept, solver="svd").fit(images, responses)
    return model.coef_, model.intercept_ if intercept else np.zeros(responses.shape[1])


def lasso(images, responses, alpha, intercept):
    models = [
        Lasso(alpha=alpha, fit_intercept=intercept, tol=1e-14, max_iter=1_000_000).fit(images, y)
        for y in responses.T
    ]
    return np.array([m.coef_ for m in models]), np.array([m.intercept_ for m in models])


def case(solver, seed, trials, pixels, alpha, intercept, neurons=3):
    images, responses = draw(seed, trials, pixels, neurons)
    weights, intercepts = solver(images.astype(float), responses.astype(float), alpha, intercept)
    left = responses - images.astype(float) @ weights.T - intercepts
    return {
        "solver": solver.__name__,
        "trials": trials,
        "pixels": pixels,
        "neurons": neurons,
        "alpha": alpha,
        "intercept": intercept,
        "images": [float(f"{v:.2f}") for v in images.ravel()],
        "responses": [float(f"{v:.2f}") for v in responses.ravel()],
        "weights": weights.ravel().tolist(),
        "intercepts": np.ravel(intercepts).tolist(),
        "error": float((left**2).mean()),
    }


CASES = [
    case(ols, 1, 40, 12, 0.0, False),
    case(ols, 2, 15, 24, 0.0, False),
    case(ols, 3, 15, 24, 0.0, True),
    case(ridge, 4, 40, 12, 10.0, True),
    case(ridge, 5, 15, 24, 300.0, True),
    case(ridge, 5, 15, 24, 0.1, False),
    case(lasso, 6, 40, 12, 0.1, True),
    case(lasso, 7, 15, 24, 0.03, True),
    case(lasso, 7, 15, 24, 1.0, False),
]

if __name__ == "__main__":
    print(json.dumps(CASES, indent=None))
