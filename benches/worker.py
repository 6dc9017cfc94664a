"""One side of a bench in a process of its own, which loads the model once and then waits to be told.

The sides take turns: while one works the other sleeps. Told a method and its arguments as a line of JSON, a
worker answers with the method's result.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

SETTLE_S = 0.02  # longer than any pool of threads spins after its work


class Worker:
    """A side, opened in a process under `python`. Its methods are those of `sides.Side`."""

    def __init__(self, side: str, options: Any, python: str = sys.executable) -> None:
        """options: the dataclass that the side's `open_side` takes."""
        command = [python, str(Path(__file__).resolve()), side, json.dumps(asdict(options))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about: dict[str, Any] = self.call("about")

    def call(self, method: str, *arguments: object) -> Any:
        """What the method gives. Ends the program where the worker ended."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("the worker has no pipes")
        time.sleep(SETTLE_S)
        print(json.dumps([method, *arguments]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a side of the bench ended; its error stands above")
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60)


def main() -> None:
    """Serve the side that the command line names."""
    _, name, options = sys.argv
    open_side = importlib.import_module(f"sides.{name}").open_side
    side = open_side(get_type_hints(open_side)["options"](**json.loads(options)))
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        print(json.dumps(getattr(side, method)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
