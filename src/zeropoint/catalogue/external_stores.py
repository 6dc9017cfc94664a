"""Find models that Ollama or LM Studio stored on this disk; read them, never change them.

Ollama has a manifest per tag, whose layer of type `...image.model` names a blob by SHA-256. LM Studio has
GGUF files in publisher/model folders.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from zeropoint.catalogue.file_selection import ListedFile, select_files
from zeropoint.catalogue.model_refs import StoreRef
from zeropoint.errors import BadInput, choices
from zeropoint.files.json_text import read_json

__all__ = ["find"]

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MAX_MANIFEST_BYTES = 1 << 20  # real ones are under 2 KiB


def find(ref: StoreRef) -> Path:
    """The GGUF file of a model in another program's store. Raises BadInput listing the stored models."""
    return _ollama(ref) if ref.store == "ollama" else _lmstudio(ref)


def _ollama(ref: StoreRef) -> Path:
    roots = [Path(path) for path in (os.environ.get("OLLAMA_MODELS"),) if path]
    roots += [Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models")]
    path = ref.name if "/" in ref.name else f"library/{ref.name}"
    known: set[str] = set()
    for root in roots:
        # the first level is the host of the registry, which does not matter here
        for manifest in root.glob(f"manifests/*/{path}/{ref.tag or 'latest'}"):
            return _blob(root, manifest)
        for manifest in root.glob("manifests/*/*/*/*"):
            owner, model, tag = manifest.parts[-3:]
            known.add(f"{model}:{tag}" if owner == "library" else f"{owner}/{model}:{tag}")
    raise _unknown(ref, known)


def _blob(root: Path, manifest: Path) -> Path:
    try:
        layers: list[dict[str, Any]] = read_json(manifest, _MAX_MANIFEST_BYTES)["layers"]
        digests = [layer["digest"] for layer in layers if str(layer["mediaType"]).endswith(".image.model")]
        match = _DIGEST.fullmatch(digests[0])
    except (OSError, ValueError, KeyError, TypeError, IndexError, BadInput):
        match = None
    blob = root / "blobs" / f"sha256-{match[1]}" if match else None
    if blob is None or not blob.is_file():
        raise BadInput(
            f"{manifest} does not name a model file on this disk; pull the model again with ollama"
        )
    return blob


def _lmstudio(ref: StoreRef) -> Path:
    roots = [Path("~/.lmstudio/models").expanduser(), Path("~/.cache/lm-studio/models").expanduser()]
    name = ref.name.lower()
    known: set[str] = set()
    for root in roots:
        for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
            full_name = f"{folder.parent.name}/{folder.name}"
            known.add(full_name)
            if name in (full_name.lower(), folder.name.lower()):
                paths = sorted(folder.glob("*.gguf"))
                files = [ListedFile(path.name, path.stat().st_size) for path in paths]
                return folder / select_files(files, str(folder), quant=ref.tag).files[0].file
    raise _unknown(ref, known)


def _unknown(ref: StoreRef, known: set[str]) -> BadInput:
    if not known:
        return BadInput(f"{ref.store} has no models on this disk; `zeropoint models list` shows other models")
    name = f"{ref.name}:{ref.tag}" if ref.tag else ref.name
    return BadInput(choices(f"{ref.store} model", name, known))
