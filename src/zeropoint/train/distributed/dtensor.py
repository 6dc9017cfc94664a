"""Weights that are cut over workers (torch's DTensor, as FSDP2 has them) as whole tensors, and back."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["full_tensor", "is_sharded", "shard_like"]


def is_sharded(model: nn.Module) -> bool:
    """Whether the weights of a model are cut over workers."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


def full_tensor(tensor: Tensor) -> Tensor:
    """The tensor itself, or all of one that is cut; then every worker must ask. Gradients do not follow."""
    # Only a run that shards has imported DTensor; asking the tensor spares all others the import.
    full: Any = getattr(tensor, "full_tensor", None)
    return tensor.detach() if full is None else full().detach()


def shard_like(full: Tensor, other: Tensor) -> Tensor:
    """A whole tensor in the form of another: as it is, or this worker's part. No worker waits for others."""
    if not hasattr(other, "full_tensor") or full.dim() == 0:
        return full.to(other.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(other, DTensor):
        return full.to(other.device)
    moved = full.to(other.device)
    return distribute_tensor(moved, other.device_mesh, other.placements, src_data_rank=None)
