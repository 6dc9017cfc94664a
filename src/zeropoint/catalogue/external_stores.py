"""Models that other programs already keep on this disk, found and read, never changed.

Ollama keeps a manifest a tag, whose layer of type `...image.model` names a blob by sha256; LM Studio keeps
GGUF files in publisher/model folders.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from zeropoint.catalogue.file_selection import Listed, choose
from zeropoint.catalogue.model_refs import StoreRef
from zeropoint.errors import BadInput, choices

__all__ = ["find"]

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MAX_MANIFEST_BYTES = 1 << 20  # real ones are under 2 KiB


def find(ref: StoreRef) -> Path:
    """The GGUF file of a model in another program's store. Raises: BadInput listing what is there."""
    return _ollama(ref) if ref.store == "ollama" else _lmstudio(ref)


def _ollama(ref: StoreRef) -> Path:
    roots = [Path(path) for path in (os.environ.get("OLLAMA_MODELS"),) if path]
    roots += [Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models")]
    path = ref.name if "/" in ref.name else f"library/{ref.name}"
    seen: set[str] = set()
    for root in roots:
        # the first level is the host of the registry it came from, which does not matter here
        for manifest in root.glob(f"manifests/*/{path}/{ref.tag or 'latest'}"):
            return _blob(root, manifest)
        for manifest in root.glob("manifests/*/*/*/*"):
            owner, model, tag = manifest.parts[-3:]
            seen.add(f"{model}:{tag}" if owner == "library" else f"{owner}/{model}:{tag}")
    raise _missing(ref, seen)


def _blob(root: Path, manifest: Path) -> Path:
    try:
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            raise ValueError("too large")
        layers: list[dict[str, Any]] = json.loads(manifest.read_bytes())["layers"]
        digests = [layer["digest"] for layer in layers if str(layer["mediaType"]).endswith(".image.model")]
        match = _DIGEST.fullmatch(digests[0])
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        match = None
    blob = root / "blobs" / f"sha256-{match[1]}" if match else None
    if blob is None or not blob.is_file():
        raise BadInput(
            f"{manifest} does not name a model file that is on this disk; pull it again with ollama"
        )
    return blob


def _lmstudio(ref: StoreRef) -> Path:
    roots = [Path("~/.lmstudio/models").expanduser(), Path("~/.cache/lm-studio/models").expanduser()]
    wanted = ref.name.lower()
    seen: set[str] = set()
    for root in roots:
        for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
            full = f"{folder.parent.name}/{folder.name}"
            seen.add(full)
            if wanted in (full.lower(), folder.name.lower()):
                listed = [Listed(path.name, path.stat().st_size) for path in sorted(folder.glob("*.gguf"))]
                return folder / choose(listed, str(folder), quant=ref.tag).files[0].file
    raise _missing(ref, seen)


def _missing(ref: StoreRef, seen: set[str]) -> BadInput:
    if not seen:
        return BadInput(
            f"{ref.store} has no models on this disk; see `zeropoint models list` for what there is"
        )
    given = f"{ref.name}:{ref.tag}" if ref.tag else ref.name
    return BadInput(choices(f"{ref.store} model", given, seen))
