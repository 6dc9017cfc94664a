"""The configuration of a training run: every setting, its default, range and help, in one place.

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

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_type_hints

from zeropoint import registry
from zeropoint.blueprint.io import from_table, to_toml
from zeropoint.blueprint.toml_codec import decode, describe, encode, parse
from zeropoint.data.completion_loss import LossTargets
from zeropoint.errors import BadInput, choices
from zeropoint.options import MAX_INT, option
from zeropoint.train.config.device import Device
from zeropoint.train.objectives import Objective
from zeropoint.train.objectives.next_token import NextToken
from zeropoint.train.optim import OptimizerSpec
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.schedules import Schedule
from zeropoint.train.schedules.cosine import Cosine

__all__ = [
    "KINDS",
    "DataConfig",
    "EvalConfig",
    "ModelConfig",
    "Precision",
    "RunConfig",
    "SampleConfig",
    "TrainConfig",
    "config_toml",
    "read_config",
    "read_run_config",
    "recipes",
    "section_classes",
]

Precision = Literal["float32", "bfloat16", "auto"]

KINDS = {
    "objective": "zeropoint.train.objectives",
    "optimizer": "zeropoint.train.optim",
    "schedule": "zeropoint.train.schedules",
}
"""Sections whose `kind` names a file of a package; that file defines the section's fields."""

_RECIPES = files("zeropoint.train") / "recipes"
_MAX_BYTES = 1_000_000  # of a configuration file, so that a device such as /dev/zero is not read forever
_MAX_THREADS = 1024  # OpenMP aborts the process if it cannot start the requested number of threads
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


@dataclass(frozen=True)
class ModelConfig:
    """The model: either a blueprint, or a family with its sizes."""

    blueprint: str = option(
        "",
        help="A blueprint of the catalog (`tiny-gpt`), a TOML file, or a table `[model.blueprint]`; "
        "its n_vocab is replaced by the tokenizer's. Leave the sizes below at 0.",
    )
    family: Literal["gpt2", "llama"] = option(
        "gpt2",
        help="Architecture of a model given by sizes: gpt2 (learned positions, LayerNorm, GELU) or llama "
        "(RoPE, RMSNorm, SwiGLU).",
    )
    n_layers: int = option(0, 0, MAX_INT, "Number of blocks.")
    n_heads: int = option(0, 0, MAX_INT, "Number of attention heads.")
    n_kv_heads: int = option(
        0, 0, MAX_INT, "Number of key/value heads (grouped-query attention); 0 is n_heads."
    )
    d_model: int = option(0, 0, MAX_INT, "Width of the residual stream.")
    d_ff: int = option(
        0,
        0,
        MAX_INT,
        "Width of the feed-forward layer; 0 is 4 d_model (llama: 8/3 d_model, rounded up to 32).",
    )
    n_ctx: int = option(0, 0, MAX_INT, "Context length, in tokens.")
    activation: Literal["gelu", "gelu_tanh"] = option(
        "gelu",
        help="Activation of a gpt2: gelu (nanoGPT) or gelu_tanh (OpenAI's GPT-2, GGUF files, llama.cpp).",
    )
    has_bias: bool = option(False, help="Biases in linear layers and norms.")
    is_tied: bool = option(True, help="Share the weights of the token embedding and the output head.")
    dropout: float = option(
        0.0, 0, 1, "Dropout of the embedding sum and of each residual branch.", is_open_above=True
    )
    attention_dropout: float = option(
        0.0, 0, 1, "Dropout of the attention weights. nanoGPT's `dropout` sets both.", is_open_above=True
    )
    init: Literal["default", "normal", "xavier"] = option(
        "default", help="Weight initialization; default is the family's own."
    )
    gradient_checkpointing: bool = option(
        False,
        help="Recompute the activations of each block in the backward pass instead of storing them: less "
        "memory, about a third more computation.",
    )


@dataclass(frozen=True)
class DataConfig:
    """The training data and the tokenizer."""

    source: str = option(
        "harbour",
        help="A data set (`zeropoint data list`), or a file or folder of text, JSONL or Parquet. Prepared "
        "shards bring their own tokenizer and validation split.",
    )
    field: str = option("text", help="Field of JSONL and Parquet records that holds the text.")
    tokenizer: str = option(
        "characters",
        help="`characters`, `words` (that occur at least twice), `bpe` (trained on the text), or a "
        "tokenizer.json.",
    )
    n_vocab: int = option(512, 2, MAX_INT, "Vocabulary size of a `bpe` tokenizer.")
    validation: float = option(
        0.1,
        0,
        1,
        "Fraction of the text held out for validation.",
        is_open=True,
        is_open_above=True,
    )
    n_ctx: int = option(0, 0, MAX_INT, "Tokens per example; 0 is the model's n_ctx.")
    languages: str = option(
        "de-en", help="Source and target language of parallel text, which has a file for each language."
    )
    order: Literal["windows", "epochs"] = option(
        "windows",
        help="windows: random windows, with replacement (nanoGPT). epochs: every token once per epoch.",
    )
    loss: LossTargets = option(
        "all",
        help="all: every token is a target. completion: only the completions of prompt-and-completion "
        "records are targets (completion-only loss).",
    )


@dataclass(frozen=True)
class TrainConfig:
    """The training loop: length, batches, precision, checkpoints and early stopping."""

    steps: int = option(1000, 1, MAX_INT, "Optimizer steps.")
    batch_size: int = option(16, 1, MAX_INT, "Examples per step, over all workers.")
    accumulation_steps: int = option(
        1,
        1,
        MAX_INT,
        "Micro-batches per step, for gradient accumulation: less memory, the same step up to rounding.",
    )
    seed: int = option(1337, 0, MAX_INT, "Seed of initialization, batches, dropout and samples.")
    max_grad_norm: float = option(
        1.0, 0, None, "Gradient clipping: the largest global gradient norm; 0 turns clipping off."
    )
    ema_decay: float = option(
        0.0,
        0,
        1,
        "Decay of an exponential moving average of the weights, which is then evaluated and exported; 0 "
        "turns it off.",
        is_open_above=True,
    )
    near_zero_threshold: float = option(
        1e-3,
        0,
        1,
        "Gradients below this fraction of a parameter's largest gradient count as near zero.",
        is_open_above=True,
    )
    precision: Precision = option(
        "float32",
        help="Type of matrix products (autocast); weights and optimizer state stay float32. auto picks "
        "bfloat16 if this device multiplies it faster.",
    )
    device: Device = option("auto", help="Where to train; auto uses a GPU if torch sees one.")
    threads: int = option(0, 0, _MAX_THREADS, "CPU threads; 0 leaves the number to torch.")
    compile: Literal["auto", "always", "never"] = option(
        "auto", help="torch.compile; auto compiles runs that are long enough to pay for it."
    )
    sharding: Literal["none", "fsdp"] = option(
        "none",
        help="With several workers: none replicates the weights (DDP), fsdp shards them (FSDP2).",
    )
    checkpoint_every: int = option(250, 0, MAX_INT, "Steps between checkpoints; 0 writes the last one only.")
    max_checkpoints: int = option(2, 2, MAX_INT, "Newest checkpoints to keep, in addition to the best one.")
    time_budget: str = option("", help="Stop after this training time, as in 90s, 10m or 1.5h; empty: none.")
    early_stopping_patience: int = option(
        0,
        0,
        MAX_INT,
        "Early stopping: stop after this many evaluations in a row without a lower validation loss; 0 turns "
        "it off.",
    )
    check_causality: bool = option(
        True, help="Before training, verify that no logit depends on later tokens."
    )


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation during training."""

    every: int = option(250, 0, MAX_INT, "Steps between evaluations; 0 evaluates at the end only.")
    n_batches: int = option(20, 1, MAX_INT, "Batches per split, the same ones at every evaluation.")
    on_train: bool = option(True, help="Evaluate the training split too.")


@dataclass(frozen=True)
class SampleConfig:
    """Samples during training: generated text, translations, or filled masks."""

    every: int = option(0, 0, MAX_INT, "Steps between samples; 0 turns them off.")
    n_examples: int = option(
        3, 1, MAX_INT, "Validation examples to translate or to fill in (not for decoders)."
    )
    prompt: str = option("", help="Text that a decoder continues; empty starts at a line break.")
    n_tokens: int = option(200, 1, MAX_INT, "Tokens that a decoder generates.")
    temperature: float = option(0.8, 0, 2, "Sampling temperature of a decoder; 0 is greedy.")
    top_k: int = option(0, 0, MAX_INT, "Sample from the k most likely tokens; 0 is all.")


@dataclass(frozen=True)
class RunConfig:
    """A training run. The `kind` of `objective`, `optimizer` and `schedule` chooses their class."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    objective: Objective = NextToken()
    optimizer: OptimizerSpec = AdamW()
    schedule: Schedule = Cosine()
    eval: EvalConfig = EvalConfig()
    sample: SampleConfig = SampleConfig()


def section_classes(section: str) -> dict[str, type[Any]]:
    """The classes that a section may hold, by kind; a section of one class has the kind ""."""
    base = get_type_hints(RunConfig)[section]
    if section not in KINDS:
        return {"": base}
    package = KINDS[section]
    return {name: registry.load_class(package, name, base) for name in registry.names(package)}


def recipes() -> list[str]:
    """The names of the recipes, sorted."""
    return sorted(f.name.removesuffix(".toml") for f in _RECIPES.iterdir() if f.name.endswith(".toml"))


def read_config(source: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a recipe or a TOML file and apply overrides such as "train.steps=120".

    Raises BadInput naming the file or override and the key; an unknown key with the closest known one.
    """
    name = str(source)
    if isinstance(source, Path) or name.endswith(".toml") or "/" in name:
        table = parse(_read_file(Path(source)), name)
    elif name in recipes():
        table = parse((_RECIPES / f"{name}.toml").read_text("utf-8"), name)
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
        return tomllib.loads(f"x = {text}")["x"]
    except (ValueError, RecursionError):
        return text


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise BadInput(f"{path} is larger than {_MAX_BYTES} bytes; a configuration is a short TOML file")
        return content.decode("utf-8")
    except FileNotFoundError:
        raise BadInput(
            f"there is no file {path}; give the path of a configuration, or a preset's name"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
