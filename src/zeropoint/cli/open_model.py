"""Open the model that the settings name, telling of a download as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zeropoint.cli.console import Console
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["model_name", "open_model"]


def model_name(settings: Settings) -> str:
    """The model that is set, or the catalogue's default."""
    from zeropoint.catalogue import catalog

    return str(settings.get("model").value or catalog.default().name)


def open_model(settings: Settings, console: Console, *, will_chat: bool = False) -> Model:
    """Fetch (with a bar) if it is not on this disk, then load. Raises ZeropointError.

    will_chat: a template will be rendered, so its worker starts while everything else is loaded, and is told
    the template while the weights are read.
    """
    if will_chat:
        from zeropoint.tokenizers.chat import template_process

        template_process.prestart()
    from zeropoint.engine.session.load import load

    name = model_name(settings)
    with console.progress(f"fetching {name}") as report:
        return load(
            name,
            settings.engine_options(),
            will_chat=will_chat,
            progress=report,
            notify=console.notice,
        )
