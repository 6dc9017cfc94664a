"""RWKV's longest-match tokenizer gives the ids of llama.cpp, on a random vocabulary of byte strings."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import gguf
import pytest

from tests.mirror.test_gemma_tokenizer import SCRIPT
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.reader import open_gguf

pytestmark = pytest.mark.process
TEXT = "The quick brown fox, 12 × 13 = 156\n\nUser: 你好 été naïve 😀 it's\t\\n <s> fox fox foxes\r\n"


def write_vocabulary(path: Path, rng: random.Random) -> None:
    """A file with only a vocabulary: all bytes, and random pieces of a text, cut within characters too."""
    data = TEXT.encode()
    starts = [rng.randrange(len(data) - 1) for _ in range(400)]
    pieces = {data[start : start + rng.randrange(2, 9)] for start in starts} - {data[-1:]}
    tokens = [b"<s>", *(bytes([byte]) for byte in range(256)), *sorted(pieces - {b"<s>"})]
    writer = gguf.GGUFWriter(path, "rwkv7")
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(4)
    writer.add_feed_forward_length(8)
    writer.add_head_count(0)
    for add in (
        writer.add_decay_lora_rank,
        writer.add_iclr_lora_rank,
        writer.add_value_residual_mix_lora_rank,
    ):
        add(4)
    writer.add_gate_lora_rank(4)
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([repr(token)[2:-1].encode() for token in tokens])
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id):
        add(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_texts_have_the_ids_of_llama_cpp(tmp_path: Path, llama_cpp: str) -> None:
    rng = random.Random(0)
    path = tmp_path / "vocabulary.gguf"
    write_vocabulary(path, rng)
    tokenizer = load_tokenizer(open_gguf(path))
    texts = [TEXT.replace("<s>", "")]
    texts += ["".join(rng.choices(TEXT.replace("<", ""), k=rng.randrange(1, 60))) for _ in range(1500)]
    done = subprocess.run(
        [llama_cpp, "-c", SCRIPT, str(path)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    plain, _ = json.loads(done.stdout)
    assert [tokenizer.encode(text) for text in texts] == plain
