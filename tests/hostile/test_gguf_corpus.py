"""The fuzz corpus through the Python reader: every file opens or gives a one-sentence error.

A file that opens must read identically with the reader of the `gguf` package.
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

# Valid files must open, and so must at least this many mutated ones, or the test would prove little.
MIN_FILES, MIN_ACCEPTED = 8000, 400


def refusal(data: bytes) -> str | None:
    """The reader's error message for a file, or None if it accepts the file."""
    try:
        model = parse_header(data, len(data), "hostile.gguf")
    except BadModelFile as error:
        return str(error)
    for key in model.metadata:
        model.metadata[key]
    return None


def required_bytes(head: bytes, file_bytes: int) -> int | None:
    """The number of bytes that the reader requests after `head`; None if it needs no more."""
    try:
        parse_header(head, file_bytes)
    except HeaderTooShort as error:
        return error.required_bytes
    return None


def test_every_file_opens_or_gives_one_sentence(seeds: ModuleType):
    accepted = rejected = 0
    for name, data in seeds.corpus():
        message = refusal(data)
        if message is None:
            accepted += 1
            continue
        rejected += 1
        assert not name.endswith("-sound"), message
        assert message.startswith("hostile.gguf: "), name
        assert message.isprintable(), name
        assert len(message) < 600, name
    assert accepted + rejected > MIN_FILES
    assert accepted > MIN_ACCEPTED


def test_a_truncated_head_requests_more_bytes(seeds: ModuleType):
    """A remote reader sees only the first bytes; it must request more, up to the file's size."""
    for data in (b"".join(field.data for field in fields) for fields in seeds.models().values()):
        for size in range(len(data)):
            required = required_bytes(data[:size], len(data))
            assert required is None or size < required <= len(data)


def test_opening_a_file_gives_the_same_message_as_parsing_its_bytes(seeds: ModuleType, tmp_path: Path):
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
        if data:  # an empty file is rejected before it is memory-mapped
            assert str(error.value) == message.replace("hostile.gguf", str(path), 1), name


def compare(model: GgufModel, reference: GGUFReader, data: bytes) -> None:
    """Check that both read the same tensors and metadata."""
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


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:.*overflow.*:RuntimeWarning")
def test_the_reference_reads_accepted_files_identically(seeds: ModuleType, tmp_path: Path):
    """Without exception: ours accepts nothing that the reference rejects."""
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
