"""The `zeropoint` command, as the console script and as `python -m zeropoint`."""

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line in sys.argv and exit with its code.

    Ctrl-C while the command line is still being imported, and once its work is done, ends the process as it
    ends most programs: at once and without a traceback.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # ignored under nohup
    if is_default:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zeropoint.cli import app

    if is_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app.main()
    finally:
        if is_default:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
