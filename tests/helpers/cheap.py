"""Overrides that make a run of the composed config a second."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.world import shrunk


def cheap(world: Path, steps: int = 2) -> list[str]:
    """`shrunk`, with towers as small as they come and without evaluations."""
    kept = [one for one in shrunk(world) if not one.startswith(("evaluation.", "trainer.max_st"))]
    return [
        *kept,
        f"trainer.max_steps={steps}",
        "encoder.architecture.embed_dim=16",
        "encoder.architecture.vision_cfg.timm_model_name=test_resnet",
        "encoder.architecture.text_cfg.width=16",
        "callbacks.best.monitor=null",
    ]
