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


def contrastive(
    image: Tensor, text: Tensor, scale: Tensor | float, captions: list[int] | None = None
) -> Tensor:
    """½[CE(s·I·Tᵀ, diag) + CE(s·T·Iᵀ, diag)], sample by sample.

    Samples of equal `captions` are not each other's negatives.
    """
    n = len(image)
    captions = captions or list(range(n))
    total = image.new_zeros(())
    for j in range(n):
        for rows, columns in ((image, text), (text, image)):
            compared = [k for k in range(n) if k == j or captions[k] != captions[j]]
            scores = {k: scale * torch.dot(rows[j], columns[k]) for k in compared}
            total = total - scores[j] + torch.logsumexp(torch.stack([*scores.values()]), 0)
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


def sigmoid_matrix(
    image: Tensor, text: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """`sigmoid` from the whole matrix of scores, for sizes at which pairs take too long."""
    z = 2 * torch.eye(len(image), dtype=image.dtype) - 1
    scores = scale * image @ text.T + bias
    return -torch.nn.functional.logsigmoid(z * scores).sum() / len(image)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss over the rows of both views, row by row."""
    rows, n = [*first, *second], len(first)
    total = first.new_zeros(())
    for i, row in enumerate(rows):
        others = [k for k in range(2 * n) if k != i]
        scores = {k: row.dot(rows[k]) / temperature for k in others}
        partner = i + n if i < n else i - n
        total = total - scores[partner] + torch.logsumexp(torch.stack(list(scores.values())), 0)
    return total / (2 * n)


def mp_nce(
    image: Tensor,
    text: Tensor,
    scales: Tensor,
    offsets: Tensor,
    pair_weight: str,
    denominator: str = "shared",
    captions: list[int] | None = None,
) -> Tensor:
    """Pair by pair, in exponentials, as the paper writes it.

    `denominator="domain"`: over the negatives of the positive's modality. Samples of equal
    `captions` are not each other's negatives.
    """
    captions = captions or list(range(image.shape[1]))
    everything = [
        (modality, view, sample, views[view, sample])
        for modality, views in enumerate((image, text))
        for view in range(len(views))
        for sample in range(views.shape[1])
    ]

    def similarity(a, b):
        domain = a[0] + b[0]
        return (a[3].dot(b[3]) - offsets[domain]) * scales[domain]

    losses: dict[tuple[int, int], list[Tensor]] = {}
    for i in everything:
        for p in everything:
            if p[2] == i[2] and p is not i:
                positive = torch.exp(similarity(i, p))
                negatives = [
                    torch.exp(similarity(i, n))
                    for n in everything
                    if captions[n[2]] != captions[i[2]]
                    and (denominator == "shared" or n[0] == p[0])
                ]
                loss = -torch.log(positive / (positive + sum(negatives)))
                losses.setdefault((i[0], p[0]), []).append(loss)
    if pair_weight == "uniform":
        every = [loss for group in losses.values() for loss in group]
        return sum(every) / len(every)
    return sum(sum(group) / len(group) for group in losses.values()) / len(losses)


def cluster_terms(
    log_p: Tensor, log_q: Tensor, stop_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """½[CE(p,q) + CE(q,p)], ½ mean[H(p) + H(q)], ½[H(p̄) + H(q̄)], cluster by cluster."""
    n, clusters = log_p.shape
    cross_entropy = entropy = of_mean = log_p.new_zeros(())
    for a, b in ((log_p, log_q), (log_q, log_p)):
        for k in range(clusters):
            mean = log_p.new_zeros(())
            for j in range(n):
                target = a[j, k].exp()
                entropy = entropy - target * a[j, k] / (2 * n)
                mean = mean + target / n
                target = target.detach() if stop_gradient else target
                cross_entropy = cross_entropy - target * b[j, k] / (2 * n)
            of_mean = of_mean - mean * mean.log() / 2
    return cross_entropy, entropy, of_mean
