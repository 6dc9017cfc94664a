"""SHA-256 of files and of lists of strings, in hexadecimal.

`hashlib` is imported on first use because it loads OpenSSL, which a chat never needs.
"""

from __future__ import annotations

from pathlib import Path

from zeropoint.files.regular_file import open_regular

__all__ = ["combined_sha256", "sha256_of", "sha256_of_range"]

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a regular file's content. Raises OSError, BadInput."""
    import hashlib

    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_range(path: Path, start: int, n_bytes: int) -> str:
    """The SHA-256 of `n_bytes` of a regular file from byte `start` on. Raises OSError, BadInput."""
    import hashlib

    digest = hashlib.sha256()
    with open_regular(path) as file:
        file.seek(start)
        while n_bytes and (chunk := file.read(min(n_bytes, _CHUNK_BYTES))):
            digest.update(chunk)
            n_bytes -= len(chunk)
    return digest.hexdigest()


def combined_sha256(*parts: str) -> str:
    """One SHA-256 for several strings, in order; usually of their own hashes."""
    import hashlib

    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
