"""Everything in a converted model but weights: metadata, config, tokenizer and model card."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zeropoint import __version__
from zeropoint.frozen import frozen
from zeropoint.sampling.recommended import (
    from_generation_config,
    from_gguf,
    to_generation_config,
    to_gguf,
)
from zeropoint.tokenizers.core.metadata_reader import HasMetadata
from zeropoint.tokenizers.formats import from_hf
from zeropoint.tokenizers.formats.from_hf_sentencepiece import folder_metadata
from zeropoint.tokenizers.formats.from_run import run_metadata
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files
from zeropoint.weights import hf_folder as folders
from zeropoint.weights.conversion import file_type
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.writer import TypedValue, typed_metadata
from zeropoint.weights.hf_folder import HfFolder
from zeropoint.weights.mxfp4_tensors import QUANTIZATION, is_part_of_pair
from zeropoint.weights.open_model import OpenedModel
from zeropoint.weights.packing import PackedTensor
from zeropoint.weights.run_checkpoint import RunCheckpoint

__all__ = ["folder_files", "gguf_metadata", "tokenizer_metadata"]

Notify = Callable[[str], None]
Sampling = Mapping[str, float]
_LICENCE = re.compile(r"^license:\s*[\"']?([\w.-]+)", re.MULTILINE)


@frozen
class _TokenizerMetadata:
    """Tokenizer metadata that is not in a GGUF file yet."""

    metadata: Mapping[str, Any]
    paths: tuple[Path, ...]


def gguf_metadata(
    opened: OpenedModel, tensors: list[PackedTensor], notify: Notify, sampling: Sampling | None = None
) -> dict[str, Any]:
    """The metadata of a GGUF file: copied from a GGUF, or derived from the family and the tokenizer.

    sampling: recommended parameters, where the model's files recommend none.
    """
    about = {"general.file_type": file_type(tensors), "general.quantization_version": 2}
    file = opened.file
    recommended = to_gguf(sampling or {})
    if isinstance(file, GgufModel):
        typed = {key: TypedValue(value, "UINT32") for key, value in about.items()}
        return recommended | typed_metadata(file) | typed
    family: dict[str, Any] = dict(opened.family.to_gguf(opened.blueprint))
    general = {"general.architecture": family.pop("general.architecture"), "general.type": "model"}
    if isinstance(file, RunCheckpoint):
        general["general.name"] = file.title
        return general | about | family | _run_tokenizer(file, notify)
    general["general.name"] = str(file.config.get("_name_or_path") or file.path.resolve().name)
    if "README.md" in file.files and (
        licence := _LICENCE.search(file.bytes("README.md").decode("utf-8", "replace"))
    ):
        general["general.license"] = licence[1]
    generation = "generation_config.json"
    recommended |= to_gguf(from_generation_config(file.json(generation), f"{file.name}/{generation}", notify))
    return general | recommended | about | family | tokenizer_metadata(opened, notify)


def folder_files(
    opened: OpenedModel,
    target: Path,
    tensors: list[PackedTensor],
    notify: Notify,
    sampling: Sampling | None = None,
) -> dict[str, bytes]:
    """The files of a folder but weights: copied from a folder, or derived from a GGUF file or a run.

    sampling: recommended parameters, where a GGUF file recommends none.
    """
    form = _main_format(tensors)
    file = opened.file
    if isinstance(file, HfFolder):
        copied = {name: file.bytes(name) for name in file.files}
        return {"config.json": _config(file.config, form, tensors), **copied}
    config = dict(opened.family.to_hf(opened.blueprint)) | _name(file)
    source: HasMetadata = (
        file
        if isinstance(file, GgufModel)
        else _TokenizerMetadata(_run_tokenizer(file, notify), (file.tokenizer,))
    )
    files: dict[str, bytes] = {}
    if "tokenizer.ggml.tokens" in source.metadata:
        tokenizer = load_tokenizer(source)
        special = {
            "bos_token_id": tokenizer.bos_id,
            "eos_token_id": sorted(tokenizer.stop_ids) or None,
            "pad_token_id": tokenizer.pad_id,
        }
        ids = {key: value for key, value in special.items() if value is not None}
        # For missing ids transformers assumes GPT-2's 50256, which a small vocabulary lacks.
        none = {"bos_token_id": None, "eos_token_id": None}
        config |= {**none, **ids, "eos_token_id": tokenizer.eos_id}
        files = hf_tokenizer_files(source, tokenizer, opened.blueprint.n_ctx)
        recommended = {**(sampling or {}), **from_gguf(source.metadata, file.name, notify)}
        generation = ids | to_generation_config(recommended)
        files["generation_config.json"] = json.dumps(generation, indent=2).encode()
    elif isinstance(file, GgufModel):
        notify(f"{file.name} has no tokenizer, so the folder will have none")
    card = _card(file, target, form).encode()
    return {"config.json": _config(config, form, tensors), "README.md": card, **files}


def tokenizer_metadata(opened: OpenedModel, notify: Notify) -> dict[str, Any]:
    """The `tokenizer.*` keys of a Hugging Face folder; none, with a notice, if it has no tokenizer."""
    file = opened.file
    if not isinstance(file, HfFolder):
        raise TypeError(f"{file.name} is no Hugging Face folder")
    if "tokenizer.json" not in file.files and "tokenizer.model" in file.files:
        names = ("tokenizer_config.json", "generation_config.json", "added_tokens.json")
        json_files = {name: file.json(name) for name in names} | {"config.json": file.config}
        n_vocab, data = opened.blueprint.n_vocab, file.bytes("tokenizer.model")
        return _typed(folder_metadata(data, json_files, n_vocab, template=file.template, folder=file.name))
    if "tokenizer.json" not in file.files:
        notify(f"{file.name} has no tokenizer.json, so the new file has no tokenizer and cannot chat")
        return {}
    _notify_of_ignored_ids(file, opened.blueprint.n_vocab, notify)
    settings = file.json("special_tokens_map.json") | file.json("tokenizer_config.json")
    metadata = from_hf.gguf_metadata(
        file.json("tokenizer.json"),
        settings,
        file.config,
        opened.blueprint.n_vocab,
        generation=file.json("generation_config.json"),
        template=file.template,
        name=f"{file.name}/tokenizer.json",
    )
    return _typed(metadata)


def _notify_of_ignored_ids(file: HfFolder, n_vocab: int, notify: Notify) -> None:
    """Name ids of special tokens that no token has; -1 and null are usual ways to say that there is none."""
    generation = file.json("generation_config.json")
    for name, config in (("config.json", file.config), ("generation_config.json", generation)):
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            value = config.get(key)
            for index in value if isinstance(value, list) else [value]:
                if index not in (None, -1) and not (type(index) is int and 0 <= index < n_vocab):
                    value_text = reprlib.repr(index)
                    notify(f"{file.name}/{name}: `{key}` has {value_text}, which is no token; it is ignored")


def _typed(metadata: dict[str, Any]) -> dict[str, Any]:
    """Tokenizer metadata with the types that readers expect."""
    types = {"precompiled_charsmap": "ARRAY of UINT8"}
    if not metadata.get("tokenizer.ggml.merges", True):  # the type of an empty list is not known
        types["merges"] = "ARRAY of STRING"
    keys = {f"tokenizer.ggml.{key}": kind for key, kind in types.items()}
    return metadata | {key: TypedValue(metadata[key], kind) for key, kind in keys.items() if key in metadata}


def _run_tokenizer(file: RunCheckpoint, notify: Notify) -> dict[str, Any]:
    if not file.tokenizer.exists():
        notify(f"{file.name}: the run has no tokenizer.json, so the result accepts only token ids")
        return {}
    return _typed(run_metadata(file.tokenizer, file.blueprint.n_vocab))


def _name(file: GgufModel | RunCheckpoint) -> dict[str, str]:
    """The model's name, as transformers stores it in config.json."""
    name = file.title if isinstance(file, RunCheckpoint) else file.get_str("general.name", default="")
    return {"_name_or_path": name} if name else {}


def _card(file: GgufModel | RunCheckpoint, target: Path, form: str) -> str:
    """The model card: name and license of the source, and how this folder was made."""
    if isinstance(file, RunCheckpoint):
        return (
            f"# {file.title}\n\nTrained by zeropoint {__version__}: step {file.step} of the run "
            f"`{file.run.name}`, written in {form}.\n"
        )
    licence = file.get_str("general.license", default="")
    head = f"---\nlicense: {licence}\n---\n\n" if re.fullmatch(r"[\w.-]+", licence) else ""
    name = file.get_str("general.name", default=target.name)
    source = file.paths[0].name
    return (
        f"{head}# {name}\n\nConverted from the GGUF file `{source}` to {form} by zeropoint {__version__}.\n"
    )


def _config(config: Mapping[str, Any], form: str, tensors: list[PackedTensor]) -> bytes:
    """config.json, with the number format of the weights."""
    has_mxfp4 = any(map(is_part_of_pair, tensors))
    return folders.config_with_dtype(config, form, QUANTIZATION if has_mxfp4 else None)


def _main_format(tensors: list[PackedTensor]) -> str:
    """The number format of most matrices, apart from MXFP4."""
    forms = [t.format for t in tensors if len(t.shape) > 1 and not is_part_of_pair(t)]
    return max(set(forms), key=forms.count)
