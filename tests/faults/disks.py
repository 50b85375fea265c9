"""Disks that are full or cannot be written, for whoever runs the tests, root or not."""

import os
import resource
import subprocess
from contextlib import contextmanager, suppress


@contextmanager
def small_disk(folder, size="4m"):
    """Mount a file system of that size, where one may; what is made full is at least a folder."""
    folder.mkdir()
    mounted = False
    with suppress(OSError):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk, leave):
    """Fill a disk but for so many bytes; where it could not be mounted, limit the size of files.

    The limit is half a kibibyte, and holds for processes that are started meanwhile too.
    """
    filler, limits = disk / "filler", resource.getrlimit(resource.RLIMIT_FSIZE)
    if disk.is_mount():
        found = os.statvfs(disk)
        filler.write_bytes(bytes(found.f_bavail * found.f_frsize - leave))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        filler.unlink(missing_ok=True)


@contextmanager
def read_only(folder):
    """Nothing can be written in a folder and those in it, by root neither."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    modes = {path: path.stat().st_mode for path in folders}
    user = os.geteuid()
    if user == 0:
        # Root, to whom modes mean nothing, is nobody meanwhile, whom the folders above let pass.
        modes |= {path: path.stat().st_mode for path in folder.parents}
    for path, mode in modes.items():
        path.chmod(0o555 if path in folders else mode | 0o111)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        if user == 0:
            os.seteuid(user)
        for path, mode in modes.items():
            path.chmod(mode)
