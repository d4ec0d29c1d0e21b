from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from cyclip_pl.evaluation.probes import lbfgs_probe as module
from cyclip_pl.evaluation.probes.lbfgs_probe import (
    lbfgs_probe,
    objective,
    search_l2,
    searched_lbfgs_probe,
)
from cyclip_pl.evaluation.probes.linear_classifier import accuracy, mean_per_class_recall
from cyclip_pl.evaluation.probes.row_splits import hold_out
from tests.helpers.probes import blobs


def naive_objective(parameters: Tensor, feature: Tensor, label: Tensor, l2: float) -> Tensor:
    """Of (K, F + 1) parameters, the bias last; row by row."""
    weight, bias = parameters[:, :-1], parameters[:, -1]
    total = l2 / 2 * (weight**2).sum()
    for x, y in zip(feature, label.tolist(), strict=True):
        logits = torch.stack([w.dot(x) + b for w, b in zip(weight, bias, strict=True)])
        total = total + logits.exp().sum().log() - logits[y]
    return total / len(feature)


def noisy(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    feature, label = blobs(samples, 3, seed, spread=1.5)
    return feature.double(), label


@pytest.mark.parametrize("rows", [1, 5, 16384])
def test_objective_and_gradients(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    feature, label = noisy(17, seed=0)
    generator = torch.Generator().manual_seed(1)
    parameters = torch.randn(3, 4, dtype=torch.float64, generator=generator).requires_grad_()
    expected = naive_objective(parameters, feature, label, 0.7)
    expected.backward()
    p = parameters.detach()
    loss, by_weight, by_bias = objective(p[:, :-1], p[:, -1], feature, label, 0.7)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(torch.cat([by_weight, by_bias[:, None]], 1), parameters.grad)


@pytest.mark.parametrize("l2", [0.05, 1.0, 30.0])
def test_the_minimum_is_that_of_scikit_learn(l2: float) -> None:
    feature, label = noisy(40, seed=2)
    probe = lbfgs_probe(feature, label, 3, l2, tolerance=1e-8)
    peer = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000).fit(feature, label)
    weight, bias = torch.tensor(peer.coef_), torch.tensor(peer.intercept_)
    torch.testing.assert_close(probe.weight_KF, weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(probe.bias_K, bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("l2", [1e-6, 1e-2, 1.0, 1e6])
def test_the_gradient_is_small_at_the_end(l2: float) -> None:
    feature, label = blobs(300, 6, seed=3, spread=1.0)
    probe = lbfgs_probe(feature, label, 6, l2)
    zero = torch.zeros_like(probe.weight_KF), torch.zeros_like(probe.bias_K)
    largest = []
    for weight, bias in (zero, (probe.weight_KF, probe.bias_K)):
        _, *gradients = objective(weight, bias, feature, label, l2)
        largest.append(max(g.abs().max().item() for g in gradients))
    assert largest[1] <= 1e-4 * largest[0]


def test_a_class_without_examples_is_never_predicted() -> None:
    feature, label = noisy(60, seed=4)
    probe = lbfgs_probe(feature, 2 * label, 6, 0.1)  # 1, 3 and 5 have none
    dense = lbfgs_probe(feature, label, 3, 0.1)
    assert probe.bias_K[[1, 3, 5]].tolist() == [-math.inf] * 3
    assert torch.equal(probe.predict(feature), 2 * dense.predict(feature))


def test_the_scale_of_the_features_is_no_matter() -> None:
    feature, label = noisy(60, seed=4)
    probe, small = (lbfgs_probe(x, label, 3, l2) for x, l2 in ((feature, 1), (feature / 1e4, 1e-8)))
    torch.testing.assert_close(small.weight_KF / 1e4, probe.weight_KF, rtol=1e-2, atol=1e-2)


def test_features_that_are_not_finite_predict_nothing() -> None:
    feature, label = noisy(9, seed=4)
    feature[3, 1] = torch.inf
    assert lbfgs_probe(feature, label, 3, 1.0).predict(feature.nan_to_num()).tolist() == [-1] * 9


def test_one_class() -> None:
    probe = lbfgs_probe(torch.randn(5, 3), torch.full((5,), 2), 4, 1.0)
    assert probe.predict(torch.randn(4, 3)).tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("peak", [-6.0, -5.875, -1.25, 0.0, 2.875, 6.0])
def test_the_search_finds_the_peak_to_an_eighth_of_a_decade(peak: float) -> None:
    tried = []

    def score(l2: float) -> float:
        tried.append(math.log10(l2))
        return -abs(math.log10(l2) - peak)

    assert math.log10(search_l2(score)) == pytest.approx(peak)
    assert tried[:7] == pytest.approx([-6, -4, -2, 0, 2, 4, 6])
    assert len(tried) == len(set(tried)) <= 7 + 8
    assert all(-6 <= exponent <= 6 for exponent in tried)


def test_of_equal_scores_the_search_takes_the_largest() -> None:
    assert search_l2(lambda l2: 0.5) == 1e6
    assert math.log10(search_l2(lambda l2: float(l2 <= 100))) == pytest.approx(2)


def test_the_searched_probe_is_the_best_of_the_held_out_part_refitted_on_all() -> None:
    feature, label = blobs(120, 4, seed=5, spread=1.5)
    probe, l2 = searched_lbfgs_probe(feature, label, 4, seed=1, metric=mean_per_class_recall)
    again, same = searched_lbfgs_probe(feature, label, 4, seed=1, metric=mean_per_class_recall)
    assert l2 == same and torch.equal(probe.weight_KF, again.weight_KF)
    refitted = lbfgs_probe(feature, label, 4, l2)
    assert torch.equal(probe.weight_KF, refitted.weight_KF)
    fit, held_out = hold_out(label, 0.2, seed=1)

    def score(l2: float) -> float:
        prediction = lbfgs_probe(feature[fit], label[fit], 4, l2).predict(feature[held_out])
        return mean_per_class_recall(prediction, label[held_out])

    scores = {exponent: score(10.0**exponent) for exponent in range(-6, 7)}
    assert len(set(scores.values())) > 1
    assert score(l2) >= max(scores[exponent] for exponent in range(-6, 7, 2))


def test_a_validation_split_is_searched_on_and_fitted_with() -> None:
    feature, label = blobs(60, 4, seed=5, spread=2.5)
    others, of_others = blobs(80, 4, seed=6, spread=2.5)
    probe, l2 = searched_lbfgs_probe(feature, label, 4, validation=(others, of_others))

    def score(l2: float) -> float:
        return accuracy(lbfgs_probe(feature, label, 4, l2).predict(others), of_others)

    assert score(l2) >= max(score(10.0**exponent) for exponent in range(-6, 7, 2))
    refitted = lbfgs_probe(torch.cat([feature, others]), torch.cat([label, of_others]), 4, l2)
    assert torch.equal(probe.weight_KF, refitted.weight_KF)
    assert l2 != searched_lbfgs_probe(feature, label, 4)[1]


def test_separable_features_score_one_and_random_ones_chance() -> None:
    feature, label = blobs(160, 4, seed=7)
    test, test_label = blobs(200, 4, seed=8)
    probe, _ = searched_lbfgs_probe(feature, label, 4)
    assert accuracy(probe.predict(test), test_label) == 1
    generator = torch.Generator().manual_seed(9)
    noise, test_noise = (torch.randn(n, 8, generator=generator) for n in (160, 2000))
    at_random = lbfgs_probe(noise, label, 4, 1.0).predict(test_noise)
    assert accuracy(at_random, torch.arange(2000) % 4) == pytest.approx(0.25, abs=0.05)


def test_examples_of_which_none_can_be_held_out() -> None:
    with pytest.raises(ValueError, match="^no class has two examples"):
        searched_lbfgs_probe(torch.eye(3), torch.arange(3), 3)
