"""Multinomial logistic regression by L-BFGS, its regularisation found on held-out examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cyclip_pl.evaluation.probes.linear_classifier import LinearClassifier, accuracy
from cyclip_pl.evaluation.probes.row_splits import hold_out

_ROWS = 16384
_ITERATIONS = 1000
_CHECKED = 10  # iterations between two looks at the gradient
# Pairs of steps that L-BFGS remembers. More take fewer iterations: 100 take half of what 20 do.
_HISTORY = 20, 100
_HISTORY_BYTES = 256 * 2**20  # what more than the least may take


@dataclass(frozen=True)
class Axes:
    """Principal axes of N features.

    Attributes:
        mean_F: The features' mean, float64.
        axis_FR: The R axes, orthonormal columns; R is the lesser of N and F.
        scatter_R: The sum of squares along each axis, about the mean.
    """

    mean_F: Tensor
    axis_FR: Tensor
    scatter_R: Tensor


def principal_axes(feature_NF: Tensor) -> Axes:
    """The axes of all rows, which must be finite; some rows at a time."""
    blocks = feature_NF.split(_ROWS)
    samples, width = feature_NF.shape
    mean_F = sum(block.double().sum(0) for block in blocks) / samples
    assert isinstance(mean_F, Tensor)
    if samples < width:
        _, root_R, axis_RF = torch.linalg.svd(feature_NF.double() - mean_F, full_matrices=False)
        return Axes(mean_F, axis_RF.T, root_R.square())
    scatter_FF = mean_F.new_zeros(width, width)
    for block in blocks:
        centred_nF = block.double() - mean_F
        scatter_FF += centred_nF.T @ centred_nF
    scatter_F, axis_FF = torch.linalg.eigh(scatter_FF)
    return Axes(mean_F, axis_FF, scatter_F.clamp(min=0))


def objective(
    weight_KF: Tensor, bias_K: Tensor, feature_NF: Tensor, label_N: Tensor, l2: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(1/N) [sum_n CE_n + l2/2 |W|^2] and its gradients by W and by the bias.

    `l2` is 1/C of scikit-learn's LogisticRegression. Float64, some rows at a time, so that no
    N x K is held.
    """
    loss = l2 / 2 * weight_KF.square().sum()
    by_weight_KF, by_bias_K = l2 * weight_KF, torch.zeros_like(bias_K)
    for x_nF, y_n in zip(feature_NF.split(_ROWS), label_N.split(_ROWS), strict=True):
        x_nF = x_nF.double()
        # Classes first: with few of them both products are faster so.
        log_p_Kn = torch.addmm(bias_K[:, None], weight_KF, x_nF.T).log_softmax(0)
        loss = loss - log_p_Kn.gather(0, y_n[None]).sum()
        error_Kn = log_p_Kn.exp()
        error_Kn.scatter_add_(0, y_n[None], -torch.ones_like(error_Kn[:1]))
        by_weight_KF = by_weight_KF + error_Kn @ x_nF
        by_bias_K = by_bias_K + error_Kn.sum(1)
    samples = len(feature_NF)
    return loss / samples, by_weight_KF / samples, by_bias_K / samples


def lbfgs_probe(
    feature_NF: Tensor,
    label_N: Tensor,
    classes: int,
    l2: float,
    device: torch.device | str | None = None,
    tolerance: float = 1e-4,
    axes: Axes | None = None,
) -> LinearClassifier:
    """The minimum of `objective`, from zero, in float64: no randomness.

    At most 1,000 iterations, as in CLIP's linear probe (arXiv 2103.00020, appendix A.3). A class
    without an example has no minimum, since its bias would fall for ever: it is left out of the fit
    and never predicted. From features that are not finite comes a classifier that predicts nothing.

    Args:
        feature_NF: (N, F), any float type.
        label_N: int64, below `classes`.
        classes: K.
        l2: Above 0.
        device: Where to fit; that of the features if None. All of them go there.
        tolerance: Done when no entry of the gradient is above this share of the largest at zero,
            which is a stop for features of any scale and any number of classes.
        axes: `principal_axes(feature_NF)`, where several fits share them.
    """
    feature_NF = feature_NF.to(device or feature_NF.device)
    present_P, dense_N = label_N.to(feature_NF.device).unique(return_inverse=True)
    zeros = feature_NF.new_zeros
    bias_P = zeros(len(present_P), dtype=torch.float64)
    weight_PF = zeros(len(present_P), feature_NF.shape[1], dtype=torch.float64)
    if not bool(feature_NF.isfinite().all()):
        return LinearClassifier(weight_PF + torch.nan, bias_P + torch.nan)
    axes = axes or principal_axes(feature_NF)
    whole = len(feature_NF) <= _ROWS
    if whole:  # turned once, and all in few dimensions where the examples are few
        feature_NF = (feature_NF.double() - axes.mean_F) @ axes.axis_FR
    # At zero the Hessian of a class is about the scatter / P; in these coordinates it is about 1,
    # so L-BFGS takes a tenth of the iterations. The minimum is the same.
    scale_R = (axes.scatter_R / len(present_P) + l2).rsqrt()
    theta_PR = zeros(len(present_P), len(scale_R), dtype=torch.float64)
    pair = 16 * (theta_PR.numel() + bias_P.numel())  # bytes
    optimizer = torch.optim.LBFGS(
        [theta_PR, bias_P],
        max_iter=_CHECKED,
        max_eval=2 * _CHECKED,
        history_size=min(max(_HISTORY_BYTES // pair, _HISTORY[0]), _HISTORY[1]),
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def classifier() -> tuple[Tensor, Tensor]:
        weight_PF = (theta_PR * scale_R) @ axes.axis_FR.T
        return weight_PF, bias_P - weight_PF @ axes.mean_F

    def gradients() -> tuple[Tensor, Tensor, Tensor]:
        """The objective and its gradients by the weights along the axes and by their bias."""
        if whole:
            return objective(theta_PR * scale_R, bias_P, feature_NF, dense_N, l2)
        loss, by_weight_PF, by_bias_P = objective(*classifier(), feature_NF, dense_N, l2)
        along_PR = (by_weight_PF - by_bias_P[:, None] * axes.mean_F) @ axes.axis_FR
        return loss, along_PR, by_bias_P

    known: list[Tensor] = []  # of the present weights, whose gradients are there too

    def closure() -> Tensor:
        if known:
            return known.pop()
        loss, along_PR, by_bias_P = gradients()
        theta_PR.grad, bias_P.grad = along_PR * scale_R, by_bias_P
        return loss

    def steepness() -> float:
        """The largest entry of the gradient by a classifier's weights and bias."""
        known.append(closure())
        assert theta_PR.grad is not None and bias_P.grad is not None
        by_weight_PF = (theta_PR.grad / scale_R) @ axes.axis_FR.T
        by_weight_PF += bias_P.grad[:, None] * axes.mean_F
        return max(by_weight_PF.abs().max().item(), bias_P.grad.abs().max().item())

    with torch.no_grad():
        enough = tolerance * steepness()
        for _ in range(_ITERATIONS // _CHECKED):
            optimizer.step(closure)  # type: ignore[arg-type]
            if steepness() <= enough:
                break
        weight_KF = zeros(classes, len(axes.mean_F), dtype=torch.float64)
        bias_K = torch.full((classes,), -torch.inf, dtype=torch.float64, device=weight_KF.device)
        weight_KF[present_P], bias_K[present_P] = classifier()
    return LinearClassifier(weight_KF, bias_K)


def search_l2(score: Callable[[float], float]) -> float:
    """The l2 of the best score between 1e-6 and 1e6, to an eighth of a decade.

    CLIP's search (arXiv 2103.00020, appendix A.3): every second decade, then the neighbours of the
    best at half the distance, until they are an eighth of a decade away. Of equal scores the
    larger l2 wins.
    """
    scores = {float(exponent): score(10.0**exponent) for exponent in range(-6, 7, 2)}

    def best() -> float:
        return max(scores, key=lambda exponent: (scores[exponent], exponent))

    step = 1.0
    while step >= 1 / 8:
        middle = best()
        for exponent in (middle - step, middle + step):
            if -6 <= exponent <= 6 and exponent not in scores:
                scores[exponent] = score(10.0**exponent)
        step /= 2
    return 10.0 ** best()


def searched_lbfgs_probe(
    feature_NF: Tensor,
    label_N: Tensor,
    classes: int,
    seed: int = 0,
    held_out: float = 0.2,
    metric: Callable[[Tensor, Tensor], float] = accuracy,
    device: torch.device | str | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
) -> tuple[LinearClassifier, float]:
    """`lbfgs_probe` of all rows with the l2 that is best on a held-out part, and that l2.

    Args:
        seed: Of the part.
        held_out: Its share of each class.
        validation: Features and labels to search on in its place; the final fit has them too.
        metric: (predictions, labels) -> the value to maximise.

    Raises:
        ValueError: No class has two examples, so that one could be held out.
    """
    feature_NF = feature_NF.to(device or feature_NF.device)
    if validation is None:
        fit, validate = hold_out(label_N, held_out, seed)
        fit_nF, validate_nF = (feature_NF[rows.to(feature_NF.device)] for rows in (fit, validate))
        fit_n, validate_n = label_N[fit], label_N[validate]
    else:
        fit_nF, fit_n = feature_NF, label_N
        validate_nF, validate_n = validation[0].to(feature_NF.device), validation[1]
        feature_NF = torch.cat([feature_NF, validate_nF])
        label_N = torch.cat([label_N, validate_n])

    axes = principal_axes(fit_nF) if bool(fit_nF.isfinite().all()) else None

    def score(l2: float) -> float:
        probe = lbfgs_probe(fit_nF, fit_n, classes, l2, axes=axes)
        return metric(probe.predict(validate_nF), validate_n)

    l2 = search_l2(score)
    return lbfgs_probe(feature_NF, label_N, classes, l2), l2
