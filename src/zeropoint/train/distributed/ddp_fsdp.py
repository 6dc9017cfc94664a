"""A team over torch.distributed: every worker holds the weights (DDP), or a part of each (FSDP2).

Li et al., "PyTorch Distributed", 2020; Zhao et al., "PyTorch FSDP", 2023, here as torch's `fully_shard`. Both
give each worker the mean of all workers' gradients, so the loop weighs its losses by how many targets it has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from zeropoint.train.distributed.process_group import Loss

__all__ = ["DDPGroup", "FSDPGroup"]


class DDPGroup:
    """The workers of the process group that is up. device: where this one computes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank = dist.get_rank()
        self.n_workers = dist.get_world_size()

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the workers."""
        summed = value.detach().clone()
        dist.all_reduce(summed)
        return summed

    def any(self, flag: bool) -> bool:
        """Whether it is true for one of them."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def shard(self, model: nn.Module) -> None:
        """Nothing: each holds all weights, and DDP hands out the first worker's."""

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """The loss as a module, so that whatever it does with the model goes through DDP."""
        wrap_loss: Loss = DistributedDataParallel(_Loss(model, loss))
        return wrap_loss

    def no_sync(self, wrap_loss: Loss) -> contextlib.AbstractContextManager[Any]:
        """DDP's no_sync."""
        if not isinstance(wrap_loss, DistributedDataParallel):
            return contextlib.nullcontext()
        no_sync: contextlib.AbstractContextManager[Any] = wrap_loss.no_sync()
        return no_sync


class FSDPGroup(DDPGroup):
    """Each worker holds its own rows of every weight, and fetches a block while it computes it."""

    def shard(self, model: nn.Module) -> None:
        """Cut each block, then what is around them; parameters become torch's DTensor."""
        mesh = init_device_mesh(self.device.type, (self.n_workers,))
        for name, block in model.named_modules():
            if name.rpartition(".")[0].endswith("blocks"):
                fully_shard(block, mesh=mesh)
        # Torch would leave what is around the blocks whole after a pass, also where none goes back.
        fully_shard(model, mesh=mesh, reshard_after_forward=True)

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """The loss of the model, which is called as a whole."""
        return _Sharded(model, loss)

    @contextlib.contextmanager
    def no_sync(self, wrap_loss: Loss) -> Iterator[None]:
        """Gradients stay whole on each worker until the next pass outside."""
        model = wrap_loss.model if isinstance(wrap_loss, _Sharded) else None
        if not isinstance(model, FSDPModule):
            yield
            return
        model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            model.set_requires_gradient_sync(True)


class _Loss(nn.Module):
    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *batch: Any) -> Tensor:
        return self.loss(self.model, *batch)


class _Sharded:
    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        self.model, self.loss = model, loss

    def __call__(self, *batch: Any) -> Tensor:
        return self.loss(self.model, *batch)
