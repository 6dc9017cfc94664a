"""One published number a file, as `CLAIM`; a file that begins with `_` is what several share."""
