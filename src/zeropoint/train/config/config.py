"""What a training run is: every number of it, from a preset or a TOML file, each to be overridden.

    [model]
    n_layers = 4
    [data]
    source = "shakespeare"
    [optimizer]
    kind = "adamw"
    learning_rate = 1e-3

`--set optimizer.learning_rate=3e-4` comes last. nanoGPT's and Hugging Face's names for sizes are understood
at the top of a file and in `--set` (`n_layer`, `hidden_size`, ...).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from zeropoint.blueprint.io import from_table, to_toml
from zeropoint.blueprint.toml_codec import decode, describe, encode, kind_of, parse
from zeropoint.data.completion_loss import LossTargets
from zeropoint.errors import BadInput, choices
from zeropoint.train.config.device import Device
from zeropoint.train.objectives.masked_lm import MaskedLM
from zeropoint.train.objectives.next_token import NextToken
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.optim.muon import Muon
from zeropoint.train.schedules.schedule import WSD, Constant, Cosine, Noam

__all__ = [
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
]

Precision = Literal["float32", "bfloat16", "auto"]

_RECIPES = files("zeropoint.train") / "recipes"
_MOST_BYTES = 1_000_000  # of a configuration; a device would be read without end
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
    """What is trained: a blueprint, or sizes of a family; never both.

    blueprint: a name of the catalogue, a TOML file, or a table [model.blueprint]; its n_vocab becomes the
    tokenizer's. family: gpt2 (learned positions, LayerNorm, GELU) or llama (RoPE, RMSNorm, SwiGLU). Sizes
    left at 0: n_kv_heads = n_heads, d_ff = 4 * d_model (llama: 8/3, to a multiple of 32). init: of first
    weights. dropout: of the first sum and of what each part adds; attention_dropout: of attention's weights
    (nanoGPT's `dropout` is both). activation: of a gpt2; gelu_tanh is what GPT-2 had, and what its GGUF files
    and llama.cpp mean. gradient_checkpointing: keep no activations of blocks, compute them again on the way
    back: less memory.
    """

    blueprint: str = ""
    family: Literal["gpt2", "llama"] = "gpt2"
    n_layers: int = 0
    n_heads: int = 0
    n_kv_heads: int = 0
    d_model: int = 0
    d_ff: int = 0
    n_ctx: int = 0
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    has_bias: bool = False
    is_tied: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0
    init: Literal["default", "normal", "xavier"] = "default"
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class DataConfig:
    """What is learned from.

    source: a name of the catalogue, or a path of one's own (docs/data.md); prepared shards bring their own
    tokenizer and split. field: of JSON and Parquet, the one with the text. tokenizer: "characters", "words"
    (that occur twice), "bpe" (trained on the text, n_vocab tokens) or a tokenizer.json. validation: share
    held out. n_ctx: tokens of an example, by default the model's. order: windows (anywhere, with replacement)
    or epochs (every token once an epoch). loss: all of a text is asked for, or of records that are prompt
    and completion the "completion" alone. languages: of a sequence-to-sequence run, whose source has a file
    for each and parts of its own (data/parallel_corpus.py); validation, n_ctx and order are not asked there.
    """

    source: str = "harbour"
    field: str = "text"
    tokenizer: str = "characters"
    n_vocab: int = 512
    validation: float = 0.1
    n_ctx: int = 0
    languages: str = "de-en"
    order: Literal["windows", "epochs"] = "windows"
    loss: LossTargets = "all"


@dataclass(frozen=True)
class TrainConfig:
    """How it goes.

    batch_size: examples of a step, over all workers; accumulation_steps: parts that each worker's share is
    taken in, for less memory. max_grad_norm: longest gradient (0: any). ema: decay of the averaged weights
    (0: none), which then are the ones that are judged. near_zero: gradients below this share of a parameter's
    largest count as near zero. precision: of products; auto measures. device: auto takes a GPU if there is
    one. threads: 0 is torch's number. compile: by torch, where it pays ("auto"), always or never. sharding:
    of several workers, "fsdp" lets each hold a part of the weights. time_budget: "10m", "2h" or "" (none).
    patience: evaluations without a better one until it stops (0: never). keep: checkpoints, beside the best.
    leak_check: whether it is seen to that the model does not see the future.
    """

    steps: int = 1000
    batch_size: int = 16
    accumulation_steps: int = 1
    seed: int = 1337
    max_grad_norm: float = 1.0
    ema: float = 0.0
    near_zero: float = 1e-3
    precision: Precision = "float32"
    device: Device = "auto"
    threads: int = 0
    compile: Literal["auto", "always", "never"] = "auto"
    sharding: Literal["none", "fsdp"] = "none"
    checkpoint_every: int = 250
    keep: int = 2
    time_budget: str = ""
    patience: int = 0
    leak_check: bool = True


@dataclass(frozen=True)
class EvalConfig:
    """every: steps (0: at the end alone). n_batches: of each split, always the same. on_train: that too."""

    every: int = 250
    n_batches: int = 20
    on_train: bool = True


@dataclass(frozen=True)
class SampleConfig:
    """What the model can do, shown now and then. every: steps (0: never).

    A decoder goes on from prompt, by n_tokens; temperature: 0, the likeliest; top_k: 0, all. Other runs show
    n_examples of what they are judged by: sentences translated, or rows with their gaps filled in.
    """

    every: int = 0
    n_examples: int = 3
    prompt: str = ""
    n_tokens: int = 200
    temperature: float = 0.8
    top_k: int = 0


@dataclass(frozen=True)
class RunConfig:
    """A run. `objective`, `optimizer` and `schedule` say by `kind` which of theirs they are."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    objective: NextToken | MaskedLM | Seq2SeqLoss = NextToken()
    optimizer: AdamW | Muon = AdamW()
    schedule: Constant | Cosine | WSD | Noam = Cosine()
    eval: EvalConfig = EvalConfig()
    sample: SampleConfig = SampleConfig()


_KINDS = {"objective": "next_token", "optimizer": "adamw", "schedule": "cosine"}  # where `kind` is left out


def recipes() -> list[str]:
    """The names of the presets, sorted."""
    return sorted(f.name.removesuffix(".toml") for f in _RECIPES.iterdir() if f.name.endswith(".toml"))


def read_config(source: str | Path, sets: Iterable[str] = ()) -> RunConfig:
    """The configuration of a preset's name or a TOML file, with overrides such as "train.steps=120".

    Raises BadInput naming the file or override, and the key; an unknown one with the closest.
    """
    name = str(source)
    if isinstance(source, Path) or name.endswith(".toml") or "/" in name:
        table = parse(_text_of_file(Path(source)), name)
    elif name in recipes():
        table = parse((_RECIPES / f"{name}.toml").read_text("utf-8"), name)
    else:
        raise BadInput(choices("preset", name, recipes()) + "; or give --config FILE.toml")
    table = _with_aliases(table, name)
    for override in sets:
        _set(table, override)
    return _config(table, name)


def read_run_config(run: Path, sets: Iterable[str] = ()) -> RunConfig:
    """The configuration that a run's folder holds, with overrides.

    Raises BadInput naming the file and the key, and what to do where another version wrote it.
    """
    path = run / "config.toml"
    try:
        config = read_config(path)
    except BadInput as error:
        raise BadInput(
            f"{error}; if another version of zeropoint wrote this, put that line right, or go on with the "
            "version that run.json names"
        ) from None
    sets = tuple(sets)
    return read_config(path, sets) if sets else config


def config_toml(config: RunConfig) -> str:
    """The whole configuration as TOML, defaults written out; `read_config` gives the same one."""
    lines: list[str] = []
    for section in fields(config):
        part = getattr(config, section.name)
        lines.append(f"[{section.name}]")
        if section.name in _KINDS:
            lines.append(f'kind = "{kind_of(type(part))}"')
        lines += [f"{f.name} = {encode(getattr(part, f.name))}" for f in fields(part)]
        lines.append("")
    return "\n".join(lines)


def _config(table: dict[str, Any], origin: str) -> RunConfig:
    for section, kind in _KINDS.items():
        part = table.setdefault(section, {})
        if isinstance(part, dict):
            part.setdefault("kind", kind)
    model = table.get("model")
    if isinstance(model, dict) and isinstance(model.get("blueprint"), Mapping):
        model["blueprint"] = to_toml(from_table(model["blueprint"], f"{origin}: model.blueprint"))
    config: RunConfig = decode(RunConfig, table, origin)
    return config


def _with_aliases(table: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """A copy whose foreign names stand where ours do."""
    found: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in table.items()}
    for alias in _ALIASES.keys() & found.keys():
        section, _, key = _ALIASES[alias].partition(".")
        part = found.setdefault(section, {})
        if key in part:
            raise BadInput(f"{origin}: `{alias}` and `{section}.{key}` are the same; give one of them")
        part[key] = found.pop(alias)
    return found


def _set(table: dict[str, Any], override: str) -> None:
    """Put "a.b=c" into the table; c is TOML, or a text without quotes."""
    name, is_given, text = override.partition("=")
    name = _ALIASES.get(name.strip(), name.strip())
    section, _, key = name.partition(".")
    if not is_given or not key:
        raise BadInput(f"--set {override}: expected section.key=value, as in train.steps=120")
    known = [f.name for f in fields(RunConfig)]
    if section not in known:
        raise BadInput(f"--set {override}: {choices('section', section, known)}")
    part = table.setdefault(section, {})
    if not isinstance(part, dict):
        raise BadInput(f"`{section}` is {describe(part)}; expected a table [{section}]")
    value = _value(text.strip())
    if key == "kind" and part.get("kind", _KINDS.get(section)) != value:
        part.clear()  # the numbers of another kind mean nothing to this one
    part[key] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except (ValueError, RecursionError):
        return text


def _text_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise BadInput(f"{path} has more than {_MOST_BYTES} bytes; a configuration is a short TOML file")
        return content.decode("utf-8")
    except FileNotFoundError:
        raise BadInput(
            f"there is no file {path}; give the path of a configuration, or a preset's name"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
