from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cyclip_pl.evaluation.probes.adamw_probe import adamw_probe
from cyclip_pl.evaluation.probes.linear_classifier import accuracy
from tests.helpers.probes import blobs


def naive(
    feature: Tensor, label: Tensor, classes: int, seed: int, epochs: int, batch_size: int
) -> tuple[Tensor, Tensor]:
    """AdamW as its paper writes it (arXiv 1711.05101, algorithm 2), float64, gradients by hand."""
    lr, decay, (b1, b2), eps = 5e-3, 0.01, (0.9, 0.999), 1e-8
    n, width = feature.shape
    generator = torch.Generator().manual_seed(seed)
    parameters = []
    for shape in ((classes, width), (classes,)):
        start = torch.empty(shape).uniform_(-1, 1, generator=generator) / math.sqrt(width)
        parameters.append(start.double())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    steps, step = epochs * math.ceil(n / batch_size), 0
    for _ in range(epochs):
        order = torch.randperm(n, generator=generator).tolist()
        for start in range(0, n, batch_size):
            batch = order[start : start + batch_size]
            gradients = [torch.zeros_like(p) for p in parameters]
            for i in batch:
                x = feature[i].double()
                p = (parameters[0] @ x + parameters[1]).softmax(0)
                p[label[i]] -= 1
                gradients[0] += torch.outer(p, x) / len(batch)
                gradients[1] += p / len(batch)
            rate = lr * (1 + math.cos(math.pi * step / steps)) / 2
            step += 1
            for j, gradient in enumerate(gradients):
                first[j] = b1 * first[j] + (1 - b1) * gradient
                second[j] = b2 * second[j] + (1 - b2) * gradient**2
                update = first[j] / (1 - b1**step)
                update = update / ((second[j] / (1 - b2**step)).sqrt() + eps)
                if j == 0:  # no decay of the bias
                    parameters[j] = parameters[j] * (1 - rate * decay)
                parameters[j] = parameters[j] - rate * update
    return parameters[0], parameters[1]


def test_equals_the_algorithm_in_loops() -> None:
    feature, label = blobs(43, 4, seed=0)  # the last batch has 11 rows
    with torch.no_grad(), torch.autocast("cpu"):  # as within an evaluation
        probe = adamw_probe(feature, label, 5, seed=3, epochs=3)
    weight, bias = naive(feature, label, 5, seed=3, epochs=3, batch_size=16)
    torch.testing.assert_close(probe.weight_KF.double(), weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probe.bias_K.double(), bias, rtol=1e-4, atol=1e-5)


def test_it_is_a_function_of_the_seed_alone() -> None:
    feature, label = blobs(40, 3, seed=1)
    state = torch.get_rng_state()
    one, two, other = (adamw_probe(feature, label, 3, seed=s, epochs=2) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.weight_KF, two.weight_KF) and torch.equal(one.bias_K, two.bias_K)
    assert not torch.equal(one.weight_KF, other.weight_KF)


def test_separable_features_score_one_and_random_ones_chance() -> None:
    feature, label = blobs(160, 4, seed=2)
    test, test_label = blobs(200, 4, seed=3)
    probe = adamw_probe(feature, label, 4)
    assert accuracy(probe.predict(test), test_label) == 1
    generator = torch.Generator().manual_seed(4)
    noise, test_noise = (torch.randn(n, 8, generator=generator) for n in (160, 2000))
    at_random = adamw_probe(noise, label, 4, epochs=4).predict(test_noise)
    assert accuracy(at_random, torch.arange(2000) % 4) == pytest.approx(0.25, abs=0.05)


def test_one_class() -> None:
    probe = adamw_probe(torch.randn(5, 3), torch.zeros(5, dtype=torch.int64), 1, epochs=1)
    assert probe.predict(torch.randn(4, 3)).tolist() == [0, 0, 0, 0]
