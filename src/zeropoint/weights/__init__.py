"""Weight files as {name: array}, read so that no file can harm the reader."""
