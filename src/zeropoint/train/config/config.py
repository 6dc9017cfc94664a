"""The configuration of a training run: every setting, with its default, range and help.

`io.py` reads configurations from TOML, `validate.py` checks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from zeropoint import registry
from zeropoint.data.completion_loss import LossTargets
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
    "section_classes",
]

Precision = Literal["float32", "bfloat16", "auto"]

KINDS = {
    "objective": "zeropoint.train.objectives",
    "optimizer": "zeropoint.train.optim",
    "schedule": "zeropoint.train.schedules",
}
"""Sections whose `kind` names a file of a package; that file defines the section's fields."""

_MAX_THREADS = 1024  # OpenMP aborts the process if it cannot start the requested number of threads


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
