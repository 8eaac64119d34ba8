"""The guest's initramfs: busybox, kernel modules, and our programs with the libraries they are linked with."""

import os
import pathlib
import shutil
import subprocess

from packages import Unavailable, run

MODULES = ("igb", "uio_pci_generic", "vfio_iommu_type1", "vfio_pci")
DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def libraries_of(program):
    """Shared libraries that the loader would map for `program`."""
    return [word for line in run("ldd", program).splitlines() for word in line.split() if word.startswith("/")]


def plugin_folder():
    """Where DPDK looks for its drivers."""
    found = sorted(pathlib.Path("/" + LIBRARIES, "dpdk").glob("pmds-*"))
    if not found:
        raise Unavailable("DPDK's drivers are not installed")
    return found[-1]


class Image:
    """A folder that becomes the guest's root."""

    def __init__(self, packages, folder):
        self.packages = packages
        self.root = folder
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("dev", "proc", "sys", "run", "tmp", "root", "etc", "lib64", "usr/bin", "var", LIBRARIES):
            (folder / name).mkdir(parents=True)
        for name, target in (("lib", "usr/lib"), ("bin", "usr/bin"), ("sbin", "usr/bin"), ("var/run", "/run")):
            (folder / name).symlink_to(target)
        self._add_busybox()
        self._add_modules()
        self._add_drivers()

    def _copy(self, source, target):
        if not target.exists() and not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)

    def _add_busybox(self):
        self._copy(self.packages.busybox, self.root / "usr/bin/busybox")
        for applet in run(self.packages.busybox, "--list").split():
            if applet != "busybox":
                (self.root / "usr/bin" / applet).symlink_to("busybox")

    def _add_modules(self):
        version = self.packages.kernel_version
        source = self.packages.guest_root / "lib/modules" / version
        target = self.root / "usr/lib/modules" / version
        for path in self.packages.modules(MODULES):
            self._copy(source / path, target / path)
        for name in ("modules.order", "modules.builtin"):
            self._copy(source / name, target / name)
        run(self.packages.busybox, "depmod", "-b", self.root, version)

    def _add_libraries(self, program):
        for library in libraries_of(program):
            name = pathlib.Path(library).name
            is_loader = library.startswith("/lib64/")
            self._copy(library, self.root / ("lib64" if is_loader else LIBRARIES) / name)

    def _add_drivers(self):
        folder = plugin_folder()
        for name in DRIVERS:
            # EAL opens NAME.so; drivers are linked with each other as NAME.so.ABI, looked for beside the libraries.
            plugin = folder / f"librte_{name}.so"
            self._copy(plugin, self.root / plugin.relative_to("/"))
            for versioned in folder.glob(f"{plugin.name}.*"):
                (self.root / LIBRARIES / versioned.name).symlink_to(plugin)
            self._add_libraries(plugin)

    def add_program(self, path, name=None):
        """Puts a program or script into the guest's /usr/bin, before busybox's of the same name."""
        target = self.root / "usr/bin" / (name or path.name)
        target.unlink(missing_ok=True)
        self._copy(path, target)
        target.chmod(0o755)
        if path.suffix != ".sh":
            self._add_libraries(path)

    def write(self, path, init):
        """Writes the archive. Not compressed: unpacking would cost the emulated CPU more than reading."""
        self._copy(init, self.root / "init")
        (self.root / "init").chmod(0o755)
        self.root.chmod(0o755)  # DPDK loads no driver from below a folder that all may write.
        names = "\n".join(str(found.relative_to(self.root)) for found in [self.root, *sorted(self.root.rglob("*"))])
        with open(path, "wb") as archive:
            subprocess.run([self.packages.busybox, "cpio", "-o", "-H", "newc", "-R", "0:0"], input=names.encode(), check=True,
                           stdout=archive, stderr=subprocess.DEVNULL, cwd=self.root)
        return os.path.getsize(path)
