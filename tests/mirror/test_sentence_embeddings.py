"""Embeddings of a BERT model against transformers, pooled and normalized as sentence-transformers does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests.support.one_thread import one_thread
from zeropoint.convert.convert import convert
from zeropoint.engine.session.text_encoder import TextEncoder, is_encoder, load_encoder
from zeropoint.errors import BadInput, ContextFull

__all__ = ["one_thread"]

TEXTS = ["a small cat", "the cats are small and the dog is not", "dog", "not a dog , a cat"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += ["a", "small", "cat", "##s", "the", "are", "and", "dog", "is", "not", ","]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BertModel, whose tokenizer.json asks for padding, as sentence-transformers' files do."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    tokenizer.backend_tokenizer.enable_padding(length=24)
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
    )
    torch.manual_seed(3)
    model = transformers.BertModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["folder", "gguf"])
def encoder(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory):
    path = folder
    if request.param == "gguf":
        path = tmp_path_factory.mktemp("gguf") / "bert.gguf"
        convert(folder, path)
    assert is_encoder(path)
    with load_encoder(path, "bert") as encoder:
        yield encoder


@torch.no_grad()
def expected(folder: Path, pooling: str) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    rows = []
    for text in TEXTS:
        batch = tokenizer(text, return_tensors="pt", padding=False)
        states = model(**batch).last_hidden_state[0]
        row = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
        rows.append(torch.nn.functional.normalize(row, dim=0).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_equal_those_of_transformers(encoder: TextEncoder, folder: Path, pooling: str) -> None:
    found = encoder.embed(TEXTS, pooling=pooling)
    np.testing.assert_allclose(found, expected(folder, pooling), atol=1e-5)


def test_a_text_has_the_same_vector_in_any_batch(encoder: TextEncoder) -> None:
    together = encoder.embed(TEXTS)
    alone = np.concatenate([encoder.embed(text) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_what_an_encoder_cannot_do_is_named(encoder: TextEncoder) -> None:
    with pytest.raises(ContextFull, match="at most 32"):
        encoder.embed("cat " * 40)
    with pytest.raises(BadInput, match="is empty"):
        encoder.embed("")
    with pytest.raises(BadInput, match="writes none"):
        encoder.encode_chat([{"role": "user", "content": "hi"}])
    with pytest.raises(BadInput, match="pooling"):
        encoder.embed("cat", pooling="max")


def test_a_decoder_is_no_encoder(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "bert"
    transformers.GPT2Config().save_pretrained(tmp_path)
    assert not is_encoder(tmp_path)
