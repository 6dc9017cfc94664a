"""One command per file, found by file name. The first docstring line is the command's summary in --help."""
