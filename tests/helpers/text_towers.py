"""Text towers that are not CLIP's: their tokenizers and networks, as folders on the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.helpers.architectures import VIT
from tests.helpers.exported import changed

WORDS = ["a", "red", "apple", "blue", "square", "circle", "green", "bar", "dog", "photo", "of"]


def write_tokenizer(folder: Path) -> Path:
    """Words as tokens: 0 pads, 1 ends, 2 is unknown, 3 begins; as T5's, but for the beginning."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "</s>", "<unk>", "<s>"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 3), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        bos_token="<s>",
    ).save_pretrained(folder)
    return folder


def write_roberta(folder: Path) -> Path:
    """A text network of Hugging Face with its weights, and that tokenizer."""
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    RobertaModel(
        RobertaConfig(
            vocab_size=20,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
            pad_token_id=0,
        )
    ).save_pretrained(folder)
    return write_tokenizer(folder)


def _siglip(folder: Path) -> dict[str, Any]:
    text = {
        "hf_tokenizer_name": str(write_tokenizer(folder)),
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "vocab_size": 20,
        "no_causal_mask": True,
        "pool_type": "last",
        "proj_bias": True,
        "norm_kwargs": {"eps": 1e-6},
    }
    vision = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"}
    biased = {"init_logit_bias": -10.0, "init_logit_scale": 2.3}
    return changed(VIT, vision={**vision, "image_size": 160}, text=text, custom_text=True, **biased)


def _clipa(folder: Path) -> dict[str, Any]:
    text = {
        "hf_tokenizer_name": str(write_tokenizer(folder)),
        "tokenizer_kwargs": {"strip_sep_token": True},
        "vocab_size": 20,
        "no_causal_mask": True,
        "pool_type": "last",
    }
    vision = {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}
    return changed(VIT, vision=vision | {"pos_embed_type": "sin_cos_2d"}, text=text)


def _worldwide(folder: Path) -> dict[str, Any]:
    name = str(write_tokenizer(folder))
    text = {"hf_tokenizer_name": name, "vocab_size": 20, "pool_type": "eos", "eos_id": 1}
    return changed(VIT, text=text)


def _hugging_face(folder: Path) -> dict[str, Any]:
    name = str(write_roberta(folder))
    text = {"hf_model_name": name, "hf_tokenizer_name": name, "hf_pooler_type": "mean_pooler"}
    return {**VIT, "text_cfg": {**text, "hf_proj_type": "mlp", "context_length": 8}}


def _coca(folder: Path) -> dict[str, Any]:
    vision = {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {"embed_cls": True, "output_tokens": True}
    decoder = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    return changed(
        VIT,
        vision=vision,
        text=text,
        custom_text=True,
        multimodal_cfg=decoder | {"attn_pooler_heads": 2},
    )


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "siglip": _siglip,
    "clipa": _clipa,
    "worldwide": _worldwide,
    "hugging face": _hugging_face,
    "coca": _coca,
}
