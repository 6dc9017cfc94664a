"""Serve models to programs that speak OpenAI's API.

Existing clients work once their base URL is that of this server. It answers this computer only, unless --host
says otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page, options
from zeropoint.cli.console import Console
from zeropoint.cli.licence_question import ask_licence
from zeropoint.cli.names import model_names
from zeropoint.cli.open_model import find_encoder, model_name, warn_about_threads
from zeropoint.errors import BadInput
from zeropoint.settings import Settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from zeropoint.engine.session.model import Model
    from zeropoint.engine.session.text_encoder import TextEncoder
    from zeropoint.server.guard import GuardOptions
    from zeropoint.server.pool_spec import PoolSpec

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint serve
  zeropoint serve smollm2:135m gemma3:270m --port 8080
  zeropoint serve --ray auto --replicas 1-4
  zeropoint serve --host 0.0.0.0 --api-key-file keys.txt
"""
_PORT = 11435


@click.command("serve", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=model_names)
@options.some("threads", "context", "isa", "exact", "cache_type", "cache_memory", "template")
@help_page.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on."
)
@help_page.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    default=_PORT,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0 takes a free one.",
)
@help_page.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Admit only requests with one of the keys in this file, one on each line.",
)
@help_page.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Also answer to this name in the Host header, or * for any. Repeatable.",
)
@help_page.option(
    "--allow-origin",
    multiple=True,
    metavar="URL",
    help="Let pages of this site call the server from a browser. Repeatable.",
)
@help_page.option(
    "--parallel",
    type=click.IntRange(1, 256),
    default=64,
    show_default=True,
    metavar="N",
    help="Answers to compute at once.",
)
@help_page.option(
    "--queue",
    type=click.IntRange(0, 100_000),
    default=256,
    show_default=True,
    metavar="N",
    help="Requests that may wait besides; more get the status 429.",
)
@help_page.option(
    "--memory-limit",
    type=click.IntRange(1),
    metavar="MB",
    help="Unload the model used longest ago when all of them need more than this.",
)
@help_page.option(
    "--unload-after",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="Unload a model that nobody has used for this long. Default: never.",
)
@help_page.option(
    "--prefix-cache",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Keep the beginnings of recent conversations here when a model is unloaded, for the next start.",
)
@help_page.option(
    "--ray",
    metavar="ADDRESS",
    help="Run the models on this Ray cluster: host:port, auto, or local for one on this machine.",
)
@help_page.option(
    "--replicas",
    default="1",
    show_default=True,
    metavar="N",
    help="With --ray: how many servers; a range such as 1-4 follows the load.",
)
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, models: tuple[str, ...], **flags: Any) -> None:
    """Serve MODELs, or the default one, over HTTP in the form of OpenAI's API.

    The first model is loaded before the server says that it is ready, others at their first request. Ctrl-C
    ends it: answers in progress are completed first, a second Ctrl-C cuts them off.
    """
    names = ("host", "port", "api_key_file", "allow_host", "allow_origin", "parallel", "queue")
    more = ("memory_limit", "unload_after", "prefix_cache", "ray", "replicas")
    own = {name: flags.pop(name) for name in (*names, *more)}
    settings = options.read(flags)
    warn_about_threads(settings, console)
    from zeropoint.engine.machine import default_threads
    from zeropoint.server import run  # here: the web framework takes 0.2 s to import
    from zeropoint.server.app import make_app
    from zeropoint.server.guard import GuardOptions
    from zeropoint.server.models import ModelPool, PoolLimits
    from zeropoint.server.pool_spec import PoolSpec
    from zeropoint.server.prefix_store import PrefixStore

    guard = GuardOptions(
        api_keys=_keys(own["api_key_file"]),
        hosts=(own["host"], *own["allow_host"]),
        origins=own["allow_origin"],
    )
    limit = own["memory_limit"]
    limits = PoolLimits(
        own["parallel"], own["queue"], None if limit is None else limit * 10**6, own["unload_after"]
    )
    prefixes = None if own["prefix_cache"] is None else PrefixStore(own["prefix_cache"])
    pool = ModelPool(list(models) or [model_name(settings)], _loader(settings, console), limits, prefixes)
    listener = run.listen(own["host"], own["port"])
    if own["ray"] is None:
        pool.preload()
    host = f"[{own['host']}]" if ":" in own["host"] else own["host"]
    url = f"http://{host}:{listener.getsockname()[1]}/v1"
    console.warning(f"serving {', '.join(pool.models)} at {url}; Ctrl-C ends it")
    if own["ray"] is not None:
        spec = PoolSpec(tuple(pool.models), settings.engine_options(), limits)
        n_threads = settings.engine_options().threads or default_threads()
        _serve_on_ray(listener, spec, own["ray"], own["replicas"], n_threads, guard)
        return
    run.run(listener, make_app(pool, guard), drain_seconds=30)


def _serve_on_ray(
    listener: socket.socket, spec: PoolSpec, address: str, replicas: str, n_threads: int, guard: GuardOptions
) -> None:
    """Replicas on a Ray cluster behind a router here. replicas: "3", or "1-4"."""
    from zeropoint import ray_cluster
    from zeropoint.server import run
    from zeropoint.server.ray_replicas import ReplicaRange, routed_app

    least, _, most = replicas.partition("-")
    try:
        size = ReplicaRange(int(least), int(most or least))
    except ValueError:
        size = ReplicaRange(0, 0)
    if not 1 <= size.least <= size.most <= 1000:
        raise BadInput(
            f"--replicas is {replicas[:40]!r}; expected a number of replicas or a range, as in 1-4"
        )
    with ray_cluster.connected(address, size.most * n_threads, "serving on Ray"):
        run.run(listener, routed_app(spec, size, n_threads, guard), drain_seconds=30)


def _loader(settings: Settings, console: Console) -> Callable[[str], Model | TextEncoder]:
    def load(name: str) -> Model | TextEncoder:
        from zeropoint.engine.session.load import load

        if (encoder := find_encoder(name, console)) is not None:
            return encoder

        with console.progress(f"fetching {name}") as report:
            return load(
                name,
                settings.engine_options(),
                will_chat=True,
                progress=report,
                notify=console.notice,
                ask_licence=ask_licence(console),
            )

    return load


def _keys(path: Path | None) -> tuple[str, ...]:
    """The keys in a file. Raises BadInput."""
    if path is None:
        return ()
    try:
        keys = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the API keys in {path}: {error}") from None
    if not keys:
        raise BadInput(f"{path} has no API key; write one on each line")
    return keys
