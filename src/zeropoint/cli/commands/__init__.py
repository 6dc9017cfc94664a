"""The commands: one file each, found by its name; the first line of a file is its short help."""
