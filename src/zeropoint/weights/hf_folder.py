"""Open a Hugging Face model folder: config.json, weights and tokenizer files, validated and read lazily.

Code in a repository (`auto_map`) is never run; for pickles see `torch_pickle.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeropoint import families
from zeropoint.errors import BadModelFile
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights.json_file import read_bytes, read_json_object
from zeropoint.weights.safetensors.reader import (
    INDEX_NAME,
    SINGLE_NAME,
    open_safetensors,
    open_sharded,
    path_in_folder,
)
from zeropoint.weights.stored_tensors import StoredTensors

__all__ = [
    "PICKLES_RUN_CODE",
    "HfFolder",
    "config_with_dtype",
    "holds_only_a_model",
    "is_pickle",
    "open_hf_folder",
    "read_config",
]

PICKLES_RUN_CODE = "pickle files can run code; convert to safetensors"
MAX_CONFIG_BYTES = 4 << 20  # the largest published ones have some tens of kilobytes
MAX_TOKENIZER_BYTES = 64 << 20  # Gemma's has 33 MB

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
_COPIED = re.compile(
    r"generation_config\.json|tokenizer[\w.-]*|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)"
    r"|merges\.txt|spiece\.model|sentencepiece\.bpe\.model|chat_template\.(jinja|json)|README\.md"
    r"|LICEN[CS]E[\w.-]*|NOTICE[\w.-]*|USE_POLICY\.md",
    re.ASCII,
)
_WRITTEN = re.compile(r"config\.json|model[\w-]*\.safetensors|.*\.index\.json|\.gitattributes", re.ASCII)


@frozen
class HfFolder:
    """An opened model folder. config: config.json; stored: its tensors; files: copied into a conversion."""

    path: Path
    config: Mapping[str, Any]
    stored: StoredTensors
    files: Mapping[str, Path]
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder for messages."""
        return display_path(self.path)

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in one of `files`; empty if the folder lacks it. Raises BadModelFile."""
        return read_json_object(self.files[name], MAX_TOKENIZER_BYTES) if name in self.files else {}

    def bytes(self, name: str) -> bytes:
        """The contents of one of `files`. Raises BadModelFile."""
        return read_bytes(self.files[name], MAX_TOKENIZER_BYTES)

    @property
    def template(self) -> str | None:
        """The chat template: from its own file, else from tokenizer_config.json (the one named "default")."""
        if "chat_template.jinja" in self.files:
            try:
                return self.bytes("chat_template.jinja").decode()
            except UnicodeDecodeError:
                raise BadModelFile(f"{self.name}: chat_template.jinja is not valid UTF-8") from None
        template = self.json("tokenizer_config.json").get("chat_template")
        if isinstance(template, list):
            named = [item for item in template if isinstance(item, dict) and item.get("name") == "default"]
            template = named[0].get("template") if named else None
        return template if isinstance(template, str) else None


def open_hf_folder(path: Path, *, allow_pickle: bool = False) -> HfFolder:
    """Open a model folder. Raises BadModelFile naming the invalid file, DiskError.

    allow_pickle: read `pytorch_model.bin` if there are no safetensors files (see `torch_pickle.py`).
    """
    if not path.is_dir():
        raise BadModelFile(f"{display_path(path)} is not a folder; give the folder that contains config.json")
    config = read_config(path)
    notices = ("the code in this repository (`auto_map`) is not run",) if "auto_map" in config else ()
    files = {
        entry.name: path_in_folder(path, entry.name) for entry in sorted(path.iterdir()) if _is_copied(entry)
    }
    return HfFolder(path, config, _stored(path, allow_pickle), files, notices)


def read_config(path: Path) -> dict[str, Any]:
    """The config.json of a model folder; of a multimodal model, that of its language model.

    It may have Infinity, as older transformers wrote it (Mamba's `time_step_limit`). Raises BadModelFile,
    DiskError.
    """
    config = read_json_object(path_in_folder(path, "config.json"), MAX_CONFIG_BYTES, allows_constants=True)
    return families.text_config(config, f"{display_path(path)}/config.json")


def is_pickle(path: Path) -> bool:
    """Whether a file of that name is a pickle, which can run code when it is read."""
    return path.suffix in _PICKLES


def holds_only_a_model(path: Path) -> bool:
    """Whether a folder has config.json and only files of a model, so that it may be replaced."""
    names = [entry.name for entry in path.iterdir()]
    return "config.json" in names and all(
        (_COPIED.fullmatch(entry.name) or _WRITTEN.fullmatch(entry.name)) and not entry.is_dir()
        for entry in path.iterdir()
    )


def config_with_dtype(
    config: Mapping[str, Any], form: str, quantization: Mapping[str, Any] | None = None
) -> bytes:
    """config.json with `torch_dtype` set to the number format of the weights.

    quantization: `quantization_config`, if some weights are quantized.
    """
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    replaced = ("dtype", "torch_dtype", "auto_map", "quantization_config")
    plain = {key: value for key, value in config.items() if key not in replaced}
    if quantization is not None:
        plain["quantization_config"] = quantization
    return json.dumps({**plain, "torch_dtype": names[form]}, indent=2, ensure_ascii=False).encode()


def _stored(path: Path, allow_pickle: bool) -> StoredTensors:
    """Open the weights: an index, a single file, or a file of another name; pickles last, if allowed."""
    if (path / INDEX_NAME).exists():
        return open_sharded(path_in_folder(path, INDEX_NAME))
    if (path / SINGLE_NAME).exists():
        return open_safetensors(path_in_folder(path, SINGLE_NAME))
    names = sorted(entry.name for entry in path.iterdir())
    weight_files = [name for name in names if name.endswith(".safetensors")]
    if len(weight_files) == 1:
        return open_safetensors(path_in_folder(path, weight_files[0]))
    if weight_files:
        raise BadModelFile(
            f"{display_path(path)} has {len(weight_files)} safetensors files but no {INDEX_NAME}; fetch it"
        )
    pickles = [name for name in names if is_pickle(Path(name))]
    if pickles and allow_pickle:
        from zeropoint.weights.torch_pickle import open_pickle

        return open_pickle(path, pickles)
    if pickles:
        raise BadModelFile(
            f"{display_path(path)} has its weights in {pickles[0]!a:.80}: {PICKLES_RUN_CODE}, or trust it "
            "with --allow-pickle"
        )
    raise BadModelFile(
        f"{display_path(path)} has no {SINGLE_NAME}; give a folder with the weights of a model"
    )


def _is_copied(entry: Path) -> bool:
    return _COPIED.fullmatch(entry.name) is not None and not entry.is_dir()
