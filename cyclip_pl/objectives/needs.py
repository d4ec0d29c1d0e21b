"""What an objective asks of the parts before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Needs:
    """How many views of each modality, at least, and which heads beside the joint space.

    Attributes:
        image_views, text_views: V and U, at least.
        heads: of `Projector.heads`: `clusters`, `views`.
    """

    image_views: int = 1
    text_views: int = 1
    heads: frozenset[str] = frozenset()

    def check(self, views: Any, projector: Any) -> None:
        """Raise ValueError unless `views` and `projector` (the groups' objects) give it."""
        for name in ("image_views", "text_views"):
            wanted, given = getattr(self, name), getattr(views, name)
            if given < wanted:
                raise ValueError(
                    f"the objective needs {wanted} {name.replace('_', ' ')}, views gives {given}:"
                    " choose another views=…"
                )
        if missing := sorted(self.heads - projector.heads):
            raise ValueError(
                f"the objective needs a projector with the head {' and '.join(missing)}, "
                f"{type(projector).__name__} has {' and '.join(sorted(projector.heads)) or 'none'}:"
                " choose another projector=…"
            )

    @staticmethod
    def all_of(needs: Iterable[Needs]) -> Needs:
        """What serves every one of them."""
        needs = list(needs)
        return Needs(
            image_views=max(n.image_views for n in needs),
            text_views=max(n.text_views for n in needs),
            heads=frozenset().union(*(n.heads for n in needs)),
        )
