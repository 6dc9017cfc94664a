"""Adding a variant touches only the files that ARCHITECTURE.md lists: each walk adds a dummy and runs it.

A probe, a program that imports a copy of the package with the dummy in it, asserts that the dummy works.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.option_walks import OPTION_WALKS
from tests.support.tree_copy import probe, run
from tests.support.walks import WALKS, Walk

pytestmark = pytest.mark.process

COMPILER = os.environ.get("CXX", "c++")


@pytest.mark.parametrize("walk", (WALKS | OPTION_WALKS).values(), ids=(WALKS | OPTION_WALKS).keys())
def test_a_walk_touches_no_more_files_than_promised(walk: Walk) -> None:
    assert len(walk.files) + walk.n_tests <= walk.max_files


NATIVE_PRODUCT = r"""
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/packing.hpp"

using namespace zp;
namespace zp::scalar {
extern const Kernels kTable;
}

constexpr int kRows = 32, kCols = 64, kTokens = 3, kBlocks = kCols / kBlockCols;

template <class T>
std::vector<T> read(size_t n) {
    std::vector<T> values(n);
    if (std::fread(values.data(), sizeof(T), n, stdin) != n) std::exit(2);
    return values;
}

void write(const std::vector<float>& values) {
    std::fwrite(values.data(), sizeof(float), values.size(), stdout);
}

int main() {
    const FormatInfo& f = info(Format::kQ7_9);
    const Kernels& k = scalar::kTable;
    const auto file = read<uint8_t>(kRows * kCols / f.block_weights * f.block_bytes);
    const auto x = read<float>(kTokens * kCols);
    const size_t group = packed_group_bytes(f.format, kCols);
    std::vector<uint8_t> packed(kRows / kGroupRows * group);
    for (size_t g = 0; g < kRows / kGroupRows; ++g)
        pack_group(f.format, file.data(), kRows, kCols, g, packed.data() + g * group);
    std::vector<float> w(kRows * kCols), y(kTokens * kRows);
    for (size_t row = 0; row < kRows; ++row)
        unpack_row(f.format, packed.data(), kCols, row, w.data() + row * kCols);
    write(w);
    const int at = static_cast<int>(f.format), n_groups = kRows / kGroupRows;
    k.matmul_float[at]({packed.data(), group, n_groups, kCols, x.data(), kCols, kTokens, y.data(), kRows});
    write(y);
    std::vector<QuantBlock> q(kTokens * 2 * kBlocks);
    for (int m = 0; m < kTokens; ++m)
        k.quantize_with_residual(x.data() + m * kCols, kCols, &q[2 * m * kBlocks]);
    k.matmul_int8[at]({packed.data(), group, n_groups, kBlocks, q.data(), 2, kTokens, y.data(), kRows});
    write(y);
}
"""

NUMBER_FORMAT = """
import subprocess
import numpy as np
from zeropoint import formats
from zeropoint.catalogue.file_selection import is_supported

assert "Q7_9" in formats.names() and is_supported("Q7_9")
form, rng = formats.get("q7_9"), np.random.default_rng(0)
weights = rng.standard_normal((32, 64)).astype(np.float32)
packed = form.pack(weights)
again = form.unpack(packed)
assert packed.shape == (32, 68) and np.abs(again - weights).max() < np.abs(weights).max() / 127
assert (form.pack(again) == packed).all()

x = rng.standard_normal((3, 64)).astype(np.float32)
out = subprocess.run(["./product"], input=packed.tobytes() + x.tobytes(), stdout=subprocess.PIPE, check=True)
values = np.frombuffer(out.stdout, np.float32)
unpacked, dense, integer = values[:2048].reshape(32, 64), *values[2048:].reshape(2, 3, 32)
assert (unpacked == again).all()
exact = x.astype(np.float64) @ again.T.astype(np.float64)
assert np.abs(dense - exact).max() < 1e-5
half_steps = (np.abs(x).reshape(3, 2, 32).max(axis=2) / 254).repeat(32, axis=1)
assert (np.abs(integer - exact) <= half_steps @ np.abs(again.T) + 1e-4).all()
"""


def compile_product(copy: Path) -> None:
    """Build `product` in `copy`: the packing and the scalar kernels of every format in its formats.def."""
    units = ["-DZP_NATIVE=native", "-DZP_GENERATED=generated", "-DZP_UNITS=packing;scalar"]
    run(["cmake", *units, "-P", "native/cmake/kernel_units.cmake"], copy)
    (copy / "product.cpp").write_text(NATIVE_PRODUCT)
    sources = ["native/kernels/packing.cpp", "native/kernels/scalar/kernels.cpp", "product.cpp"]
    sources += [str(path.relative_to(copy)) for path in sorted((copy / "generated").rglob("*.cpp"))]
    flags = ["-std=c++20", "-O0", "-ffp-contract=off", "-Inative"]
    objects = [f"{i}.o" for i in range(len(sources))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(
            lambda pair: run([COMPILER, *flags, "-c", pair[0], "-o", pair[1]], copy),
            zip(sources, objects, strict=True),
        ):
            pass
    run([COMPILER, *objects, "-o", "product"], copy)


def test_a_number_format(copy: Path) -> None:
    WALKS["number format"].write(copy)
    compile_product(copy)
    probe(NUMBER_FORMAT, copy)
    assert "Q7_9" in run([sys.executable, "-m", "zeropoint", "convert", "--help"], copy)


POSITION = """
from dataclasses import replace
import torch
from tests.support.tiny_blueprints import TINY
from zeropoint.blueprint import Embedding
from zeropoint.blueprint.check import check
from zeropoint.blueprint.io import from_toml, to_toml
from zeropoint.blueprint.parts import position
from zeropoint.blueprint.taps import tap_points
from zeropoint.engine.native.model_spec import native_spec
from zeropoint.errors import BadInput
from zeropoint.layers.cache import Cache
from zeropoint.models.build import build
from zeropoint.models.trace import trace

plain = replace(TINY["gpt2"], embedding=Embedding())


def inside(spec):
    block = plain.blocks[0]
    return replace(plain, blocks=(replace(block, attention=replace(block.attention, position=spec)),) * 2)


ids = torch.tensor([[5, 5, 7, 1, 5, 9]])
without = build(plain)(ids)
assert torch.allclose(without[0, 0], without[0, 1], atol=1e-5)  # the same token twice
blueprints = {
    "log_bias": inside(position.LogBias(0.5)),
    "every_second": inside(position.EverySecond()),
    "ramp": replace(plain, embedding=Embedding(position.Ramp())),
}
names = {"log_bias": "LogBias", "every_second": "EverySecond", "ramp": "Ramp"}
for kind, blueprint in blueprints.items():
    check(blueprint)
    assert f'kind = "{kind}"' in to_toml(blueprint)
    assert from_toml(to_toml(blueprint)) == blueprint
    model = build(blueprint).eval()
    logits = model(ids)
    assert (logits - without).abs().max() > 1e-5, kind
    cache = Cache(blueprint.blocks, 8)
    parts = torch.cat([model(ids[:, :4], cache), model(ids[:, 4:], cache)], dim=1)
    assert torch.allclose(parts, logits, atol=1e-5), kind
    assert list(trace(model, ids[0].tolist())) == list(tap_points(blueprint, 6))
    try:
        native_spec(blueprint, 16)
    except BadInput as error:
        assert f"the native engine has no {names[kind]} " in str(error), error
    else:
        raise AssertionError(kind)
"""


def test_positional_encodings(copy: Path) -> None:
    """One of each kind: a score bias, an embedding, a rotation of queries and keys."""
    for name in ("score bias", "position embedding, native too", "rotary encoding"):
        WALKS[name].write(copy)
    probe(POSITION, copy)


NATIVE_ROWS = r"""
#include <cstdio>

#include "ops/position/encoding.hpp"

int main() {
    const zp::PositionEncoding* encoding = zp::find_position_encoding("ramp");
    const float options[] = {0.125f};
    for (int position = 0; position < 5; ++position) {
        float row[8] = {};
        encoding->add({options, 1}, position, 8, row);
        std::fwrite(row, sizeof(float), 8, stdout);
    }
}
"""

NATIVE_POSITION = """
import subprocess
import numpy as np
import torch
from zeropoint.blueprint.parts.position import Ramp
from zeropoint.layers.position.ramp import embedding

out = subprocess.run(["./rows"], stdout=subprocess.PIPE, check=True).stdout
rows = np.frombuffer(out, np.float32).reshape(5, 8)
assert (rows == embedding(Ramp(), 8)(torch.arange(5)[None])[0].numpy()).all()
"""


def test_a_native_positional_encoding(copy: Path) -> None:
    """The file in native/ops/position is found by its name, and equals the torch layer."""
    WALKS["position embedding, native too"].write(copy)
    listing = ["-DZP_NATIVE=native", "-DZP_GENERATED=generated", "-DZP_ENCODINGS=ON"]
    run(["cmake", *listing, "-P", "native/cmake/position_encodings.cmake"], copy)
    (copy / "rows.cpp").write_text(NATIVE_ROWS)
    sources = [p for p in sorted((copy / "native/ops/position").glob("*.cpp")) if p.name != "rope.cpp"]
    sources += [copy / "generated/ops/position/encodings.cpp", copy / "rows.cpp"]
    run([COMPILER, "-std=c++20", "-Inative", *sources, "-o", "rows"], copy)
    probe(NATIVE_POSITION, copy)


FAMILY = """
import json
from pathlib import Path
from tests.support.tiny import write_tiny_model
from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint.cli.app import cli
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import typed_metadata, write_gguf
from zeropoint.weights.open_model import open_model
from zeropoint.weights.packing import copy_tensor

# A GGUF of that architecture: the same file under another name gives the same logits, chat and all.
write_tiny_model(Path("llama.gguf"))
file = open_gguf(Path("llama.gguf"))
metadata = {key.replace("llama.", "dummy."): value for key, value in typed_metadata(file).items()}
metadata["general.architecture"] = "dummy"
write_gguf(Path("dummy.gguf"), metadata, [copy_tensor(file, name) for name in file.tensors])
with zeropoint.load("llama.gguf") as llama, zeropoint.load("dummy.gguf") as dummy:
    assert dummy.blueprint.family == "dummy"
    assert (dummy.logits([5, 6, 7]) == llama.logits([5, 6, 7])).all()
    assert dummy.generate("ab", max_tokens=4, temperature=0).text()

# A folder of that model_type, there and back.
config = {**CONFIGS["llama"], "model_type": "dummy"}
write_tiny_folder(Path("folder"), config)
assert open_model(Path("folder")).blueprint.family == "dummy"
for source, target in (("folder", "made.gguf"), ("made.gguf", "again"), ("dummy.gguf", "small.gguf")):
    to = ["--to", "Q8_0"] if target == "small.gguf" else []
    cli.main(["convert", source, target, *to], standalone_mode=False)
assert open_gguf(Path("made.gguf")).metadata["general.architecture"] == "dummy"
assert json.loads(Path("again/config.json").read_text())["model_type"] == "dummy"
one, other = open_model(Path("folder")).weights, open_model(Path("again")).weights
assert set(one) == set(other) and all((one[name] == other[name]).all() for name in one)
"""


def test_a_family(copy: Path) -> None:
    WALKS["family"].write(copy)
    probe(FAMILY, copy)


SURFACE = """
from pathlib import Path
import numpy as np
from tests.support.tiny import write_tiny_model
from tests.support.tree import ROOT, load_script
from zeropoint.errors import BadInput
from zeropoint.sampling.draw import apply_steps
from zeropoint.sampling.params import SamplingParams

params = SamplingParams.of(ceiling=1.5)
assert params.flat()["ceiling"] == 1.5
logits = np.array([1, 2, 3], np.float32)
assert apply_steps(params.active(), logits, []).tolist() == [1, 1.5, 1.5]

# Without its native form, the engine says so.
write_tiny_model(Path("tiny.gguf"))
with zeropoint.load("tiny.gguf") as model:
    try:
        model.generate("ab", max_tokens=2, temperature=1, ceiling=1.5).text()
    except (BadInput, ValueError) as error:
        assert "`ceiling` has no native implementation" in str(error), error
    else:
        raise AssertionError("a step was left out")

pages = {path.stem: text for path, text in load_script(ROOT / "docs" / "generate.py").pages().items()}
assert "--hands" in pages["wave"] and "wave" in pages["zeropoint"]
assert "--ceiling" in pages["chat"] and "ceiling" in pages["sampling"]
"""


def test_a_sampling_step_and_a_command(copy: Path) -> None:
    for name in ("sampling step", "command"):
        WALKS[name].write(copy)
    probe(SURFACE, copy)
    zp = [sys.executable, "-m", "zeropoint"]
    assert "Wave at whoever asks" in run([*zp, "--help"], copy)
    assert "--ceiling" in run([*zp, "chat", "--help"], copy)
    assert run([*zp, "wave"], copy) == "wave wave \n"
