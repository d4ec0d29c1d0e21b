"""What the package uses and others do not document: it is listed and exists.

hydra-core, lightning and omegaconf have upper bounds; torch is tested at both ends. Hydra's
messages, which errors.py reads, have their test in test_errors.py; the loops' state, which
callbacks/resume.py writes, in callbacks/test_resume.py.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping

PACKAGE = Path(__file__).parents[1] / "cyclip_pl"
# Read by torch's GradScaler; asked by precision; kept from its work by callbacks.stop;
# one kernel for many tensors, in average.
PRIVATE = {"_step_supports_amp_scaling", "_is_avx512_bf16_supported", "_signal_connector"}
PRIVATE |= {"_foreach_add_", "_foreach_mul", "_foreach_mul_"}
DOCUMENTED = {"_fields", "_replace", "_asdict", "_exit"}  # of named tuples and os


def test_every_private_name_is_listed() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                mine = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                if not mine and not node.attr.endswith("__"):
                    found.add(node.attr)
    assert found - DOCUMENTED == PRIVATE


def test_torch_has_its_names() -> None:
    assert "_step_supports_amp_scaling" in inspect.getsource(torch.amp.grad_scaler)
    assert isinstance(torch.cpu._is_avx512_bf16_supported(), bool)
    xs = [torch.ones(2), torch.ones(())]
    torch._foreach_mul_(xs, 3.0)
    torch._foreach_add_(xs, torch._foreach_mul(xs, 2.0))
    assert [x.max().item() for x in xs] == [9.0, 9.0]


def test_lightnings_loops_have_theirs() -> None:
    trainer = L.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    assert trainer.fit_loop.epoch_progress.current.processed == 0
    loop = trainer.fit_loop.state_dict()
    assert loop["epoch_loop.state_dict"].keys() == {"_batches_that_stepped"}
    assert loop["epoch_progress"]["total"].keys() >= {"ready", "started", "processed", "completed"}
    progress = loop["epoch_loop.batch_progress"]
    assert progress["is_last_batch"] is False
    assert {"ready", "completed"} <= progress["current"].keys()
    assert isinstance(trainer.callback_metrics, dict)
    assert callable(trainer._signal_connector.register_signal_handlers)


def test_lightnings_early_stopping_has_its_rule() -> None:
    """`callbacks.early_stopping` asks it at other moments."""
    decide = EarlyStopping("loss", patience=1)._evaluate_stopping_criteria
    assert [decide(torch.tensor(value))[0] for value in (2.0, 1.0, 1.0)] == [False, False, True]
