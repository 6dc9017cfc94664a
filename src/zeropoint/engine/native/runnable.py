"""Whether the native engine can run a model, decided from its metadata: a sentence with the remedy if not."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from zeropoint import families
from zeropoint.blueprint import Blueprint
from zeropoint.engine.native.model_spec import native_spec
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.paths import display_path
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.open_model import gguf_blueprint

__all__ = ["check_gguf", "refuse_folder"]


def check_gguf(file: GgufModel) -> Blueprint:
    """The blueprint of a GGUF file that the engine can run. Raises BadInput, BadModelFile for any other."""
    blueprint = gguf_blueprint(file)
    native_spec(blueprint, blueprint.n_ctx)
    return blueprint


def refuse_folder(path: Path) -> NoReturn:
    """Raise BadInput for a Hugging Face folder: the command that converts it, or why that would not help."""
    import shlex  # here: a GGUF file needs neither

    from zeropoint.weights.hf_folder import read_config

    shown = display_path(path)
    config = read_config(path)
    family = families.for_hf(config, f"{shown}/config.json")
    try:
        blueprint = family.from_hf(config)
    except BadInput as error:
        raise BadModelFile(
            f"{shown} is a Hugging Face folder, which `zeropoint convert` makes a GGUF file of, but not this "
            f"one: {error}"
        ) from None
    native_spec(blueprint, blueprint.n_ctx)
    target = f"{path.resolve().name}.gguf"
    flags = "" if any(path.glob("*.safetensors")) else " --allow-pickle"
    raise BadInput(
        f"{shown} is a Hugging Face folder, and zeropoint runs GGUF files; convert it once: "
        f"zeropoint convert {shlex.quote(shown)} {shlex.quote(target)}{flags}"
    )
