"""zeropoint's training, exactly as `zeropoint train RECIPE`: model, data, optimizer, schedule and loop."""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor
from training import TrainOptions, characters, flops_per_token, full_validation_loss, seconds

import zeropoint
from zeropoint.blueprint.parts.position import Learned
from zeropoint.models.decoder import Decoder
from zeropoint.train.config.device import select_device
from zeropoint.train.config.io import read_config
from zeropoint.train.loop.compile import compile_objective
from zeropoint.train.loop.loop import train
from zeropoint.train.run.build_model import build_model
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.run import select_dtype


def open_side(options: TrainOptions) -> Training:
    """The recipe's model with its initial weights."""
    return Training(options)


class Training:
    """Implements `TrainSide`, and also measures the peak matrix-product rate of this machine."""

    def __init__(self, options: TrainOptions) -> None:
        torch.set_num_threads(options.threads)
        self.clock = options.clock
        sets = [f"train.steps={options.n_steps}", f"data.source={options.text}", "train.device=cpu"]
        self.config = read_config(options.recipe, [*sets, *options.sets])
        self.prepared = prepare(self.config)
        self.n_ctx = self.config.data.n_ctx or self.prepared.blueprint.n_ctx
        self.validation_ids = characters(options.text)[1]
        device = select_device(self.config.train.device)
        self.model = build_model(self.config, self.prepared.blueprint, device)
        self.dtype = select_dtype(self.config, device)
        self.objective = compile_objective(self.config, self.model, device)
        self.step_once = partial(
            train,
            self.model,
            self.prepared.training,
            self.objective,
            self.config.optimizer.build(self.model),
            schedule=self.config.schedule.for_run(self.config.train.steps, self.prepared.blueprint.d_model),
            accumulation_steps=self.config.train.accumulation_steps,
            max_grad_norm=self.config.train.max_grad_norm or None,
            dtype=self.dtype,
            seed=self.config.train.seed,
        )
        self.step = 0

    def about(self) -> dict[str, object]:
        b = self.prepared.blueprint
        n = sum(p.numel() for p in self.model.parameters())
        looked_up = 0 if b.is_tied else b.n_vocab * b.d_model
        if isinstance(b.embedding.position, Learned):
            looked_up += b.embedding.position.n_positions * b.d_model
        is_compiled = self.objective is not self.config.objective
        return {
            "name": f"zeropoint, {'compiled' if is_compiled else 'eager'}",
            "version": f"{zeropoint.__version__} {str(self.dtype).removeprefix('torch.')}",
            "n_parameters": n,
            "n_tokens_per_step": self.config.train.batch_size * self.n_ctx,
            "n_ctx": self.n_ctx,
            "flops_per_token": flops_per_token(
                n - looked_up, b.n_layers, b.blocks[0].attention.d_query, self.n_ctx
            ),
        }

    def advance(self, n: int) -> float:
        start = seconds(self.clock)
        self.step = self.step_once(n_steps=self.step + n, first_step=self.step)
        return seconds(self.clock) - start

    def validate(self) -> float:
        self.model.eval()
        return full_validation_loss(self._loss, self.validation_ids, self.n_ctx)

    def peak(self, dtype: str, n: int = 2048) -> float:
        """Floating-point operations per second of the fastest of several square matrix products."""
        a, b = (torch.ones(n, n, dtype=getattr(torch, dtype)) for _ in range(2))
        clock = time.perf_counter if self.clock == "wall" else time.process_time
        best = float("inf")
        for _ in range(8):
            start = clock()
            a @ b
            best = min(best, clock() - start)
        return 2 * n**3 / best

    def _loss(self, ids_BT: Tensor, next_BT: Tensor) -> Tensor:
        if not isinstance(self.model, Decoder):
            raise SystemExit("the bench trains decoders")
        with torch.autocast("cpu", self.dtype, enabled=self.dtype is not torch.float32):
            return self.config.objective(self.model, ids_BT, next_BT)
