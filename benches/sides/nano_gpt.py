"""The usual baseline: nanoGPT's model, hyperparameters and training loop for a CPU, written here.

Karpathy, nanoGPT (model.py, train.py, the CPU command of its README): 4 layers, 4 heads, width 128, context
64, batch 12, no biases, no dropout, tied head; AdamW at 1e-3 (betas 0.9 and 0.99, weight decay 0.1 on
matrices) without the fused implementation, which nanoGPT uses on CUDA only; 100 warm-up steps, cosine decay
to a tenth, gradient clipping at 1, float32, the loss read and a batch drawn from memory in every step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from training import TrainOptions, characters, flops_per_token, full_validation_loss, seconds

N_LAYERS, N_HEADS, D_MODEL, N_CTX, N_ROWS = 4, 4, 128, 64, 12
PEAK, FINAL, N_WARMUP, MAX_GRAD_NORM = 1e-3, 1e-4, 100, 1.0


def open_side(options: TrainOptions) -> NanoGpt:
    """The model with its initial weights."""
    return NanoGpt(options)


class NanoGpt:
    """Implements `TrainSide`."""

    def __init__(self, options: TrainOptions) -> None:
        torch.set_num_threads(options.threads)
        torch.manual_seed(1337)
        self.options = options
        self.train_ids, self.validation_ids, n_vocab = characters(options.text)
        self.module = GPT(n_vocab)
        self.model = torch.compile(self.module) if options.is_compiled else self.module
        parameters = list(self.module.parameters())
        groups = [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
        self.step = 0
        self.batch = self._draw()

    def about(self) -> dict[str, object]:
        n = sum(p.numel() for p in self.module.parameters())
        in_products = n - self.module.position.weight.numel()
        return {
            "name": f"nanoGPT's shape, {'compiled' if self.options.is_compiled else 'eager'}",
            "version": f"torch {torch.__version__}",
            "n_parameters": n,
            "n_tokens_per_step": N_ROWS * N_CTX,
            "n_ctx": N_CTX,
            "flops_per_token": flops_per_token(in_products, N_LAYERS, D_MODEL, N_CTX),
        }

    def advance(self, n: int) -> float:
        start = seconds(self.options.clock)
        for _ in range(n):
            rate = self._rate()
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = self.model(*self.batch)
            self.batch = self._draw()
            loss.backward()
            nn.utils.clip_grad_norm_(self.module.parameters(), MAX_GRAD_NORM)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            loss.item()
            self.step += 1
        return seconds(self.options.clock) - start

    def validate(self) -> float:
        self.module.eval()
        loss = full_validation_loss(self.module, self.validation_ids, N_CTX)
        self.module.train()
        return loss

    def _rate(self) -> float:
        if self.step < N_WARMUP:
            return PEAK * (self.step + 1) / (N_WARMUP + 1)
        done = min(1.0, (self.step - N_WARMUP) / max(1, self.options.n_steps - N_WARMUP))
        return FINAL + 0.5 * (1 + math.cos(math.pi * done)) * (PEAK - FINAL)

    def _draw(self) -> tuple[Tensor, Tensor]:
        ids, starts = self.train_ids, torch.randint(len(self.train_ids) - N_CTX, (N_ROWS,))
        rows = [
            [torch.from_numpy(ids[i + j : i + j + N_CTX].astype("int64")) for i in starts] for j in (0, 1)
        ]
        return torch.stack(rows[0]), torch.stack(rows[1])


class GPT(nn.Module):
    """The mean loss of targets [B, T] given ids [B, T]."""

    def __init__(self, n_vocab: int) -> None:
        super().__init__()
        self.token = nn.Embedding(n_vocab, D_MODEL)
        self.position = nn.Embedding(N_CTX, D_MODEL)
        self.blocks = nn.ModuleList(Block() for _ in range(N_LAYERS))
        self.norm = LayerNorm()
        self.head = nn.Linear(D_MODEL, n_vocab, bias=False)
        self.token.weight = self.head.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                ends = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * N_LAYERS) if ends else 0.02)

    def forward(self, ids_BT: Tensor, target_BT: Tensor) -> Tensor:
        x_BTD = self.token(ids_BT) + self.position(torch.arange(ids_BT.shape[1]))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        logits_BTV = self.head(self.norm(x_BTD))
        return F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten(), ignore_index=-1)


class Block(nn.Module):
    """Attention with a fused QKV projection, then an MLP four times as wide."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.ffn_norm = LayerNorm(), LayerNorm()
        self.query_key_value = nn.Linear(D_MODEL, 3 * D_MODEL, bias=False)
        self.output = nn.Linear(D_MODEL, D_MODEL, bias=False)
        self.up = nn.Linear(D_MODEL, 4 * D_MODEL, bias=False)
        self.down = nn.Linear(4 * D_MODEL, D_MODEL, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        n_batch, n_tokens, _ = x_BTD.shape
        parts = self.query_key_value(self.attention_norm(x_BTD)).split(D_MODEL, dim=2)
        q, k, v = (p.view(n_batch, n_tokens, N_HEADS, -1).transpose(1, 2) for p in parts)
        context_BHTK = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.output(context_BHTK.transpose(1, 2).contiguous().view(x_BTD.shape))
        return x_BTD + self.down(F.gelu(self.up(self.ffn_norm(x_BTD))))


class LayerNorm(nn.Module):
    """LayerNorm without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(D_MODEL))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)
