"""The fuzz corpus, file by file, through the Python reader: it opens, or it is one sentence.

What opens must read the same as with the reader of the `gguf` package.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from gguf import GGUFReader

from zeropoint.errors import BadModelFile
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import HeaderTooShort, open_gguf, parse_header

# Sound files must open, and so must at least this many of the changed ones, else the replay shows nothing.
MIN_FILES, MIN_ACCEPTED = 8000, 400


def refusal(data: bytes) -> str | None:
    """The reader's sentence about a file, or None if it accepts it."""
    try:
        model = parse_header(data, len(data), "hostile.gguf")
    except BadModelFile as error:
        return str(error)
    for key in model.metadata:
        model.metadata[key]
    return None


def required_bytes(head: bytes, file_bytes: int) -> int | None:
    """How many bytes the reader asks for after it has seen `head`; None if it is content."""
    try:
        parse_header(head, file_bytes)
    except HeaderTooShort as error:
        return error.required_bytes
    return None


def test_every_file_opens_or_is_one_sentence(seeds: ModuleType):
    accepted = refused = 0
    for name, data in seeds.corpus():
        message = refusal(data)
        if message is None:
            accepted += 1
            continue
        refused += 1
        assert not name.endswith("-sound"), message
        assert message.startswith("hostile.gguf: "), name
        assert message.isprintable(), name
        assert len(message) < 600, name
    assert accepted + refused > MIN_FILES
    assert accepted > MIN_ACCEPTED


def test_heads_of_files_ask_for_more_or_are_one_sentence(seeds: ModuleType):
    """A remote look sees the first bytes only: it asks for more, never for less or for more than there is."""
    for data in (b"".join(field.data for field in fields) for fields in seeds.models().values()):
        for size in range(len(data)):
            wanted = required_bytes(data[:size], len(data))
            assert wanted is None or size < wanted <= len(data)


def test_opening_the_file_says_the_same(seeds: ModuleType, tmp_path: Path):
    path = tmp_path / "hostile.gguf"
    for name, data in list(seeds.corpus())[::7]:
        path.write_bytes(data)
        message = refusal(data)
        if message is None:
            assert open_gguf(path).file_bytes == len(data), name
            continue
        with pytest.raises(BadModelFile) as error:
            open_gguf(path)
        assert error.value.exit_code == 2
        if data:  # an empty file is refused before it is mapped
            assert str(error.value) == message.replace("hostile.gguf", str(path), 1), name


def compare(model: GgufModel, reference: GGUFReader, data: bytes) -> None:
    """Both read the same tensors and the same metadata."""
    assert [t.name for t in reference.tensors] == list(model.tensors)
    for theirs in reference.tensors:
        ours = model.tensors[theirs.name]
        assert ours.shape == tuple(reversed(theirs.shape.tolist()))
        assert (ours.format, ours.n_bytes) == (theirs.tensor_type.name, theirs.n_bytes)
        assert ours.offset == theirs.data_offset
        assert theirs.data.tobytes() == data[ours.offset : ours.offset + ours.n_bytes]
    fields = {key: field for key, field in reference.fields.items() if not key.startswith("GGUF.")}
    assert list(fields) == list(model.metadata)
    for key, field in fields.items():
        np.testing.assert_equal(field.contents(), model.metadata[key])


@pytest.mark.filterwarnings("ignore:.*overflow.*:RuntimeWarning")
def test_what_we_accept_the_reference_reads_the_same(seeds: ModuleType, tmp_path: Path):
    """There is no exception to this: ours accepts nothing that the reference refuses."""
    path = tmp_path / "accepted.gguf"
    accepted = {data: name for name, data in seeds.corpus() if refusal(data) is None}
    assert len(accepted) > MIN_ACCEPTED
    for data, name in accepted.items():
        path.write_bytes(data)
        try:
            reference = GGUFReader(path)
        except Exception as error:
            pytest.fail(f"we accept {name}, the reference does not: {error!r}")
        compare(parse_header(data, len(data)), reference, data)
