"""QEMU with the igb model, a Debian kernel and busybox: unpacked from Debian's packages, never installed.

Debian 12's own QEMU has no igb, so it comes from bookworm-backports of the mirror that this machine's
apt already uses, through a private apt state: the machine's lists, sources and packages stay as they are.
"""

import os
import pathlib
import shutil
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
RELEASE = "bookworm"
ENOUGH_SECONDS = 240


class Unavailable(Exception):
    """What the suite needs cannot be had here; says why."""


def run(*command, seconds=ENOUGH_SECONDS, **options):
    """Output of a command; Unavailable with its complaint if it fails."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **options.pop("env", {})}
    try:
        done = subprocess.run([str(word) for word in command], check=False, text=True, capture_output=True, timeout=seconds,
                              stdin=subprocess.DEVNULL, env=environment, **options)
    except FileNotFoundError:
        raise Unavailable(f"no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took more than {seconds} s") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        cause = next((line for line in lines if line.startswith("E: ")), lines[0] if lines else f"exit {done.returncode}")
        raise Unavailable(f"{command[0]} failed: {cause}")
    return done.stdout


class Apt:
    """apt-get with lists and a cache of its own; the packages installed here count as present."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        sources = folder / "sources.list"
        sources.write_text("".join(f"deb [signed-by={KEYRING}] {self.mirror()} {suite} main\n"
                                   for suite in (RELEASE, f"{RELEASE}-backports")), encoding="ascii")
        settings = {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null", "Dir::State::lists": folder / "lists",
                    "Dir::Cache": folder / "cache", "APT::Sandbox::User": "root", "Acquire::http::Timeout": 10,
                    "Acquire::https::Timeout": 10, "Acquire::Retries": 0, "Acquire::Languages": "none", "APT::Update::Error-Mode": "any"}
        self.options = [f"-o{key}={value}" for key, value in settings.items()]

    @staticmethod
    def mirror():
        text = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
        for line in text.splitlines():
            address, _, release = line.partition(" ")
            if release == RELEASE:
                return address
        raise Unavailable(f"apt has no source of Debian {RELEASE}")

    def get(self, *words, **options):
        return run("apt-get", *self.options, "-qq", *words, **options)

    def kernel_package(self):
        text = run("apt-cache", *self.options, "depends", "linux-image-amd64")
        names = [line.split()[-1] for line in text.splitlines() if "Depends: linux-image-" in line]
        if not names:
            raise Unavailable("apt knows no linux-image-amd64")
        return names[0]

    def fetch(self):
        """Archives of QEMU with what it needs and this machine lacks, of the kernel, and of busybox."""
        self.get("update")
        # A QEMU that is installed is no igb model's (see system_qemu), so apt has a newer one to fetch.
        self.get("-y", "-t", f"{RELEASE}-backports", "--no-install-recommends", "--download-only", "install", "qemu-system-x86")
        plain = self.folder / "plain"
        plain.mkdir(exist_ok=True)
        self.get("download", self.kernel_package(), "busybox-static", cwd=plain)
        return sorted((self.folder / "cache/archives").glob("*.deb")), sorted(plain.glob("*.deb"))


class Packages:
    """The unpacked packages in `folder`; fetched once, then reused."""

    def __init__(self, folder):
        self.folder = folder
        self.qemu_root = folder / "qemu"
        self.guest_root = folder / "guest"

    def provide(self):
        if not (self.folder / "complete").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            try:
                self._fetch()
            except BaseException:
                shutil.rmtree(self.folder, ignore_errors=True)
                raise
        return self

    def _fetch(self):
        for tool in ("apt-get", "dpkg"):
            if shutil.which(tool) is None:
                raise Unavailable(f"no {tool} here")
        apt = self.folder / "apt"
        for archives, root in zip(Apt(apt).fetch(), (self.qemu_root, self.guest_root)):
            for archive in archives:
                run("dpkg", "-x", archive, root)
        shutil.rmtree(apt)
        for root in (self.qemu_root, self.guest_root):
            shutil.rmtree(root / "usr/share/doc", ignore_errors=True)
        run(self.busybox, "depmod", "-b", self.guest_root, self.kernel_version)
        (self.folder / "complete").touch()

    @property
    def busybox(self):
        return self.guest_root / "bin/busybox"

    @property
    def kernel_version(self):
        return next((self.guest_root / "lib/modules").iterdir()).name

    @property
    def kernel(self):
        return self.guest_root / "boot" / f"vmlinuz-{self.kernel_version}"

    def modules(self, names):
        """Paths below lib/modules/VERSION of modules and of those they need."""
        folder = self.guest_root / "lib/modules" / self.kernel_version
        needs = {}
        for line in (folder / "modules.dep").read_text(encoding="ascii").splitlines():
            path, _, rest = line.partition(":")
            needs[pathlib.PurePath(path).name.removesuffix(".ko").replace("-", "_")] = [path, *rest.split()]
        return sorted({path for name in names for path in needs[name]})

    def qemu(self):
        """(command, environment) of the unpacked QEMU."""
        libraries = [self.qemu_root / "usr/lib/x86_64-linux-gnu", self.qemu_root / "lib/x86_64-linux-gnu"]
        share = self.qemu_root / "usr/share"
        command = [self.qemu_root / "usr/bin/qemu-system-x86_64", "-L", share / "qemu", "-L", share / "seabios"]
        return command, {"LD_LIBRARY_PATH": ":".join(map(str, libraries)), "QEMU_MODULE_DIR": str(libraries[0] / "qemu")}
