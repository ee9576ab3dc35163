"""The mount of a directory: by tables of ours, and by the kernel's."""

import os
from pathlib import Path

from shim.spool.mounts import Mount, mount_of
from tests.support.series import series

# ``{here}`` is the test's own device.
ROWS = [
    ("{here} / / rw,noexec shared:1 - ext4 /dev/x rw,quota", Mount("ext4", ("rw", "noexec", "rw", "quota"))),
    # Before the dash come any number of optional fields; the source may be empty, or have a blank as \040.
    ("{here} / / ro - btrfs /dev/x rw", Mount("btrfs", ("ro", "rw"))),
    (r"{here} / / rw shared:1 master:2 - xfs a\040b rw,usrquota", Mount("xfs", ("rw", "rw", "usrquota"))),
    ("{here} / / rw - tmpfs  rw", Mount("tmpfs", ("rw", "rw"))),
    # Mounted in two places: the first is as good as the other.
    ("{here} / / rw - ext4 /dev/x rw\n23 20 {here} /a /b ro - ext4 /dev/x rw", Mount("ext4", ("rw", "rw"))),
    ("{here} / / rw shared:1", None),
    ("0:0 / / rw - ext4 /dev/x rw", None),
]


@series(("lines", "mount"), ROWS)
def test_the_mount_of_a_directory(tmp_path, lines, mount):
    device = tmp_path.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"
    table = tmp_path / "mountinfo"
    table.write_text(f"21 20 0:5 / /proc rw - proc proc rw\n22 20 {lines.format(here=here)}\n")
    assert mount_of(tmp_path, table) == mount


def test_no_table_or_no_directory(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text("")
    assert mount_of(tmp_path, table) is None
    assert mount_of(tmp_path, tmp_path / "missing") is None
    assert mount_of(tmp_path / "missing") is None


def test_the_kernels_own_table():
    mount = mount_of(Path("/proc"))
    assert mount is not None
    assert mount.kind == "proc"
