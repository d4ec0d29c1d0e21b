from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.blur import RandomBlur


def point(side: int = 65) -> Image.Image:
    image = Image.new("RGB", (side, side))
    image.putpixel((side // 2, side // 2), (255, 255, 255))
    return image


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_sigma_is_a_standard_deviation_and_scales_with_the_view(sigma: float) -> None:
    image = Image.new("RGB", (129, 129))
    image.paste((255, 255, 255), (60, 60, 69, 69))
    side = 448
    blurred, drawn = RandomBlur(side, 1.0, (sigma, sigma))(image, generator("t"))
    assert drawn == {"blur": sigma}

    def variance(image: Image.Image) -> float:
        mass = np.asarray(image, dtype=np.float64)[..., 0].sum(0)
        places = np.arange(129)
        mean = (mass * places).sum() / mass.sum()
        return (mass * (places - mean) ** 2).sum() / mass.sum()

    added = variance(blurred) - variance(image)
    assert added == pytest.approx((sigma * side / 224) ** 2, rel=0.1)


def test_probability_and_range() -> None:
    blur, rng, image = RandomBlur(224, 0.3, (0.5, 2.0)), generator("t"), point(5)
    results = [blur(image, rng) for _ in range(3000)]
    sigmas = [drawn["blur"] for _, drawn in results if drawn]
    assert len(sigmas) / 3000 == pytest.approx(0.3, abs=0.03)
    assert 0.5 <= min(sigmas) < 0.51 and 1.99 < max(sigmas) <= 2
    assert np.mean(sigmas) == pytest.approx(1.25, abs=0.06)
    assert all(blurred is image for blurred, drawn in results if not drawn)


def test_without_it_nothing_is_drawn() -> None:
    rng = generator("t")
    assert RandomBlur(32, 0.0, (0.1, 2.0))(point(), rng)[1] == {}
    assert rng.random() == generator("t").random()


@pytest.mark.parametrize(
    ("probability", "sigma", "name"),
    [(1.5, (0.1, 2.0), "blur"), (0.5, (0.0, 2.0), "blur_sigma"), (0.5, (2.0, 1.0), "blur_sigma")],
)
def test_refusals(probability: float, sigma: tuple[float, float], name: str) -> None:
    with pytest.raises(ValueError, match=f"views.{name}="):
        RandomBlur(32, probability, sigma)
