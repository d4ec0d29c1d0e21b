"""The papers' formulas in float64 and plain loops, independent of the package."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def unit_rows(n: int, d: int, seed: int, correlation: float = 0.5) -> tuple[Tensor, Tensor]:
    """Two (n, d) float64 sets of unit rows that agree as much as `correlation` says."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(n, d, dtype=torch.float64, generator=generator)
    noise = torch.randn(n, d, dtype=torch.float64, generator=generator)
    text = correlation * image + (1 - correlation) * noise
    return image / image.norm(dim=1, keepdim=True), text / text.norm(dim=1, keepdim=True)


def contrastive(image: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """½[CE(s·I·Tᵀ, diag) + CE(s·T·Iᵀ, diag)], sample by sample."""
    n = len(image)
    total = image.new_zeros(())
    for j in range(n):
        for rows, columns in ((image, text), (text, image)):
            scores = [scale * torch.dot(rows[j], columns[k]) for k in range(n)]
            total = total - scores[j] + torch.logsumexp(torch.stack(scores), 0)
    return total / (2 * n)


def in_modal(image: Tensor, text: Tensor) -> Tensor:
    """(1/N) Σ_jk (⟨I_j,I_k⟩ − ⟨T_j,T_k⟩)², pair by pair."""
    n = len(image)
    total = image.new_zeros(())
    for j in range(n):
        for k in range(n):
            total = total + (image[j].dot(image[k]) - text[j].dot(text[k])) ** 2
    return total / n


def cross_modal(image: Tensor, text: Tensor) -> Tensor:
    """(1/N) Σ_jk (⟨I_j,T_k⟩ − ⟨I_k,T_j⟩)², pair by pair."""
    n = len(image)
    total = image.new_zeros(())
    for j in range(n):
        for k in range(n):
            total = total + (image[j].dot(text[k]) - image[k].dot(text[j])) ** 2
    return total / n


def with_gradients(function, *inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Values of `function(*inputs)` and the gradients of their plain sum, weighted 1, 2, 3, …."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    values = function(*leaves)
    values = list(values) if isinstance(values, (tuple, list)) else [values]
    sum((i + 1) * v for i, v in enumerate(values)).backward()
    return [v.detach() for v in values], [x.grad for x in leaves]


def saved_bytes(function, *given: Tensor) -> int:
    """Of all that `function()` keeps for its gradient and was not given, each memory once."""
    known = {x.untyped_storage().data_ptr() for x in given}
    saved: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(size for place, size in saved.items() if place not in known)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """‖actual − expected‖ / ‖expected‖."""
    actual, expected = actual.double(), expected.double()
    return ((actual - expected).norm() / expected.norm().clamp(min=math.ulp(0.0))).item()


def info_nce(query: Tensor, key: Tensor, scale: Tensor | float) -> Tensor:
    """CE(s·Q·Kᵀ, diag), row by row."""
    n = len(query)
    total = query.new_zeros(())
    for j in range(n):
        scores = [scale * torch.dot(query[j], key[k]) for k in range(n)]
        total = total - scores[j] + torch.logsumexp(torch.stack(scores), 0)
    return total / n


def sigmoid(image: Tensor, text: Tensor, scale: Tensor | float, bias: Tensor | float) -> Tensor:
    """−(1/N) Σ_jk log σ(z_jk(s·⟨I_j,T_k⟩ + b)), pair by pair."""
    n = len(image)
    total = image.new_zeros(())
    for j in range(n):
        for k in range(n):
            z = 1 if j == k else -1
            score = scale * image[j].dot(text[k]) + bias
            total = total + torch.log1p(torch.exp(-z * score))
    return total / n
