"""What `.ci/run` leaves out on purpose, and that it may."""

import re

from tests.support.tree import ROOT

# What a native test file names where its tests start threads, and the one test there that does not.
_THREADED = ("ThreadPool", "std::thread", '"runtime/engine.hpp"')
_SINGLE = {"share_covers_everything_once_and_evenly"}


def test_the_thread_sanitizer_sees_every_test_that_starts_threads():
    words = re.search(r"^threaded=\((.*)\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)[1].split()
    started = set()
    for file in (ROOT / "native" / "tests").glob("*_test.cpp"):
        text = file.read_text()
        if any(name in text for name in _THREADED):
            started |= set(re.findall(r"ZP_TEST\((\w+)\)", text))
    assert len(started) > len(_SINGLE)
    assert {name for name in started if not any(word in name for word in words)} == _SINGLE
