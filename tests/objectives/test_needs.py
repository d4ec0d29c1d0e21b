import pytest

from cyclip_pl.objectives.needs import Needs
from cyclip_pl.projectors.native import Native


class _Views:
    image_views, text_views = 2, 1


def test_what_is_missing_is_named_with_the_setting() -> None:
    projector = Native(features=4)
    Needs().check(_Views, projector)
    Needs(image_views=2).check(_Views, projector)
    with pytest.raises(ValueError, match="needs 3 image views, this gives 2; choose another view"):
        Needs(image_views=3).check(_Views, projector)
    with pytest.raises(ValueError, match="needs 2 text views, this gives 1"):
        Needs(text_views=2).check(_Views, projector)
    with pytest.raises(
        ValueError, match="head clusters, Native has none; choose another projector=…"
    ):
        Needs(heads=frozenset({"clusters"})).check(_Views, projector)


def test_all_of_several() -> None:
    both = Needs.all_of([Needs(3, 1, frozenset({"views"})), Needs(1, 2, frozenset({"clusters"}))])
    assert both == Needs(3, 2, frozenset({"views", "clusters"}))
