"""WordPiece from GGUF metadata: ids equal to transformers', documents with [CLS] and [SEP]."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.formats.bert import encode_document, to_gguf_spelling
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "the of and to in is that for it quick brown fox naive facade strasse hello 12 世 界 привет ' , . ! ? 😀"
)
PIECES = "##s ##ing ##ed ##er ##un ##ick ##23 ##fox ##界 ##' [unused0] snake case camel"


def make_vocabulary(cased: bool) -> list[str]:
    letters = [
        chr(c) for c in (*range(0x61, 0x7B), *range(0x30, 0x3A), *range(0x3B1, 0x3CA), *range(0x430, 0x450))
    ]
    letters += list('ſßéèıαβ|<>[]{}()_-+*/="#@&%$^~`\\:;')
    tokens = [*SPECIAL, *WORDS.split(), *PIECES.split(), *letters, *("##" + c for c in letters)]
    if cased:
        tokens += ["The", "Hello", "naïve", "façade", *map(chr, range(0x41, 0x5B)), "##É", "##LL", "e\u0301"]
    return list(dict.fromkeys(tokens))


def make_metadata(vocabulary: list[str]) -> dict[str, Any]:
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": to_gguf_spelling(vocabulary, SPECIAL),
        "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * (len(vocabulary) - len(SPECIAL)),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.mask_token_id": 4,
    }


@pytest.fixture(scope="module")
def reference() -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import BertTokenizerFast

    def make(vocabulary: list[str], **options: Any) -> Any:
        ids = {token: index for index, token in enumerate(vocabulary)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return BertTokenizerFast(vocab=ids, **options)

    return make


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("cased", "strip", "keys"),
    [
        (False, None, {}),
        (True, None, {}),
        (True, None, {"normalizer.lowercase": True}),
        (False, False, {"normalizer.lowercase": True, "normalizer.strip_accents": False}),
    ],
)
def test_ids_equal_those_of_transformers(
    cased: bool, strip: bool | None, keys: dict[str, bool], model: Any, varied_lines: Any, reference: Any
) -> None:
    vocabulary = make_vocabulary(cased)
    lower = keys.get("normalizer.lowercase", not cased)
    theirs = reference(vocabulary, do_lower_case=lower, strip_accents=strip).backend_tokenizer
    metadata = make_metadata(vocabulary) | {f"tokenizer.ggml.{key}": flag for key, flag in keys.items()}
    ours = load_tokenizer(model(metadata))
    lines = [*varied_lines(SPECIAL), "The quick, brown fox's naïve façade; hello 世界!", "x" * 101 + " fox"]
    expected = [theirs.encode(line, add_special_tokens=False).ids for line in lines]
    assert [ours.encode(line, parse_special=True) for line in lines] == expected
    assert sum(map(len, expected)) > 2 * sum(ids.count(1) for ids in expected)  # most tokens are known
    theirs.encode_special_tokens = True
    for line in lines:
        ids = ours.encode(line)
        assert ids == theirs.encode(line, add_special_tokens=False).ids
        assert set(ids) & ours.control_ids <= {1}


def test_documents_have_token_types(model: Any, reference: Any) -> None:
    vocabulary = make_vocabulary(False)
    theirs = reference(vocabulary).backend_tokenizer
    ours = load_tokenizer(model(make_metadata(vocabulary)))
    assert (ours.bos_id, ours.sep_id, ours.mask_id, ours.unk_id, ours.pad_id) == (2, 3, 4, 1, 0)
    for texts in (("the fox",), ("hello the", "quick foxes?"), ("",), ("", "fox")):
        got, expected = encode_document(ours, *texts), theirs.encode(*texts)
        assert (got.ids, got.token_type_ids) == (expected.ids, expected.type_ids)
    flags = {"tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_sep_token": False}
    plain = load_tokenizer(model(make_metadata(vocabulary) | flags))
    assert encode_document(plain, "the fox").ids == plain.encode("the fox")


def test_the_hugging_face_files_load_in_transformers(model: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    opened = model(make_metadata(make_vocabulary(False)))
    ours = load_tokenizer(opened)
    for name, data in hf_tokenizer_files(opened, ours, 64).items():
        (tmp_path / name).write_bytes(data)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for texts in (("The fox",), ("hello", "quick foxs")):
        got, expected = theirs(*texts, return_token_type_ids=True), encode_document(ours, *texts)
        assert (got.input_ids, got.token_type_ids) == (expected.ids, expected.token_type_ids)
    assert theirs.decode(theirs("quicking foxs").input_ids) == "[CLS] quicking foxs [SEP]"


def test_decoding_joins_word_pieces(model: Any) -> None:
    ours = load_tokenizer(model(make_metadata(make_vocabulary(False))))
    assert ours.decode(ours.encode("The quick foxs")) == "the quick foxs"
    assert ours.decode([2, *ours.encode("the fox"), 3]) == "[CLS] the fox[SEP]"
    assert ours.decode([2, *ours.encode("the fox"), 3], skip_special_tokens=True) == "the fox"


def test_special_tokens_are_found_by_spelling(model: Any) -> None:
    metadata = {
        key: value for key, value in make_metadata(make_vocabulary(False)).items() if "_id" not in key
    }
    del metadata["tokenizer.ggml.token_type"]
    ours = load_tokenizer(model(metadata))
    assert encode_document(ours, "[CLS] fox").ids[0] == 2
    assert ours.control_ids == {0, 1, 2, 3, 4}
    assert ours.control_ids & set(ours.encode("[CLS][MASK]")) <= {1}


def test_a_control_token_spelled_like_a_word_is_not_encoded_from_text(model: Any) -> None:
    metadata = make_metadata(make_vocabulary(False))
    metadata["tokenizer.ggml.tokens"] += ["zebra"]
    metadata["tokenizer.ggml.token_type"] += [3]
    ours = load_tokenizer(model(metadata))
    last = ours.n_vocab - 1
    assert last not in ours.encode("zebra ZEBRA")
    assert ours.encode("zebra", parse_special=True) == [last]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer.ggml.seperator_token_id": 10_000}, "seperator_token_id: 10000 is outside"),
        ({"tokenizer.ggml.normalizer.lowercase": 1}, r"normalizer\.lowercase: must be true or false"),
        ({"tokenizer.ggml.tokens": ["▁a", "b"], "tokenizer.ggml.token_type": [1, 1]}, "tiny.gguf"),
        ({"tokenizer.ggml.tokens": [*SPECIAL, "a", "▁##a"], "tokenizer.ggml.token_type": [3] * 5 + [1] * 2},
         "same word piece"),
    ],
)  # fmt: skip
def test_invalid_metadata_is_rejected(change: dict[str, Any], message: str, model: Any) -> None:
    with pytest.raises(BadModelFile, match=message):
        load_tokenizer(model(make_metadata(make_vocabulary(False)) | change))


def test_documents_need_a_separator_token(tiny: Any) -> None:
    with pytest.raises(BadInput, match="no separator"):
        encode_document(tiny, "x")
