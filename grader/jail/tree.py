"""The file tree that the jail shows: a new root that holds only what was named, read-only.

`lay_out` decides, without changing anything, which folders to bind where, which to cover and which symbolic links to
make again. `build` makes the tree and moves into it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from grader.jail import syscalls as sc

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
    "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/localtime", "/etc/nsswitch.conf",
    "/sys/devices/system/cpu",  # torch asks it what the processor can do
)  # fmt: skip
DEVICES = ("null", "zero", "full", "random", "urandom")
HOME = "/home/student"
WRITABLE = ("/tmp", "/dev/shm", HOME)
ETC = {
    "passwd": f"student:x:{sc.USER_INSIDE}:{sc.USER_INSIDE}:student:{HOME}:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": f"student:x:{sc.USER_INSIDE}:\nnogroup:x:65534:\n",
    "hostname": "student\n",
}
OURS = ("/proc", "/dev")  # made fresh: nothing of outside is shown there
MOST_LINKS = 40
TMPFS = "mode=755,nr_inodes=16k"
BESIDE = "/tmp"  # where the new root is put while it is built: a folder that every machine has


@dataclass
class Layout:
    """What the tree is made of. All paths are absolute and free of symbolic links, but those of `links`."""

    binds: list[str] = field(default_factory=list)
    covers: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)

    def shows(self, path: str) -> bool:
        """Whether the file of outside at `path` (no symbolic links) is visible inside: the deepest word on it wins."""
        bound = max((len(bind) for bind in self.binds if within(path, bind)), default=0)
        covered = max((len(cover) for cover in self.covers if within(path, cover)), default=0)
        return bound > covered


def within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def follow(path: str) -> tuple[str, dict[str, str]]:
    """Where `path` leads, and each symbolic link on the way: its place and its text."""
    links: dict[str, str] = {}
    done, todo, steps = "/", [part for part in path.split("/") if part], 0
    while todo:
        part = todo.pop(0)
        if part in (".", ".."):
            done = os.path.dirname(done) if part == ".." else done
            continue
        here = os.path.join(done, part)
        if not os.path.islink(here):
            done = here
            continue
        steps += 1
        if steps > MOST_LINKS:
            raise OSError(f"{path}: more than {MOST_LINKS} symbolic links")
        target = links[here] = os.readlink(here)
        done = "/" if target.startswith("/") else done
        todo = [part for part in target.split("/") if part] + todo
    return done, links


def lay_out(visible: Iterable[str], hidden: Iterable[str]) -> Layout:
    """Which parts of the present tree to show and to cover. Paths that do not exist are left out."""
    layout = Layout()
    shown = set()
    for path in visible:
        real, links = follow(os.path.abspath(path))
        if os.path.exists(real) and not any(within(real, ours) for ours in OURS):
            shown.add(real)
            layout.links |= links
    covers = {follow(os.path.abspath(path))[0] for path in hidden}
    for real in sorted(shown | covers, key=lambda path: (path.count("/"), path)):
        if real in covers:
            if layout.shows(real) and os.path.exists(real):
                layout.covers.append(real)
        elif not layout.shows(real):
            layout.binds.append(real)
    return layout


def build(layout: Layout) -> None:
    """Make the tree and move into it; what was seen before is gone. /proc is still that of outside.

    Needs a mount name space of its own and the right to mount. A user that has not yet dropped root can bind what
    only root can reach.
    """
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
    sc.mount("jail", BESIDE, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, TMPFS)
    os.chdir(BESIDE)
    os.mkdir("new")
    os.mkdir("old")
    sc.pivot_root(".", "old")
    os.chdir("/")
    sc.mount("jail", "/new", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, TMPFS)
    _fill(layout)
    sc.mount("/old/proc", "/new/proc", None, sc.MS_BIND | sc.MS_REC)
    sc.unmount("/old")
    os.chdir("/new")
    sc.pivot_root(".", ".")  # the tmpfs that held both now lies on top, at the same place
    sc.unmount(".")
    os.chdir("/")


def _fill(layout: Layout) -> None:
    with open("/empty", "w"):
        pass
    for path in sorted((*layout.binds, *layout.covers), key=lambda path: (path.count("/"), path)):
        _bind(path) if path in layout.binds else _cover(path)
    _link({"/new" + place: target for place, target in layout.links.items()})
    for folder in ("/proc", "/dev", "/etc", *WRITABLE):
        os.makedirs("/new" + folder, exist_ok=True)
    for name, text in ETC.items():
        with open(f"/new/etc/{name}", "w") as file:
            file.write(text)
    for name in DEVICES:
        with open(f"/new/dev/{name}", "w"):
            pass
    for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        os.symlink(f"/proc/self/fd{target}", f"/new/dev/{name}")
    sc.set_mount_flags("/new", sc.ATTR_RDONLY | sc.ATTR_NOSUID | sc.ATTR_NODEV, recursive=True)
    for name in DEVICES:
        sc.mount(f"/old/dev/{name}", f"/new/dev/{name}", None, sc.MS_BIND)
        sc.set_mount_flags(f"/new/dev/{name}", sc.ATTR_RDONLY | sc.ATTR_NOSUID, recursive=False)


def _bind(path: str) -> None:
    _mount_point("/new" + path, os.path.isdir("/old" + path))
    sc.mount("/old" + path, "/new" + path, None, sc.MS_BIND | sc.MS_REC)


def _cover(path: str) -> None:
    if os.path.isdir("/new" + path):
        sc.mount("hidden", "/new" + path, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, TMPFS)
    else:
        sc.mount("/empty", "/new" + path, None, sc.MS_BIND)


def fresh_writable(layout: Layout, size_mb: int) -> None:
    """An empty tmpfs of `size_mb` MiB over each writable folder; what `layout` shows inside those is shown again."""
    inside = [bind for bind in layout.binds if _in_writable(bind)]
    topmost = [bind for bind in inside if not any(within(bind, other) and bind != other for other in inside)]
    kept = {bind: sc.clone_tree(bind) for bind in topmost}
    for folder in WRITABLE:
        options = f"mode=700,size={size_mb}m,nr_inodes=32k"
        sc.mount("scratch", folder, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, options)
    for path, descriptor in kept.items():
        _mount_point(path, stat.S_ISDIR(os.fstat(descriptor).st_mode))
        sc.attach_tree(descriptor, path)
        os.close(descriptor)
    _link({place: target for place, target in layout.links.items() if _in_writable(place)})


def _in_writable(path: str) -> bool:
    return any(within(path, folder) for folder in WRITABLE)


def _mount_point(path: str, folder: bool) -> None:
    """A place to mount on. Inside a folder of outside it is there already; elsewhere we are on our own tmpfs."""
    if os.path.lexists(path):
        return
    os.makedirs(path if folder else os.path.dirname(path), exist_ok=True)
    if not folder:
        with open(path, "w"):
            pass


def _link(links: dict[str, str]) -> None:
    for place, target in links.items():
        if not os.path.lexists(place):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(target, place)
