"""A new objective, optimizer or schedule needs one file.

Its name becomes a `kind`, its fields become settings.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.options import options_of
from zeropoint.train.config.config import KINDS, RunConfig, section_classes
from zeropoint.train.config.io import config_toml, read_config
from zeropoint.train.config.validate import check

OBJECTIVE = '''
from dataclasses import dataclass
from zeropoint.options import option
from zeropoint.train.objectives import Objective

@dataclass(frozen=True)
class Dummy(Objective):
    """A dummy."""
    weight: float = option(1.0, 0, 2, "A weight.")
'''
OPTIMIZER = '''
from dataclasses import dataclass
import torch
from zeropoint.options import option
from zeropoint.train.optim import OptimizerSpec

@dataclass(frozen=True)
class Dummy(OptimizerSpec):
    """A dummy."""
    weight: float = option(1.0, 0, 2, "A weight.")
    def build(self, model):
        return torch.optim.SGD(model.parameters(), lr=self.weight)
'''
SCHEDULE = '''
from dataclasses import dataclass
from zeropoint.options import option
from zeropoint.train.schedules import Schedule

@dataclass(frozen=True)
class Dummy(Schedule):
    """A dummy."""
    weight: float = option(1.0, 0, 2, "A weight.")
    def __call__(self, step):
        return self.weight / step
'''


@pytest.mark.parametrize(
    ("section", "source"), [("objective", OBJECTIVE), ("optimizer", OPTIMIZER), ("schedule", SCHEDULE)]
)
def test_one_file_adds_a_variant(
    section: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dummy.py").write_text(source)
    package = importlib.import_module(KINDS[section])
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert package.__spec__ is not None
    monkeypatch.setattr(package.__spec__, "submodule_search_locations", package.__path__)
    try:
        config = read_config("harbour", [f"{section}.kind=dummy", f"{section}.weight=2.0"])
        assert type(getattr(config, section)) is section_classes(section)["dummy"]
        assert f'[{section}]\nkind = "dummy"\nweight = 2.0\n' in config_toml(config)
        check(config)
        with pytest.raises(
            BadInput, match=rf"{section}\.weight must be a number at least 0 and at most 2; got 3"
        ):
            check(read_config("harbour", [f"{section}.kind=dummy", f"{section}.weight=3.0"]))
    finally:
        sys.modules.pop(f"{KINDS[section]}.dummy", None)


@pytest.mark.parametrize("section", [field.name for field in fields(RunConfig)])
def test_every_setting_has_help(section: str) -> None:
    for cls in section_classes(section).values():
        options = options_of(cls)
        assert [option.name for option in options] == [field.name for field in fields(cls)]
        assert all(option.help for option in options)
