"""Process groups over torch.distributed: replicated weights (DDP) or sharded weights (FSDP2).

Li et al., "PyTorch Distributed", 2020; Zhao et al., "PyTorch FSDP", 2023, here as torch's `fully_shard`. Both
average the gradients of all workers, so the loop weights each worker's loss by its number of targets.
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
    """Data parallelism: every worker holds all weights. Needs an initialized torch.distributed."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank = dist.get_rank()
        self.n_workers = dist.get_world_size()

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all workers (all-reduce)."""
        summed = value.detach().clone()
        dist.all_reduce(summed)
        return summed

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any worker; also a barrier."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def shard(self, model: nn.Module) -> None:
        """Do nothing: DDP broadcasts the weights of rank 0."""

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """The loss as a DDP module, so that every use of the model inside it is synchronized."""
        wrapped: Loss = DistributedDataParallel(_Loss(model, loss))
        return wrapped

    def no_sync(self, wrapped_loss: Loss) -> contextlib.AbstractContextManager[Any]:
        """DDP's `no_sync`: accumulate gradients without averaging them."""
        if not isinstance(wrapped_loss, DistributedDataParallel):
            return contextlib.nullcontext()
        no_sync: contextlib.AbstractContextManager[Any] = wrapped_loss.no_sync()
        return no_sync


class FSDPGroup(DDPGroup):
    """Fully sharded data parallelism.

    Every worker holds rows of each weight and gathers a block to compute it.
    """

    def shard(self, model: nn.Module) -> None:
        """Shard each block, then the remaining weights; parameters become torch's DTensor."""
        mesh = init_device_mesh(self.device.type, (self.n_workers,))
        for name, block in model.named_modules():
            if name.rpartition(".")[0].endswith("blocks"):
                fully_shard(block, mesh=mesh)
        # By default torch keeps the root gathered after a forward pass, even if no backward pass follows.
        fully_shard(model, mesh=mesh, reshard_after_forward=True)

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """The loss as a function of the batch; FSDP's hooks sit on the model itself."""
        return _Sharded(model, loss)

    @contextlib.contextmanager
    def no_sync(self, wrapped_loss: Loss) -> Iterator[None]:
        """Accumulate unsharded gradients without reducing them."""
        model = wrapped_loss.model if isinstance(wrapped_loss, _Sharded) else None
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
