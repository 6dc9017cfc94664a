"""GGUF files written by the `gguf` package read back unchanged, as one file and as shards."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from zeropoint import formats
from zeropoint.errors import BadInput, BadModelFile, DiskError
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import HeaderTooShort, open_gguf, parse_header

METADATA = {
    "general.name": "tiny \u00e9\U0001f600",
    "tiny.block_count": 2,
    "tiny.negative": -7,
    "tiny.eps": 1e-5,
    "tiny.flag": True,
    "tiny.words": ["a", "", "\u0120b"],
    "tiny.scores": [0.5, -1.0],
    "tiny.kinds": [1, -2, 3],
}

FORMATS = ["BF16", "F16", "F32", "Q4_0", "Q4_1", "Q8_0"]  # six, for three shards of two


def add_metadata(writer: gguf.GGUFWriter) -> None:
    for key, value in METADATA.items():
        match value:
            case bool():
                writer.add_bool(key, value)
            case int():
                (writer.add_uint32 if value >= 0 else writer.add_int32)(key, value)
            case float():
                writer.add_float64(key, value)
            case str():
                writer.add_string(key, value)
            case list():
                writer.add_array(key, value)


def write(path: Path, tensors: dict[str, tuple[str, np.ndarray]], **options: int) -> None:
    """Write METADATA and the tensors, each in its format, to a file (to shards with split_max_tensors)."""
    writer = gguf.GGUFWriter(path, "tiny", **options)
    add_metadata(writer)
    for name, (form, weights) in tensors.items():
        packed = formats.get(form).pack(weights)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType[form])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_tensors() -> dict[str, tuple[str, np.ndarray]]:
    rng = np.random.default_rng(5)
    return {f"t.{name}": (name, rng.standard_normal((3, 64)).astype(np.float32)) for name in FORMATS}


@pytest.fixture
def single_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    write(path, random_tensors())
    return path


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    write(tmp_path / "tiny.gguf", random_tensors(), split_max_tensors=2)
    return sorted(tmp_path.glob("*-of-*.gguf"))


def test_metadata_keeps_its_types(single_file: Path):
    model = open_gguf(single_file)
    assert {key: model.metadata[key] for key in METADATA} == METADATA
    assert next(iter(model.metadata)) == "general.architecture"
    assert model.get_str("general.name") == METADATA["general.name"]
    assert model.get_int("tiny.block_count", 1, 512) == 2
    assert model.get_int("tiny.negative", -10, 0) == -7
    assert model.get_float("tiny.eps", 0, 1) == 1e-5
    assert model.get_bool("tiny.flag") is True
    assert model.get_list("tiny.words", str) == ["a", "", "\u0120b"]
    assert model.get_list("tiny.scores", float) == [0.5, -1.0]
    assert "tiny.none" not in model.metadata
    assert model.get_int("tiny.none", 1, 2, default=9) == 9


def test_tensors_round_trip(single_file: Path):
    model = open_gguf(str(single_file))
    assert model.paths == (single_file,)
    assert model.file_bytes == single_file.stat().st_size
    for name, (form, weights) in random_tensors().items():
        tensor = model.tensors[name]
        packed = formats.get(form).pack(weights)
        assert (tensor.format, tensor.shape, tensor.path) == (form, (3, 64), single_file)
        assert tensor.n_bytes == packed.size
        np.testing.assert_array_equal(model.read(name), packed)
        np.testing.assert_array_equal(model.array(name), formats.get(form).unpack(packed))


def test_a_header_can_be_parsed_without_the_file(single_file: Path):
    data = single_file.read_bytes()
    size = 16
    for _ in range(100):
        try:
            model = parse_header(data[:size], len(data), "remote file")
            break
        except HeaderTooShort as error:
            size = error.required_bytes * 2
    assert size < len(data)
    assert model.get_int("tiny.block_count", 1, 512) == 2
    assert model.tensors.keys() == random_tensors().keys()
    assert (model.paths, model.file_bytes) == ((), len(data))
    with pytest.raises(
        HeaderTooShort, match="remote file: the header is longer than 20 bytes; pass"
    ) as error:
        parse_header(data[:20], len(data), "remote file")
    assert 20 < error.value.required_bytes <= len(data)
    with pytest.raises(BadInput, match="only the file's header"):
        model.read("t.F32")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.get_int("none", 1, 5), "`none` is missing; it must be an integer from 1 to 5"),
        (lambda m: m.get_int("zero", 1, 5, default=0), "`zero` is 0; it must be an integer from 1 to 5"),
        (lambda m: m.get_int("flag", 0, 1), "`flag` is a bool; it must be an integer from 0 to 1"),
        (lambda m: m.get_int("eps", 0, 1), "`eps` is a float; it must be an integer"),
        (lambda m: m.get_int("name", 0, 1), "`name` is a string; it must be an integer"),
        (lambda m: m.get_float("zero"), "`zero` is an integer; it must be a finite float"),
        (lambda m: m.get_float("nan"), "`nan` is nan; it must be a finite float"),
        (lambda m: m.get_float("inf", 0), "`inf` is inf; it must be a finite float"),
        (lambda m: m.get_float("eps", 0.5, 1), "`eps` is 1e-05; it must be a float from 0.5 to 1"),
        (lambda m: m.get_str("zero"), "`zero` is an integer; it must be a string"),
        (lambda m: m.get_bool("zero"), "`zero` is an integer; it must be a bool"),
        (lambda m: m.get_list("scores", float), "`scores` is a list of int; it must be a list of float"),
        (lambda m: m.get_list("zero", str), "`zero` is an integer; it must be a list of str"),
        (lambda m: m.read("w"), "tensor `w` is missing"),
    ],
)
def test_getters_name_the_key(call, words: str):
    values = {"zero": 0, "flag": True, "eps": 1e-5, "name": "x", "nan": math.nan, "inf": math.inf}
    model = GgufModel((Path("m.gguf"),), {**values, "scores": [1, 2]}, {}, 0)
    with pytest.raises(BadModelFile, match=r"^m\.gguf: ") as error:
        call(model)
    assert words in str(error.value)


def test_a_file_truncated_after_opening_is_a_disk_error(single_file: Path):
    model = open_gguf(single_file)
    with single_file.open("r+b") as file:
        file.truncate(model.tensors["t.Q8_0"].offset + 3)
    with pytest.raises(
        DiskError, match=r"tiny.gguf changed or was truncated while it was being read; fetch it again"
    ):
        model.read("t.Q8_0")
    single_file.unlink()
    with pytest.raises(DiskError, match=r"cannot read .*tiny.gguf: No such file"):
        model.read("t.Q8_0")


def test_any_shard_opens_the_complete_model(shards: list[Path]):
    assert len(shards) == 3
    for path in shards:
        model = open_gguf(path)
        assert model.paths == tuple(shards)
        assert model.file_bytes == sum(shard.stat().st_size for shard in shards)
        assert model.get_str("general.name") == METADATA["general.name"]
        for name, (form, weights) in random_tensors().items():
            np.testing.assert_array_equal(model.read(name), formats.get(form).pack(weights))


def test_shards_are_searched_only_next_to_the_given_path(shards: list[Path], tmp_path: Path):
    folder = tmp_path / "other"
    folder.mkdir()
    assert len(open_gguf(folder / ".." / shards[0].name).paths) == 3
    shutil.copy(shards[0], folder)
    with pytest.raises(BadModelFile, match=r"shard 2 of 3 is missing; fetch \.\.\.-00002-of-00003.gguf"):
        open_gguf(folder / shards[0].name)
    odd_name = folder / "..-..%2f..-00001-of-00003.gguf"
    shutil.copy(shards[0], odd_name)
    with pytest.raises(BadModelFile, match="shard 2 of 3 is missing"):
        open_gguf(odd_name)


def test_conflicting_shards_are_rejected(shards: list[Path], tmp_path: Path):
    original = shards[1].read_bytes()
    shards[1].unlink()
    with pytest.raises(BadModelFile, match="shard 2 of 3 is missing"):
        open_gguf(shards[0])
    shutil.copy(shards[0], shards[1])
    with pytest.raises(BadModelFile, match=r"`split.no` is 0; according to the file name it must be 1"):
        open_gguf(shards[0])
    shards[1].write_bytes(original)
    renamed = tmp_path / "tiny.one.gguf"
    shutil.copy(shards[0], renamed)
    with pytest.raises(BadModelFile, match=r"one of 3 shards; its name must end in -00001-of-00003.gguf"):
        open_gguf(renamed)
    wrong = tmp_path / "tiny-00001-of-00002.gguf"
    shutil.copy(shards[0], wrong)
    with pytest.raises(BadModelFile, match=r"`split.count` is 3; according to the file name it must be 2"):
        open_gguf(wrong)


@pytest.mark.parametrize(
    ("key", "old", "new", "words"),
    [
        ("split.tensors.count", 6, 7, "`split.tensors.count` is 7; the shards hold 6"),
        ("split.count", 3, 4, "`split.count` is 4; it must be 3"),
    ],
)
def test_shards_with_wrong_counts_are_rejected(shards: list[Path], key: str, old: int, new: int, words: str):
    path = shards[0] if key == "split.tensors.count" else shards[2]
    data = bytearray(path.read_bytes())
    at = data.index(key.encode()) + len(key) + 4
    assert data[at] == old
    data[at] = new
    path.write_bytes(data)
    with pytest.raises(BadModelFile, match=words.replace(".", r"\.")):
        open_gguf(shards[0])


def test_a_shard_of_another_model_is_rejected(shards: list[Path], tmp_path: Path):
    others = tmp_path / "others"
    others.mkdir()
    tensors = random_tensors()
    names = list(tensors)
    # The same number of tensors, but the second shard repeats a name from the first.
    write(
        others / "tiny.gguf",
        {n: tensors[n] for n in [*names[2:4], *names[:2], *names[4:]]},
        split_max_tensors=2,
    )
    shutil.copy(others / shards[1].name, shards[1])
    with pytest.raises(BadModelFile, match=r"tensor 't\.\w+' is also in another shard of the model"):
        open_gguf(shards[0])
