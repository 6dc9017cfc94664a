"""One published number per file, as `CLAIM`. Files that start with `_` hold code that claims share."""
