"""The strategy that shards parameters, gradients and optimiser state (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from cyclip_pl import checks, sharding
from cyclip_pl.checkpoints import write_shards
from cyclip_pl.checkpoints.files import read_weights
from cyclip_pl.checkpoints.io import CheckpointFiles
from cyclip_pl.checkpoints.places import located
from cyclip_pl.checkpoints.shards import is_sharded
from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.optimizer_state import fill_state
from cyclip_pl.sharding import FSDPModule, Policy

# What evaluations call of each part, beside its `forward`.
_METHODS = {
    "encoder": ("encode_image", "encode_text"),
    "projector": ("project_image", "project_text"),
}
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class FullySharded(ModelParallelStrategy):
    """Shards encoder and projector over all ranks; the objective's parameters stay whole on each.

    Training is that of one process, and so are its checkpoints: one file, with weights and
    optimiser state as one process writes them, or the folder of a sharded checkpoint.

    Args:
        reshard_after_forward: False keeps each block's parameters whole between its forward and its
            backward: less communication, more memory.
        cpu_offload: Keep parameters, gradients and optimiser state in the host's memory.
        param_dtype: "bfloat16" gathers and computes with parameters in half the bytes; None for
            their own type.
        reduce_dtype: Type in which gradients are averaged; None for that of the parameters.
        process_group_backend: "gloo" for a CPU; None for what suits the device.
        timeout: After which a collective that waits for a rank fails.

    Raises:
        ValueError: A type that is not one of these; a torch before 2.8.
    """

    def __init__(
        self,
        reshard_after_forward: bool = True,
        cpu_offload: bool = False,
        param_dtype: str | None = None,
        reduce_dtype: str | None = None,
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
    ) -> None:
        for name, value in (("param_dtype", param_dtype), ("reduce_dtype", reduce_dtype)):
            checks.one_of(f"trainer.strategy.{name}", value, _TYPES, optional=True)
        if not hasattr(FSDPModule, "set_reshard_after_forward"):
            raise ValueError(
                f"trainer=fsdp: needs torch 2.8 or newer, this is {torch.__version__}; set"
                " trainer=ddp"
            )
        super().__init__(
            data_parallel_size=1,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
            process_group_backend=process_group_backend,
            timeout=timeout,
        )
        self.policy = Policy(
            reshard_after_forward,
            cpu_offload,
            None if param_dtype is None else _TYPES[param_dtype],
            None if reduce_dtype is None else _TYPES[reduce_dtype],
        )

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def shard(self, module: nn.Module) -> None:
        """Shard the parts of a `ContrastiveModule`; called before its optimiser is made."""
        if self.policy.param_dtype and any(isinstance(m, _BatchNorm) for m in module.modules()):
            raise ValueError(
                "trainer.strategy.param_dtype: a BatchNorm needs parameters in the type of its"
                " statistics, and this network has one; set trainer.strategy.param_dtype=null"
            )
        mesh = self.device_mesh["data_parallel"]
        for name, methods in _METHODS.items():
            sharding.shard(getattr(module, name), methods, mesh, self.policy)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """See `sharding.whole`."""
        with ExitStack() as stack:
            for name in _METHODS:
                part = getattr(self.lightning_module, name)
                stack.enter_context(sharding.whole(part, self.policy))
            yield

    def model_to_device(self) -> None:
        if not self.policy.cpu_offload:
            super().model_to_device()
            return
        # Sharded parameters stay with the host; `fully_shard` has moved the buffers of its modules.
        assert self.lightning_module is not None
        self.lightning_module.objective.to(self.root_device)  # type: ignore[union-attr]

    def post_backward(self, closure_loss: Tensor) -> None:
        """Average the gradients of what is not sharded."""
        super().post_backward(closure_loss)
        assert self.lightning_module is not None
        for parameter in self.lightning_module.objective.parameters():  # type: ignore[union-attr]
            if parameter.grad is not None:
                parameter.grad.copy_(sum_over_ranks(parameter.grad) / world_size())

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Sharded tensors, as in `optimizer_state`: `save_checkpoint` writes or gathers them."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        state, values = self.lightning_module.state_dict(), checkpoint["state_dict"]
        assert state.keys() == values.keys(), "`resume.check_weights` compares them"
        for name, x in state.items():
            sharding.fill(x, values[name])

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer.optimizer
        return optimizer.state_dict()

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            fill_state(optimizer, state)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None
    ) -> None:
        """Write one file; all ranks call it.

        Args:
            storage_options: Those of `write_shards.save`, to write a folder.
        """
        files = self.checkpoint_io
        if storage_options is not None:
            assert isinstance(files, CheckpointFiles)
            with files.noting():
                write_shards.save(checkpoint, filepath, **storage_options)
            return

        def whole(at: Any, x: Tensor) -> Tensor | None:
            found = sharding.gathered(x)
            return found.cpu() if self.is_global_zero else None

        checkpoint = sharding.replaced(checkpoint, whole)
        if self.is_global_zero:
            files.save_checkpoint(checkpoint, filepath)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        if is_sharded(located(checkpoint_path)):
            # Each rank reads its rows alone, and when they are filled in.
            return read_weights(checkpoint_path, make=lambda at, x: x)
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)
