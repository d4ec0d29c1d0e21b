"""The layers of open_clip's towers: which parameters stand in which, from the input on."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

# What open_clip calls what stands behind the blocks of a tower.
_LAST_NORMS = ("ln_post", "ln_final")
_HEADS = ("proj", "text_projection", "attnpool", "attn_pool", "head", "pooler")


class Layers(NamedTuple):
    """Names of a tower's parameters.

    Attributes:
        stem: Embeddings of patches, tokens and positions.
        blocks: Of each residual or transformer block, with a last norm in the last one.
        head: Pooling and projection.
    """

    stem: list[str]
    blocks: list[list[str]]
    head: list[str]

    @property
    def in_order(self) -> list[list[str]]:
        """Those that have parameters."""
        return [names for names in (self.stem, *self.blocks, self.head) if names]


def tower_layers(model: nn.Module) -> dict[str, Layers]:
    """The layers of `image` and `text` of an open_clip model."""
    visual = model.get_submodule("visual")
    names = [name for name, _ in visual.named_parameters()]
    of = _of_timm if hasattr(visual, "trunk") and hasattr(visual.trunk, "group_matcher") else _of
    image = of(visual, names)
    if hasattr(model, "text"):
        tower = model.get_submodule("text")
        text = _below("text.", _of(tower, [name for name, _ in tower.named_parameters()]))
    else:  # the plain CLIP has the parts of its text tower beside `visual`
        rest = [name for name, _ in model.named_parameters() if not name.startswith("visual.")]
        text = _of(model, rest)
    return {"image": _below("visual.", image), "text": text}


def hidden_matrices(model: nn.Module) -> set[str]:
    """Names of the weights of linear maps within blocks: of attention and of MLPs.

    Embeddings, convolutions, tables of positions, heads and projections are none of them.
    """
    embeddings = {name for name, m in model.named_modules() if isinstance(m, nn.Embedding)}
    inner = {n for layers in tower_layers(model).values() for names in layers.blocks for n in names}
    return {
        name
        for name, p in model.named_parameters()
        if name in inner
        and p.ndim == 2
        and name.endswith("weight")
        and name.rpartition(".")[0] not in embeddings
    }


def convolutions(model: nn.Module) -> dict[str, int]:
    """Names of the weights of convolutions with their channels, of input or output if more.

    The first one of a tower, whose input is the image, and those in groups are not among them.
    """
    return {
        f"{name}.weight": max(m.in_channels, m.out_channels)
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d) and m.groups == 1 and m.in_channels > 3
    }


def _of(tower: nn.Module, names: list[str]) -> Layers:
    """By the lists of like modules in which open_clip's and transformers' networks keep blocks."""
    places = _blocks(tower, {name.partition(".")[0] for name in names})
    layers = Layers([], [[] for _ in places], [])
    for name in names:
        first = name.partition(".")[0]
        inside = [n for n, place in enumerate(places) if name.startswith(f"{place}.")]
        if inside:
            layers.blocks[inside[0]].append(name)
        elif first in _LAST_NORMS and places:
            layers.blocks[-1].append(name)
        else:
            (layers.head if first in _HEADS else layers.stem).append(name)
    return layers


def _blocks(tower: nn.Module, parts: set[str]) -> list[str]:
    """Names of the repeated modules, none inside another, in the order of the data."""
    found: list[str] = []
    for name, module in tower.named_modules():
        if name.partition(".")[0] not in parts or not isinstance(
            module, nn.ModuleList | nn.Sequential
        ):
            continue
        children = list(module.children())
        repeated = children and len({type(child) for child in children}) == 1
        leaves = any(not list(child.children()) for child in children)
        within = any(name.startswith(f"{place}.") for place in found)
        if repeated and not leaves and not within:
            found += [f"{name}.{child}" for child, _ in module.named_children()]
    return found


def _of_timm(visual: nn.Module, names: list[str]) -> Layers:
    """By what timm says of its network, as its own layer-wise decay does."""
    from timm.models import group_parameters

    trunk = visual.get_submodule("trunk")
    groups = group_parameters(trunk, trunk.group_matcher())  # type: ignore[operator]
    stem, *blocks = [[f"trunk.{name}" for name in groups[number]] for number in sorted(groups)]
    classifier = trunk.get_classifier()  # type: ignore[operator]
    heads = {id(p) for p in classifier.parameters()} if isinstance(classifier, nn.Module) else set()
    of_trunk = {f"trunk.{name}" for name, p in trunk.named_parameters() if id(p) in heads}
    blocks = [[name for name in block if name not in of_trunk] for block in blocks]
    head = [name for name in names if name in of_trunk or not name.startswith("trunk.")]
    return Layers(stem, [block for block in blocks if block], head)


def _below(prefix: str, layers: Layers) -> Layers:
    stem, blocks, head = layers
    return Layers(
        [prefix + name for name in stem],
        [[prefix + name for name in block] for block in blocks],
        [prefix + name for name in head],
    )
