"""Fit a scaling law: L(N, D) = E + A / N^alpha + B / D^beta, for N parameters and D tokens.

Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, section 3.3 (approach 3): minimize
the Huber loss (delta 1e-3) between log losses from a grid of starting points, because the objective has flat
valleys. They use L-BFGS; with five parameters, Levenberg-Marquardt steps with Huber weights converge in fewer
iterations, and all starting points descend together as one array.

Uncertainty comes from a residual bootstrap: the grid of runs is fixed by design, so the residuals are
resampled. A prediction interval also includes the scatter of a single run.

Axes: `P` runs, `B` starting points or resamples that descend together, `5` the parameters (log E, log A, log
B, alpha, beta).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zeropoint.errors import BadInput

__all__ = ["Law", "LawFit", "fit_law"]

Array = NDArray[np.float64]

_DELTA = 1e-3  # Hoffmann et al., 2022, section 3.3
_N_PARAMETERS = 5
_MAX_ITERATIONS = 300  # most descents converge after about 40
_RESAMPLE_STARTS = 6  # solutions of the fit from which each resample descends


@dataclass(frozen=True)
class Law:
    """E: irreducible loss in nats. A, alpha: term of the parameters. B, beta: term of the tokens."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, n_parameters: ArrayLike, n_tokens: ArrayLike) -> Array:
        """Predicted loss in nats per token; the arguments broadcast."""
        n, d = np.log(np.asarray(n_parameters, float)), np.log(np.asarray(n_tokens, float))
        logs = np.log(np.maximum([self.E, self.A, self.B], 1e-300))
        return np.exp(_log_sum(logs[0], logs[1] - self.alpha * n, logs[2] - self.beta * d))

    @property
    def size_exponent(self) -> float:
        """a in N_opt ~ C^a, the compute-optimal size: beta / (alpha + beta) (equation 4)."""
        return self.beta / (self.alpha + self.beta)


@dataclass(frozen=True)
class LawFit:
    """law: the best fit. resampled: one law per bootstrap resample.

    scatter_P: residuals ln(measured) - ln(law), scaled up for the five fitted parameters.
    """

    law: Law
    resampled: tuple[Law, ...]
    scatter_P: Array
    seed: int = 0

    def interval(self, name: str, confidence: float = 0.9) -> tuple[float, float]:
        """The confidence interval of a parameter (`E`, `A`, ..., `size_exponent`) over the resamples."""
        return _interval(np.array([getattr(law, name) for law in self.resampled]), confidence)

    def band(self, n_parameters: float, n_tokens: float, confidence: float = 0.9) -> tuple[float, float]:
        """The confidence interval of the law's loss at a point, in nats."""
        return _interval(self._losses(n_parameters, n_tokens), confidence)

    def predict(
        self, n_parameters: float, n_tokens: float, confidence: float = 0.9
    ) -> tuple[float, float, float]:
        """(loss, lower, upper) of a new run in nats, including the scatter of a single run."""
        losses_R = self._losses(n_parameters, n_tokens)
        rng = np.random.default_rng(self.seed + 1)
        drawn_RS = losses_R[:, None] * np.exp(rng.choice(self.scatter_P, (len(losses_R), 32)))
        return float(self.law.loss(n_parameters, n_tokens)), *_interval(drawn_RS.ravel(), confidence)

    def _losses(self, n_parameters: float, n_tokens: float) -> Array:
        return np.array([float(law.loss(n_parameters, n_tokens)) for law in self.resampled])


def fit_law(
    n_parameters: ArrayLike, n_tokens: ArrayLike, loss: ArrayLike, *, n_resamples: int = 400, seed: int = 0
) -> LawFit:
    """Fit the law to finished runs: sizes [P], token counts [P], losses in nats [P].

    Raises BadInput for fewer than 6 runs, fewer than 2 sizes or token counts, or values that are not
    positive.
    """
    n_P, d_P, l_P = (np.asarray(x, float) for x in (n_parameters, n_tokens, loss))
    _check(n_P, d_P, l_P)
    n_mid, d_mid = np.log(n_P).mean(), np.log(d_P).mean()  # centered, to decorrelate A and alpha
    x_P2 = np.stack([np.log(n_P) - n_mid, np.log(d_P) - d_mid], axis=-1)
    y_P = np.log(l_P)

    starts_B5 = _starts(y_P)
    solution_B5, cost_B = _descend(starts_B5, x_P2, np.broadcast_to(y_P, (len(starts_B5), len(y_P))))
    order_B = np.argsort(cost_B)
    best_5 = solution_B5[order_B[0]]
    residual_P = y_P - _model(best_5[None], x_P2)[0][0]
    scatter_P = residual_P * np.sqrt(len(y_P) / (len(y_P) - _N_PARAMETERS))

    rng = np.random.default_rng(seed)
    drawn_RP = (y_P - residual_P) + rng.choice(scatter_P, (n_resamples, len(y_P)))
    starts_V5 = solution_B5[order_B[:: max(1, len(order_B) // _RESAMPLE_STARTS)]][:_RESAMPLE_STARTS]
    n_starts = len(starts_V5)
    resolved_B5, cost_B = _descend(
        np.tile(starts_V5, (n_resamples, 1)), x_P2, np.repeat(drawn_RP, n_starts, axis=0)
    )
    chosen_R = cost_B.reshape(n_resamples, n_starts).argmin(axis=1)
    resampled_R5 = resolved_B5.reshape(n_resamples, n_starts, _N_PARAMETERS)[np.arange(n_resamples), chosen_R]
    laws = tuple(_law(row_5, n_mid, d_mid) for row_5 in resampled_R5)
    return LawFit(_law(best_5, n_mid, d_mid), laws, scatter_P, seed)


def _check(n_P: Array, d_P: Array, l_P: Array) -> None:
    if not len(n_P) == len(d_P) == len(l_P):
        raise BadInput(
            f"{len(n_P)} sizes, {len(d_P)} token counts and {len(l_P)} losses; give one of each per run"
        )
    if len(n_P) <= _N_PARAMETERS or len(set(n_P)) < 2 or len(set(d_P)) < 2:
        raise BadInput(
            f"{len(n_P)} runs of {len(set(n_P))} sizes and {len(set(d_P))} token counts cannot determine "
            "five parameters; give at least 6 runs, with 2 sizes and 2 token counts"
        )
    if not (np.isfinite(l_P).all() and (l_P > 0).all() and (n_P > 0).all() and (d_P > 0).all()):
        raise BadInput(
            "every size, token count and loss must be a positive number; remove runs that diverged"
        )


def _law(row_5: Array, n_mid: float, d_mid: float) -> Law:
    log_e, log_a, log_b, alpha, beta = (float(x) for x in row_5)
    return Law(
        float(np.exp(log_e)),
        float(np.exp(min(log_a + alpha * n_mid, 700.0))),
        float(np.exp(min(log_b + beta * d_mid, 700.0))),
        alpha,
        beta,
    )


def _starts(y_P: Array) -> Array:
    """[B, 5]: fractions of the lowest and median loss, and exponents around the published ones."""
    exponents = (0.1, 0.3, 0.6, 1.0, 1.5)
    floor, middle = np.exp(y_P.min()), np.exp(np.median(y_P))
    return np.array(
        [
            (
                np.log(share * floor),
                np.log(of_size * (middle - share * floor)),
                np.log((1 - of_size) * (middle - share * floor)),
                alpha,
                beta,
            )
            for share, of_size, alpha, beta in itertools.product(
                (0.2, 0.5, 0.8, 0.95), (0.25, 0.5, 0.75), exponents, exponents
            )
        ]
    )


def _log_sum(*logs: ArrayLike) -> Array:
    stacked = np.stack(np.broadcast_arrays(*logs), axis=0).astype(float)
    top = stacked.max(axis=0)
    summed: Array = top + np.log(np.exp(stacked - top).sum(axis=0))
    return summed


def _model(theta_B5: Array, x_P2: Array) -> tuple[Array, Array]:
    """(log loss [B, P], its derivatives by the parameters [B, P, 5])."""
    n_P, d_P = x_P2[:, 0], x_P2[:, 1]
    of_e_BP = np.broadcast_to(theta_B5[:, :1], (len(theta_B5), len(n_P)))
    of_a_BP = theta_B5[:, 1:2] - theta_B5[:, 3:4] * n_P
    of_b_BP = theta_B5[:, 2:3] - theta_B5[:, 4:5] * d_P
    log_BP = _log_sum(of_e_BP, of_a_BP, of_b_BP)
    e_BP, a_BP, b_BP = (np.exp(part - log_BP) for part in (of_e_BP, of_a_BP, of_b_BP))
    return log_BP, np.stack([e_BP, a_BP, b_BP, -n_P * a_BP, -d_P * b_BP], axis=-1)


def _huber(residual_BP: Array) -> Array:
    """Huber loss summed over runs: quadratic below delta, linear above (Huber, 1964)."""
    size_BP = np.abs(residual_BP)
    summed: Array = np.where(size_BP <= _DELTA, 0.5 * size_BP**2, _DELTA * (size_BP - 0.5 * _DELTA)).sum(
        axis=-1
    )
    return summed


def _descend(theta_B5: Array, x_P2: Array, y_BP: Array) -> tuple[Array, Array]:
    """(parameters, cost): each row descends with its own damping until no step improves it."""
    theta_B5, damping_B = theta_B5.copy(), np.full(len(theta_B5), 1e-2)
    cost_B = _huber(y_BP - _model(theta_B5, x_P2)[0])
    is_active_B = np.ones(len(theta_B5), bool)
    for _ in range(_MAX_ITERATIONS):
        at = np.flatnonzero(is_active_B)
        if not len(at):
            break
        log_BP, slope_BP5 = _model(theta_B5[at], x_P2)
        residual_BP = y_BP[at] - log_BP
        weight_BP = _DELTA / np.maximum(np.abs(residual_BP), _DELTA)
        weighted_BP5 = slope_BP5 * weight_BP[..., None]
        hessian_B55 = weighted_BP5.transpose(0, 2, 1) @ slope_BP5
        gradient_B5 = (weighted_BP5 * residual_BP[..., None]).sum(axis=1)
        step_B5 = np.clip(_damped_step(hessian_B55, gradient_B5, damping_B[at]), -2.0, 2.0)
        candidate_B5 = theta_B5[at] + step_B5
        candidate_cost_B = _huber(y_BP[at] - _model(candidate_B5, x_P2)[0])
        is_better_B = candidate_cost_B < cost_B[at]
        gain_B = (cost_B[at] - candidate_cost_B) / np.maximum(cost_B[at], 1e-300)
        theta_B5[at[is_better_B]], cost_B[at[is_better_B]] = (
            candidate_B5[is_better_B],
            candidate_cost_B[is_better_B],
        )
        damping_B[at] = np.where(is_better_B, damping_B[at] / 3, damping_B[at] * 4)
        is_active_B[at] = np.where(is_better_B, gain_B > 1e-7, damping_B[at] < 1e8)
    return theta_B5, cost_B


def _damped_step(hessian_B55: Array, gradient_B5: Array, damping_B: Array) -> Array:
    """The damped Gauss-Newton step, scaled by curvature so that singular systems stay solvable."""
    unit_B5 = 1 / np.sqrt(np.diagonal(hessian_B55, axis1=1, axis2=2) + 1e-12)
    scaled_B55 = hessian_B55 * unit_B5[:, :, None] * unit_B5[:, None, :]
    scaled_B55 += np.eye(_N_PARAMETERS) * (damping_B[:, None, None] + 1e-9)
    step_B5: Array = unit_B5 * np.linalg.solve(scaled_B55, (unit_B5 * gradient_B5)[..., None])[..., 0]
    return step_B5


def _interval(values: Array, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
