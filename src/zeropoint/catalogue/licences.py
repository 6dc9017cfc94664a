"""Licences that a user accepts once: which there are, which were accepted, and the check before a download.

What was accepted is in `licences.json` of the cache folder, by licence and not by model.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

from zeropoint.blueprint.toml_codec import decode
from zeropoint.catalogue import cache
from zeropoint.catalogue.download import download_files
from zeropoint.errors import BadInput, choices
from zeropoint.files.json_text import read_json
from zeropoint.files.locks import exclusive_lock
from zeropoint.files.toml_text import parse_toml
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["AskLicence", "Licence", "find", "is_accepted", "load", "require"]

_FILE = Path(__file__).with_name("licences.toml")
_STATE = "licences.json"
_MAX_STATE_BYTES = 1 << 20


@frozen
class Licence:
    """Terms to accept. id: as Hugging Face names them; url: where to read them."""

    id: str
    name: str
    url: str


AskLicence = Callable[[Licence, str], bool]
"""Called with a licence and a model's name; True if the user accepts the licence."""


@functools.cache
def load() -> dict[str, Licence]:
    """The licences of `licences.toml` by name."""
    table = parse_toml(_FILE.read_text(encoding="utf-8"), _FILE.name)
    licences = [decode(Licence, raw, _FILE.name) for raw in table["licence"]]
    return {licence.name: licence for licence in licences}


def find(name: str | None) -> Licence | None:
    """The licence with this name; None if models under it need no acceptance."""
    return load().get(name or "")


def is_accepted(licence: Licence, settings: Settings) -> bool:
    """Whether the user accepted the licence, at some earlier time or by the setting `accept_licence`."""
    return licence.id in _by_setting(settings) or licence.id in _accepted(settings)


def require(name: str | None, model: str, settings: Settings, ask: AskLicence | None = None) -> None:
    """Make sure that the user accepted the licence `name` of `model`, and remember it.

    ask: asks the user; None if there is nobody to ask. Raises BadInput with the link and the remedy if the
    licence is not accepted, or if the setting names an unknown one; DiskError.
    """
    licence = find(name)
    if licence is None or licence.id in _accepted(settings):
        return
    if licence.id not in _by_setting(settings) and (ask is None or not ask(licence, model)):
        raise BadInput(
            f"{model} is under the {licence.name} ({licence.url}); read the terms, then accept them with "
            f"`zeropoint models pull {model} --accept-licence` or ZEROPOINT_ACCEPT_LICENCE={licence.id}"
        )
    _remember(licence, settings)


def _by_setting(settings: Settings) -> set[str]:
    """The ids in the setting `accept_licence`, separated by commas. Raises BadInput for an unknown one."""
    setting = settings.get("accept_licence")
    named = {part.strip() for part in (setting.value or "").split(",")} - {""}
    known = {licence.id for licence in load().values()}
    for unknown in sorted(named - known):
        raise BadInput(f"{setting.source}: {choices('licence', unknown, known)}")
    return named


def _accepted(settings: Settings) -> dict[str, str]:
    """The time of acceptance by licence id; empty if the file is missing or damaged, so that we ask again."""
    try:
        accepted = read_json(cache.home(settings) / _STATE, _MAX_STATE_BYTES)["accepted"]
        return {str(licence): str(time) for licence, time in accepted.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadInput):
        return {}


def _remember(licence: Licence, settings: Settings) -> None:
    from zeropoint.files.atomic_write import replace_file

    folder = cache.home(settings)
    download_files.create_folder(folder)
    with exclusive_lock(folder / ".licences.lock", lambda holder: None, download_files.OTHER_HOME):
        accepted = _accepted(settings) | {licence.id: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        content = json.dumps({"accepted": accepted}, indent=1).encode()
        replace_file(folder / _STATE, content, download_files.OTHER_HOME)
