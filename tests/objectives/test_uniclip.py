import pytest
import torch

from cyclip_pl.objectives.needs import Needs
from cyclip_pl.objectives.uniclip import UniCLIP
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import mp_nce, with_gradients


def _moved(**settings) -> UniCLIP:
    """Every learnable scalar at a place of its own."""
    objective = UniCLIP(**settings).double()
    for number, parameter in enumerate(objective.parameters()):
        parameter.data.fill_(0.3 + 0.2 * number)
    return objective


@pytest.mark.parametrize("pair_weight", ["balanced", "uniform"])
def test_total_and_gradients_are_the_papers(pair_weight) -> None:
    objective, rows = _moved(pair_weight=pair_weight), embeddings(Needs(3), n=5)
    terms, gradients, parameters = run(objective, rows)

    def formula(image, text, log_ii, log_it, log_tt, b_ii, b_it):
        scales = torch.cat([log_ii, log_it, log_tt]).exp()
        offsets = torch.cat([b_ii, b_it, b_it * scales[1] / scales[2]])
        return mp_nce(image, text, scales, offsets, pair_weight)

    names = (
        "image_logit_scale",
        "logit_scale",
        "text_logit_scale",
        "image_offset",
        "offset",
    )
    assert parameters.keys() == set(names)
    scalars = [getattr(objective, name).detach() for name in names]
    (value,), expected = with_gradients(formula, rows.image, rows.text, *scalars)
    torch.testing.assert_close(terms["total"], value)
    actual = [gradients["image"], gradients["text"], *(parameters[name] for name in names)]
    torch.testing.assert_close(actual, expected)


def _share_of_text_negatives(tie: bool) -> float:
    """Of a text's denominator, after 400 steps of the scalars alone on rows that stay."""
    objective, rows = UniCLIP(tie_text_offset=tie), embeddings(Needs(3), n=12, width=8)
    optimizer = torch.optim.Adam(objective.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        objective(rows)["total"].backward()
        optimizer.step()
        objective.clamp_()
    scalars = objective.scalars()
    (text,), itself = rows.text, torch.eye(12, dtype=torch.bool)

    def negatives(others, domain):
        scores = (text @ others.T - scalars[f"offset_{domain}"]) * scalars[domain_scale[domain]]
        return scores.masked_fill(itself, -torch.inf).exp().sum(1)

    domain_scale = {"text_text": "scale_text_text", "image_text": "scale"}
    images = sum(negatives(view, "image_text") for view in rows.image)
    texts = negatives(text, "text_text")
    return (texts / (texts + images)).mean().item()


@pytest.mark.slow
def test_an_untied_text_offset_switches_its_negatives_off() -> None:
    assert _share_of_text_negatives(tie=False) < 1e-3
    assert _share_of_text_negatives(tie=True) > 0.02


def test_scales_start_and_stay_in_their_range() -> None:
    objective = UniCLIP(max_scale=50.0)
    assert objective.scalars()["scale"].item() == pytest.approx(1 / 0.07)
    for parameter in objective.parameters():
        parameter.data.fill_(9.0)
    objective.clamp_()
    scalars = objective.scalars()
    for name in ("scale", "scale_image_image", "scale_text_text"):
        assert scalars[name].item() == pytest.approx(50)
    assert scalars["offset_image_text"] == 9.0


def test_another_pair_weight_is_refused() -> None:
    with pytest.raises(
        ValueError, match="objective.pair_weight=.*: must be one of balanced, uniform"
    ):
        UniCLIP(pair_weight="mean")


def test_one_domain_is_mp_nce_with_one_scale() -> None:
    objective, rows = _moved(domain_dependent=False), embeddings(Needs(3), n=5)
    terms, gradients, parameters = run(objective, rows)

    def formula(image, text, log_scale):
        return mp_nce(image, text, log_scale.exp().expand(3), torch.zeros(3), "balanced")

    assert parameters.keys() == {"logit_scale"}
    scalar = objective.logit_scale.detach()
    (value,), expected = with_gradients(formula, rows.image, rows.text, scalar)
    torch.testing.assert_close(terms["total"], value)
    actual = [gradients["image"], gradients["text"], parameters["logit_scale"]]
    torch.testing.assert_close(actual, expected)
    objective.logit_scale.data.fill_(9.0)
    objective.clamp_()
    scalars = objective.scalars()
    assert scalars["scale"] == scalars["scale_text_text"] == pytest.approx(100.0)


def test_an_offset_at_the_start() -> None:
    assert UniCLIP(init_image_offset=0.3).scalars()["offset_image_image"] == pytest.approx(0.3)
    with pytest.raises(ValueError, match="^objective.init_image_offset=2"):
        UniCLIP(init_image_offset=2.0)
    for settings in ({"init_image_offset": 0.3}, {"tie_text_offset": False}):
        with pytest.raises(ValueError, match="^objective.domain_dependent=false: has no offsets"):
            UniCLIP(domain_dependent=False, **settings)


def test_a_denominator_of_each_domain_has_no_offsets() -> None:
    objective, rows = _moved(denominator="domain"), embeddings(Needs(3), n=5)
    terms, gradients, parameters = run(objective, rows)

    def formula(image, text, log_it, log_ii, log_tt):
        scales = torch.cat([log_ii, log_it, log_tt]).exp()
        return mp_nce(image, text, scales, torch.zeros(3), "balanced", "domain")

    names = ("logit_scale", "image_logit_scale", "text_logit_scale")
    assert parameters.keys() == set(names)
    scalars = [getattr(objective, name).detach() for name in names]
    (value,), expected = with_gradients(formula, rows.image, rows.text, *scalars)
    torch.testing.assert_close(terms["total"], value)
    actual = [gradients["image"], gradients["text"], *(parameters[name] for name in names)]
    torch.testing.assert_close(actual, expected)
    with pytest.raises(ValueError, match="^objective.denominator=domain: has no offsets"):
        UniCLIP(denominator="domain", init_image_offset=0.3)
    with pytest.raises(ValueError, match="^objective.denominator=.*: must be one of"):
        UniCLIP(denominator="own")


def test_equal_captions_are_masked() -> None:
    rows = embeddings(Needs(3), n=6)
    objective = UniCLIP(mask_equal_captions=True, init_scale=9.0).double()
    captions = rows.caption_ids[0].tolist()
    scales = torch.full((3,), 9.0).double()
    expected = mp_nce(rows.image, rows.text, scales, torch.zeros(3), "balanced", "shared", captions)
    torch.testing.assert_close(objective(rows)["total"], expected, rtol=1e-6, atol=1e-9)
