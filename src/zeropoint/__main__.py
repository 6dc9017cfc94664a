"""Run the `zeropoint` command as `python -m zeropoint`."""

from zeropoint.cli.app import main

if __name__ == "__main__":
    main()
