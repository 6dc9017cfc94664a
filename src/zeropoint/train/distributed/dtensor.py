"""Sharded weights (torch's DTensor, as FSDP2 uses it): gather the full tensor, and shard it again."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["full_tensor", "is_sharded", "shard_like"]


def is_sharded(model: nn.Module) -> bool:
    """Whether the weights of a model are sharded over workers."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


def full_tensor(tensor: Tensor) -> Tensor:
    """The tensor, detached. A sharded one is gathered, in a collective call of all workers."""
    # Checking for the method avoids importing DTensor, which only sharded runs need.
    full: Any = getattr(tensor, "full_tensor", None)
    return tensor.detach() if full is None else full().detach()


def shard_like(full: Tensor, other: Tensor) -> Tensor:
    """A full tensor on the device and with the sharding of another. Not a collective call."""
    if not hasattr(other, "full_tensor") or full.dim() == 0:
        return full.to(other.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(other, DTensor):
        return full.to(other.device)
    moved = full.to(other.device)
    return distribute_tensor(moved, other.device_mesh, other.placements, src_data_rank=None)
