"""Let children of a test receive SIGINT (Ctrl-C).

A shell starts background jobs with SIGINT ignored, and children inherit that. Pass `restore_sigint` as
`preexec_fn` of a process that a test interrupts.
"""

from __future__ import annotations

import signal

__all__ = ["restore_sigint"]


def restore_sigint() -> None:
    """Restore the default action of SIGINT; Python then raises KeyboardInterrupt as usual."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
