"""Open the model that the settings name, with a progress bar for the download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.cli.console import Console
from zeropoint.cli.licence_question import ask_licence
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model
    from zeropoint.engine.session.text_encoder import TextEncoder

__all__ = ["find_encoder", "model_name", "open_embedder", "open_model", "warn_about_threads"]


def model_name(settings: Settings) -> str:
    """The configured model, or the catalogue's default."""
    from zeropoint.catalogue import catalog

    return str(settings.get("model").value or catalog.default().name)


def open_model(settings: Settings, console: Console, *, will_chat: bool = False) -> Model:
    """Download the model if necessary, then load it. Raises ZeropointError.

    will_chat: start the chat template's worker process now, so that it starts while the weights load.
    """
    if will_chat:
        from zeropoint.tokenizers.chat import template_process

        template_process.prestart()
    from zeropoint.engine.session.load import load

    warn_about_threads(settings, console)
    name = model_name(settings)
    with console.progress(f"fetching {name}") as report:
        return load(
            name,
            settings.engine_options(),
            will_chat=will_chat,
            progress=report,
            notify=console.notice,
            ask_licence=ask_licence(console),
        )


def open_embedder(settings: Settings, console: Console) -> Model | TextEncoder:
    """As `open_model`, or an encoder if the settings name one."""
    encoder = find_encoder(model_name(settings), console)
    return open_model(settings, console) if encoder is None else encoder


def find_encoder(name: str, console: Console) -> TextEncoder | None:
    """The encoder at a path; None if the name is that of another model."""
    path = Path(name).expanduser()
    if not path.exists():
        return None
    from zeropoint.engine.session import text_encoder

    if not text_encoder.is_encoder(path):
        return None
    return text_encoder.load_encoder(path, path.name, console.notice)


def warn_about_threads(settings: Settings, console: Console) -> None:
    """Warn if there are more threads than processors: they wait for each other, which is slower."""
    threads = settings.get("threads")
    if threads.value is None:
        return
    from zeropoint.engine.machine import default_threads

    if threads.value > (n_processors := default_threads()):
        console.warning(
            f"threads is {threads.value}, which is slower than {n_processors}, the number of processors that "
            "this process may use"
        )
