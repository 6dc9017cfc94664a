"""What stands in the place of a model's files."""

from pathlib import Path

import pytest

from zeropoint.errors import BadModelFile
from zeropoint.weights.hf_folder import read_config
from zeropoint.weights.json_file import read_json_object
from zeropoint.weights.safetensors.reader import open_safetensors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        ("<!DOCTYPE html>\n<html>404</html>", "is an HTML page, not the file"),
        ("<html>login</html>", "is an HTML page, not the file"),
    ],
)
def test_what_a_clone_or_a_download_left_in_its_place_is_named(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(BadModelFile, match=f"file {message}"):
        open_safetensors(path)
    with pytest.raises(BadModelFile, match=f"file {message}"):
        read_json_object(path, 1000)


def test_config_json_may_have_infinity(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"time_step_limit": [0.0, Infinity]}')
    assert read_config(tmp_path) == {"time_step_limit": [0.0, float("inf")]}
    with pytest.raises(BadModelFile, match="Infinity is not a JSON number"):
        read_json_object(tmp_path / "config.json", 1000)
