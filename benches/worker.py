"""One side of a benchmark in its own process, which loads the model once and then serves calls.

The sides alternate: while one works the other sleeps. A call is one line of JSON, method and arguments; the
worker answers with the result of the method.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

SETTLE_S = 0.02  # longer than thread pools spin after their work


class Worker:
    """A side in a process of the interpreter `python`. It offers the methods of `sides.Side`."""

    def __init__(self, side: str, options: Any, python: str = sys.executable) -> None:
        """options: the dataclass that `open_side` of the side takes."""
        command = [python, str(Path(__file__).resolve()), side, json.dumps(asdict(options))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about: dict[str, Any] = self.call("about")

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method and return its result. Exits if the worker has died."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("the worker has no pipes")
        time.sleep(SETTLE_S)
        print(json.dumps([method, *arguments]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker of the benchmark died; its error is printed above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60)


def main() -> None:
    """Serve the side named on the command line."""
    _, name, options = sys.argv
    # Answers go to a copy of stdout; whatever a library prints there (mistral.rs logs) goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    open_side = importlib.import_module(f"sides.{name}").open_side
    side = open_side(get_type_hints(open_side)["options"](**json.loads(options)))
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        print(json.dumps(getattr(side, method)(*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
