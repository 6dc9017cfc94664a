"""GET /metrics: counts for Prometheus, in its text format."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from zeropoint.server.engine_thread import EngineThread

PATH, METHOD = "/metrics", "GET"
SUMMARY = "Counts and sizes for Prometheus."

_METRICS: dict[str, tuple[str, str, Callable[[EngineThread], float]]] = {
    "requests_running": ("gauge", "Answers that the engine works on.", lambda t: t.n_running),
    "requests_waiting": ("gauge", "Answers that wait for their turn.", lambda t: t.n_waiting),
    "prompt_tokens_total": ("counter", "Prompt tokens of finished answers.", lambda t: t.n_prompt_tokens),
    "cached_tokens_total": ("counter", "Of these, from the cache.", lambda t: t.n_cached_tokens),
    "completion_tokens_total": ("counter", "Tokens of finished answers.", lambda t: t.n_completion_tokens),
    "engine_steps_total": ("counter", "Steps of the engine.", lambda t: t.n_steps),
    "weight_bytes": ("gauge", "Memory of the weights.", lambda t: t.model.weight_bytes),
}


async def endpoint(request: Request) -> Response:
    """One line per loaded model and metric."""
    threads = [(s.name, s.thread) for s in request.app.state.pool.models.values() if s.thread is not None]
    lines = []
    for name, (kind, help_text, value) in _METRICS.items():
        lines += [f"# HELP zeropoint_{name} {help_text}", f"# TYPE zeropoint_{name} {kind}"]
        lines += [f'zeropoint_{name}{{model="{_escaped(model)}"}} {value(t):g}' for model, t in threads]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
