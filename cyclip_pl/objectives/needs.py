"""What an objective needs of the views and of the projector."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Needs:
    """The least numbers of views, and the heads beside the joint space.

    Attributes:
        image_views, text_views: Least V and U.
        heads: A subset of `Projector.heads`: `clusters`, `views`.
    """

    image_views: int = 1
    text_views: int = 1
    heads: frozenset[str] = frozenset()

    def check(self, views: Any, projector: Any) -> None:
        """Raise ValueError unless `views` and `projector` give what is needed."""
        for name in ("image_views", "text_views"):
            wanted, given = getattr(self, name), getattr(views, name)
            if given < wanted:
                raise ValueError(
                    f"views: the objective needs {wanted} {name.replace('_', ' ')}, this gives"
                    f" {given}; choose another views=…"
                )
        if missing := sorted(self.heads - projector.heads):
            raise ValueError(
                f"projector: the objective needs the head {' and '.join(missing)}, "
                f"{type(projector).__name__} has {' and '.join(sorted(projector.heads)) or 'none'};"
                " choose another projector=…"
            )

    @staticmethod
    def all_of(needs: Collection[Needs]) -> Needs:
        """The needs of all of them together."""
        return Needs(
            image_views=max(n.image_views for n in needs),
            text_views=max(n.text_views for n in needs),
            heads=frozenset().union(*(n.heads for n in needs)),
        )
