"""What a model is, said once: from it come tensor names and shapes, costs, and the native plan."""

from zeropoint.blueprint.spec import Block, Blueprint

__all__ = ["Block", "Blueprint"]
