"""Every setting of a run is declared with `option` and has a line of help.

`tests/house/test_option_walks.py` adds an objective, an optimizer and a schedule, and trains with them.
"""

from __future__ import annotations

from dataclasses import fields

import pytest

from zeropoint.options import options_of
from zeropoint.train.config.config import RunConfig, section_classes


@pytest.mark.parametrize("section", [field.name for field in fields(RunConfig)])
def test_every_setting_has_help(section: str) -> None:
    for cls in section_classes(section).values():
        options = options_of(cls)
        assert [option.name for option in options] == [field.name for field in fields(cls)]
        assert all(option.help for option in options)
