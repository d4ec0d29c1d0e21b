"""Names that tear samples apart."""

from __future__ import annotations

from cyclip_pl.images import EXTENSIONS
from cyclip_pl.tar_samples import TarSample

APART = "members not side by side"
DOTS = "dot in the name"


class NameCheck:
    """Says of one shard's incomplete samples, in its order, whether their names are at fault."""

    def __init__(self) -> None:
        # By their names without folders: the key, and whether there is an image.
        self._incomplete: dict[str, tuple[str, bool]] = {}

    def __call__(self, sample: TarSample) -> tuple[str, str, int] | None:
        """The cause, what to do, and how many images it hides; None if the names are right."""
        image = has_image(sample)
        hidden = [] if image else [m.name for ext, m in sample.members.items() if _ends_image(ext)]
        if hidden:
            text = f"a sample's name ends at its first dot: rename {hidden[0]!r} to"
            return DOTS, f"{text} {_without_dots(hidden[0])!r}, and so on", len(hidden)
        name = sample.key.rpartition("/")[2]
        key, with_image = self._incomplete.setdefault(name, (sample.key, image))
        if with_image == image:
            return None
        text = "an image and its caption must be side by side in the tar"
        if key != sample.key:
            return APART, f"{text}, in one folder: {key!r} and {sample.key!r} are not", 1
        return APART, f"{text}: tar --sort=name", 1


def has_image(sample: TarSample) -> bool:
    """Whether one of its members is named as an image."""
    return any(extension in sample.members for extension in EXTENSIONS)


def _ends_image(extension: str) -> bool:
    return extension.rpartition(".")[2] in EXTENSIONS


def _without_dots(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    stem, dot, extension = base.rpartition(".")
    return folder + slash + stem.replace(".", "_") + dot + extension
