"""The huggingface_hub library, imported late and configured first; and the hosts that it considers the hub.

The library reads its own environment: HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and others.
"""

from __future__ import annotations

import os
from types import ModuleType
from urllib.parse import urlsplit

__all__ = ["hosts", "library"]


def library() -> ModuleType:
    """`huggingface_hub`, imported on first use with telemetry, update check and log messages off."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub


def hosts() -> frozenset[str]:
    """Host names of the hub, as the library and HF_ENDPOINT define them."""
    constants = library().constants
    endpoint = urlsplit(constants.ENDPOINT).hostname or ""
    return frozenset({endpoint.lower()}) | frozenset(getattr(constants, "HF_URL_HOSTS", ()))
