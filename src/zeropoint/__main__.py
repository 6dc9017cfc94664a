"""`python -m zeropoint`, the same as the `zeropoint` command."""

from zeropoint.cli.app import main

if __name__ == "__main__":
    main()
