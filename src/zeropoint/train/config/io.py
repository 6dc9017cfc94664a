"""Read and write the configuration of a training run.

A configuration is a recipe (a preset that comes with the package) or a TOML file, with overrides:

    [model]
    n_layers = 4
    [data]
    source = "shakespeare"
    [optimizer]
    kind = "adamw"
    learning_rate = 1e-3

`--set optimizer.learning_rate=3e-4` overrides a value. nanoGPT's and Hugging Face's names (`n_layer`,
`hidden_size`, ...) are accepted at the top level of a file and in `--set`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from zeropoint import registry
from zeropoint.blueprint.io import from_table, to_toml
from zeropoint.blueprint.toml_codec import decode, describe, encode
from zeropoint.errors import BadInput, choices
from zeropoint.files.toml_text import parse_toml, read_toml
from zeropoint.train.config.config import KINDS, RunConfig
from zeropoint.train.config.recipes import recipe_text, recipes

__all__ = ["config_toml", "read_config", "read_run_config"]

_ALIASES = {
    "n_layer": "model.n_layers", "n_head": "model.n_heads", "n_embd": "model.d_model",
    "block_size": "model.n_ctx", "dropout": "model.dropout", "batch_size": "train.batch_size",
    "max_iters": "train.steps", "learning_rate": "optimizer.learning_rate",
    "weight_decay": "optimizer.weight_decay", "grad_clip": "train.max_grad_norm", "seed": "train.seed",
    "eval_interval": "eval.every", "eval_iters": "eval.n_batches", "warmup_iters": "schedule.warmup_steps",
    "lr_decay_iters": "schedule.decay_steps", "num_hidden_layers": "model.n_layers",
    "num_attention_heads": "model.n_heads", "num_key_value_heads": "model.n_kv_heads",
    "hidden_size": "model.d_model", "intermediate_size": "model.d_ff",
    "max_position_embeddings": "model.n_ctx", "attention_dropout": "model.attention_dropout",
}  # fmt: skip


def read_config(source: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a recipe or a TOML file and apply overrides such as "train.steps=120".

    Raises BadInput naming the file or override and the key; an unknown key with the closest known one.
    """
    name = str(source)
    if isinstance(source, Path) or name.endswith(".toml") or "/" in name:
        table = _read_file(Path(source))
    elif name in recipes():
        table = parse_toml(recipe_text(name), name)
    else:
        raise BadInput(choices("preset", name, recipes()) + "; or give --config FILE.toml")
    table = _resolve_aliases(table, name)
    for override in overrides:
        _override(table, override)
    return _from_table(table, name)


def read_run_config(run: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read the configuration in a run's folder and apply overrides.

    Raises BadInput naming the file and the key, with a remedy for files that another version wrote.
    """
    path = run / "config.toml"
    try:
        config = read_config(path)
    except BadInput as error:
        raise BadInput(
            f"{error}; if another version of zeropoint wrote this file, correct that line, or use the "
            "version that run.json names"
        ) from None
    overrides = tuple(overrides)
    return read_config(path, overrides) if overrides else config


def config_toml(config: RunConfig) -> str:
    """The complete configuration as TOML, including defaults; `read_config` returns an equal one."""
    lines: list[str] = []
    for section in fields(config):
        part = getattr(config, section.name)
        lines.append(f"[{section.name}]")
        if section.name in KINDS:
            lines.append(f'kind = "{registry.name_of(part)}"')
        lines += [f"{f.name} = {encode(getattr(part, f.name))}" for f in fields(part)]
        lines.append("")
    return "\n".join(lines)


def _default_kind(section: str) -> str:
    return registry.name_of(next(f.default for f in fields(RunConfig) if f.name == section))


def _from_table(table: dict[str, Any], origin: str) -> RunConfig:
    model = table.get("model")
    if isinstance(model, dict) and isinstance(model.get("blueprint"), Mapping):
        model["blueprint"] = to_toml(from_table(model["blueprint"], f"{origin}: model.blueprint"))
    parts = {section: _variant(section, table.pop(section, {}), origin) for section in KINDS}
    config: RunConfig = decode(RunConfig, table, origin, ready=parts)
    return config


def _variant(section: str, table: Any, origin: str) -> Any:
    """The objective, optimizer or schedule that a table describes."""
    if not isinstance(table, Mapping):
        raise BadInput(f"{origin}: `{section}` is {describe(table)}; expected a table [{section}]")
    kind, known = table.get("kind", _default_kind(section)), registry.names(KINDS[section])
    if kind not in known:
        raise BadInput(f"{origin}: {choices(f'{section}.kind', kind, known)}")
    base = get_type_hints(RunConfig)[section]
    cls = registry.load_class(KINDS[section], kind, base)
    values = {key: value for key, value in table.items() if key != "kind"}
    return decode(cls, values, origin, f"{section}.")


def _resolve_aliases(table: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """A copy in which nanoGPT's and Hugging Face's names are replaced by `section.key`."""
    resolved: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in table.items()}
    for alias in _ALIASES.keys() & resolved.keys():
        section, _, key = _ALIASES[alias].partition(".")
        part = resolved.setdefault(section, {})
        if key in part:
            raise BadInput(f"{origin}: `{alias}` and `{section}.{key}` are the same; give one of them")
        part[key] = resolved.pop(alias)
    return resolved


def _override(table: dict[str, Any], override: str) -> None:
    """Apply "section.key=value" to the table; the value is TOML, or a string without quotes."""
    name, has_value, text = override.partition("=")
    name = _ALIASES.get(name.strip(), name.strip())
    section, _, key = name.partition(".")
    if not has_value or not key:
        raise BadInput(f"--set {override}: expected section.key=value, as in train.steps=120")
    known = [f.name for f in fields(RunConfig)]
    if section not in known:
        raise BadInput(f"--set {override}: {choices('section', section, known)}")
    part = table.setdefault(section, {})
    if not isinstance(part, dict):
        raise BadInput(f"`{section}` is {describe(part)}; expected a table [{section}]")
    value = _value(text.strip())
    if key == "kind" and section in KINDS and part.get("kind", _default_kind(section)) != value:
        part.clear()  # the settings of another kind do not apply to this one
    part[key] = value


def _value(text: str) -> Any:
    try:
        return parse_toml(f"x = {text}", "--set")["x"]
    except BadInput:
        return text


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except FileNotFoundError:
        raise BadInput(
            f"there is no file {path}; give the path of a configuration, or a preset's name"
        ) from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
