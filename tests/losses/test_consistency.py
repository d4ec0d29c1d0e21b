import pytest
import torch

from cyclip_pl import distributed
from cyclip_pl.losses.consistency import (
    consistency_penalty,
    consistency_terms,
    cross_modal_consistency,
    in_modal_consistency,
)
from tests.helpers import formulas
from tests.helpers.distributed import run_distributed
from tests.helpers.formulas import relative_error, saved_bytes, unit_rows, with_gradients

FORMS = ["gram", "direct", None]


def _formulas(image, text):
    return formulas.in_modal(image, text), formulas.cross_modal(image, text)


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 5), (7, 4), (5, 16), (13, 8)])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_the_formulas(n, d, form) -> None:
    rows = unit_rows(n, d, seed=10 * n + d)
    values, gradients = with_gradients(lambda i, t: consistency_terms(i, t, form), *rows)
    expected, expected_gradients = with_gradients(_formulas, *rows)
    torch.testing.assert_close(values, expected, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_each_term_alone_is_the_same_term(form) -> None:
    image, text = unit_rows(6, 4, seed=2)
    both = consistency_terms(image, text, form)
    alone = in_modal_consistency(image, text, form), cross_modal_consistency(image, text, form)
    torch.testing.assert_close(both, alone, rtol=1e-12, atol=0)


WEIGHTS = [(0.25, 0.25), (0.5, 0.0), (0.0, 0.7), (0.1, 0.4)]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("form", ["gram", "direct"])
def test_the_penalty_is_the_weighted_sum(form, weights) -> None:
    rows = unit_rows(7, 4, seed=11)

    def weighted(image, text):
        return sum(w * term for w, term in zip(weights, _formulas(image, text), strict=True))

    penalty, gradients = with_gradients(
        lambda i, t: consistency_penalty(i, t, *weights, form)[0], *rows
    )
    expected, expected_gradients = with_gradients(weighted, *rows)
    torch.testing.assert_close(penalty, expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-9, atol=1e-12)
    readings = consistency_penalty(*(x.requires_grad_() for x in rows), *weights, form)[1:]
    torch.testing.assert_close(readings, consistency_terms(*rows, form), rtol=1e-12, atol=0)
    assert not any(x.requires_grad for x in readings)


def test_a_penalty_without_weights_has_no_gradient() -> None:
    rows = [x.requires_grad_() for x in unit_rows(16, 4, seed=11)]
    penalty, *readings = consistency_penalty(*rows, 0.0, 0.0)
    assert penalty == 0 and not penalty.requires_grad
    assert all(x > 0 for x in readings)


def test_equal_weights_spare_the_gram_form_half_its_products_backward(monkeypatch) -> None:
    import cyclip_pl.losses.kernels.gram as module

    products = []
    plain = module.product
    monkeypatch.setattr(module, "product", lambda a, b: products.append(1) or plain(a, b))
    for weights, backward in (((0.25, 0.25), 2), ((0.25, 0.5), 4)):
        rows = [x.requires_grad_() for x in unit_rows(16, 4, seed=11)]
        penalty = consistency_penalty(*rows, *weights, "gram")[0]
        products.clear()
        penalty.backward()
        assert len(products) == backward


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(("n", "d"), [(64, 128), (512, 64), (1500, 33)])
def test_forms_agree_to_float32_rounding(n, d, correlation) -> None:
    rows = unit_rows(n, d, seed=5, correlation=correlation)
    exact, exact_gradients = with_gradients(lambda i, t: consistency_terms(i, t, "direct"), *rows)
    narrow = [x.float() for x in rows]
    for form in ("gram", "direct"):
        values, gradients = with_gradients(lambda i, t, f=form: consistency_terms(i, t, f), *narrow)
        for actual, expected in zip([*values, *gradients], [*exact, *exact_gradients], strict=True):
            assert relative_error(actual, expected) < 5e-6, form


def test_digits_survive_when_the_modalities_align() -> None:
    # The textbook Gram form subtracts ‖IᵀI‖² + ‖TᵀT‖² − 2‖TᵀI‖² here and keeps no digit.
    image, noise = unit_rows(512, 64, seed=6, correlation=0.0)
    text = torch.nn.functional.normalize(image + 1e-4 * noise, dim=1)
    exact = in_modal_consistency(image, text, "direct")
    assert relative_error(in_modal_consistency(image.float(), text.float(), "gram"), exact) < 2e-2
    a, b, m = (x.float() for x in (image.T @ image, text.T @ text, text.T @ image))
    textbook = (a.square().sum() + b.square().sum() - 2 * m.square().sum()) / 512
    assert relative_error(textbook, exact) > 0.5


def test_beside_the_rows_the_gram_form_keeps_as_much_whatever_n_is() -> None:
    kept = {}
    for form in ("gram", "direct"):
        for n in (64, 256):
            rows = [x.float().requires_grad_() for x in unit_rows(n, 8, seed=1)]
            kept[form, n] = saved_bytes(
                lambda r=rows, f=form: consistency_penalty(*r, 0.25, 0.5, f), *rows
            )
    assert kept["gram", 64] == kept["gram", 256] <= 4 * 4 * 8**2
    assert kept["direct", 256] > 10 * kept["direct", 64]


def test_form_is_chosen_by_shape(monkeypatch) -> None:
    import cyclip_pl.losses.consistency as module

    calls = []

    def spied(name, form):
        return lambda *x: calls.append(name) or form(*x)

    for name, form in list(module._FORMS.items()):
        monkeypatch.setitem(module._FORMS, name, spied(name, form))
    consistency_terms(*unit_rows(11, 8, seed=0))
    consistency_terms(*unit_rows(12, 8, seed=0))
    assert calls == ["direct", "gram"]


def test_a_wider_dtype_is_used_under_autocast() -> None:
    image, text = (x.bfloat16() for x in unit_rows(64, 32, seed=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = consistency_terms(image, text)
    expected = consistency_terms(image.double(), text.double())
    for actual, exact in zip(terms, expected, strict=True):
        assert actual.dtype == torch.float32
        assert relative_error(actual, exact) < 1e-5


def _on_rank(image, text):
    rank, world = distributed.rank(), distributed.world_size()
    mine = slice(rank * len(image) // world, (rank + 1) * len(image) // world)
    functions = [lambda i, t, f=form: consistency_terms(i, t, f) for form in FORMS] + [
        lambda i, t, w=weights, f=form: consistency_penalty(i, t, *w, f)[0]
        for weights in WEIGHTS
        for form in ("gram", "direct")
    ]
    return [with_gradients(function, image[mine], text[mine]) for function in functions]


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_equal_one_process(world) -> None:
    rows = unit_rows(12, 5, seed=3)
    of_formulas = [with_gradients(_formulas, *rows)] * len(FORMS) + [
        with_gradients(lambda i, t, w=weights: consistency_penalty(i, t, *w, "direct")[0], *rows)
        for weights in WEIGHTS
        for _ in range(2)
    ]
    ranks = run_distributed(_on_rank, world, *rows)
    for n, (values, gradients) in enumerate(of_formulas):
        for rank in ranks:
            torch.testing.assert_close(rank[n][0], values, rtol=1e-11, atol=0)
        for i in range(2):
            rank_rows = torch.cat([rank[n][1][i] for rank in ranks]) / world
            torch.testing.assert_close(rank_rows, gradients[i], rtol=1e-9, atol=1e-12)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form=cosine: must be null or one of gram, direct"):
        consistency_terms(*unit_rows(2, 2, seed=0), form="cosine")
