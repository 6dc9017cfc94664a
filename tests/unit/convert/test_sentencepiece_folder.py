"""A folder with SentencePiece's tokenizer.model and no tokenizer.json keeps its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint.convert.convert import convert
from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.reader import open_gguf

N_TOKENS, N_VOCAB = 340, 345


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path / "a"
    special = {"bos_token_id": 1, "eos_token_id": 2}
    write_tiny_folder(folder, {**CONFIGS["llama"], "vocab_size": N_VOCAB, **special})
    text = "the quick brown fox jumps over the lazy dog 12345 na\u00efve\n" * 20
    (tmp_path / "text.txt").write_text(text, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(folder / "tokenizer"), model_type="bpe",
        minloglevel=2, vocab_size=N_TOKENS, byte_fallback=True, character_coverage=1.0,
        hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "tokenizer.vocab").unlink()
    return folder


@pytest.mark.heavy
def test_its_ids_are_sentencepieces(folder: Path, tmp_path: Path) -> None:
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    n_tokens = theirs.get_piece_size()
    user = {"content": "<|user|>", "special": True, "rstrip": True}
    settings = {"add_bos_token": True, "eos_token": "</s>", "added_tokens_decoder": {str(n_tokens): user}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    convert(folder, tmp_path / "b.gguf")
    ours = load_tokenizer(open_gguf(tmp_path / "b.gguf"))
    assert (ours.n_vocab, ours.bos_id, ours.eos_id, ours.add_bos) == (N_VOCAB, 1, 2, True)
    for text in ("the  quick fox", " na\u00efve \u2460 zebra\t\n", "<s>", "\ufb01ne"):
        assert ours.encode(text) == theirs.encode(text)
    assert ours.encode("<|user|>\nfox", parse_special=True) == [n_tokens, *theirs.encode("fox")]


def test_an_added_token_beyond_the_embedding_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "added_tokens.json").write_text(json.dumps({"<x>": N_VOCAB}))
    with pytest.raises(BadModelFile, match=r"added_tokens\.json: .* '<x>' the id 345; the embedding has 345"):
        convert(folder, tmp_path / "b.gguf")
    assert not (tmp_path / "b.gguf").exists()
