"""Networks small enough for a test, of every kind that open_clip builds."""

from __future__ import annotations

from typing import Any

TEXT = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
RESNET: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "head_width": 8, "image_size": 32},
    "text_cfg": TEXT,
}
VIT: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {
        "layers": 2,
        "width": 16,
        "head_width": 8,
        "patch_size": 8,
        "image_size": 32,
    },
    "text_cfg": TEXT,
}
TIMM: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"timm_model_name": "test_resnet", "timm_proj": "linear", "image_size": 32},
    "text_cfg": TEXT,
}
