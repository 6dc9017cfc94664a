"""What a model is, said once: from it come tensor names and shapes, costs, torch modules and native plans."""

from zeropoint.blueprint.spec import Block, Blueprint, Embedding, Head

__all__ = ["Block", "Blueprint", "Embedding", "Head"]
