"""An emulated PC with an igb behind an IOMMU, on a tap of the lab's namespace; a shell inside it."""

import contextlib
import itertools
import os
import pathlib
import shutil
import socket
import subprocess

from lab import Failed, expect, wait_until

TAP = "nic0"
GUEST_MAC = "52:54:00:77:00:02"
HOST_IP, GUEST_IP = "10.98.0.1", "10.98.0.2"
PCI = "0000:01:00.0"
CPUS = 4  # One for each worker.
# What hangs is told from what an emulated CPU on a loaded machine takes its time for.
PATIENCE_SECONDS = 240
# Ticks at a fixed rate: QEMU now and then loses a one-shot timer of an emulated CPU, which then sleeps for good.
KERNEL_WORDS = ("console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on intel_iommu=on iommu=strict "
                "tsc=reliable no_timer_check nohz=off highres=off")


def installed_qemu():
    """(command, environment) of a QEMU on the PATH that has the igb model, else None."""
    path = shutil.which("qemu-system-x86_64")
    if path is None:
        return None
    listed = subprocess.run([path, "-device", "help"], capture_output=True, text=True, check=False, timeout=60).stdout
    return ([path], {}) if 'name "igb"' in listed else None


class Machine:
    """The guest, running. Its QEMU is one of the lab's processes and ends with it."""

    def __init__(self, lab, qemu, kernel, initramfs):
        self.lab = lab
        lab.run("ip", "tuntap", "add", TAP, "mode", "tap")
        lab.run("ip", "address", "add", f"{HOST_IP}/24", "dev", TAP)
        lab.run("ip", "link", "set", TAP, "up")
        command, environment = qemu
        self._socket_path = lab.folder / "shell"
        # A session of its own, and a large share of the CPUs for it: a guest that gets a tenth of one makes no progress.
        self.process = lab.start("qemu", *command, *self._arguments(kernel, initramfs), env={**os.environ, **environment},
                                 start_new_session=True)
        with contextlib.suppress(OSError):  # A kernel without CONFIG_SCHED_AUTOGROUP.
            pathlib.Path(f"/proc/{self.process.pid}/autogroup").write_text("-10", encoding="ascii")
        self._shell = None
        self._text = b""
        self._marks = itertools.count()

    def _arguments(self, kernel, initramfs):
        return ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", CPUS, "-m", 768,
                "-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on",
                # A root port of its own gives the NIC an IOMMU group of its own.
                "-device", "pcie-root-port,id=port0,chassis=1,slot=1,bus=pcie.0",
                # Without vnet_hdr QEMU does the NIC's offloads itself and the tap carries what a wire would.
                "-netdev", f"tap,id=net0,ifname={TAP},script=no,downscript=no,vhost=off,vnet_hdr=off",
                "-device", f"igb,netdev=net0,mac={GUEST_MAC},bus=port0",
                "-serial", f"file:{self.lab.folder}/console", "-serial", f"unix:{self._socket_path},server=on,wait=off",
                "-kernel", kernel, "-initrd", initramfs, "-append", KERNEL_WORDS]

    def expect_alive(self):
        expect(self.process.is_running(), f"QEMU ended with {self.process.popen.returncode}: {self.process.err().strip()}")

    def wait_up(self):
        """Until the guest's shell answers."""
        def connected():
            self.expect_alive()
            return self._socket_path.exists()

        wait_until(connected, PATIENCE_SECONDS, "QEMU's socket")
        self._shell = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._shell.connect(str(self._socket_path))
        self._read_until(b"guest is up\n", PATIENCE_SECONDS)

    def _read_until(self, end, seconds):
        def found():
            self.expect_alive()
            self._shell.settimeout(0.2)
            try:
                self._text += self._shell.recv(65536)
            except TimeoutError:
                pass
            return end in self._text

        try:
            wait_until(lambda: end in self._text or found(), seconds, f"{end.decode().strip()!r} from the guest")
        except Failed as failure:
            raise Failed(f"{failure}; it said: {self._text[-400:].decode(errors='replace')}") from None
        before, _, self._text = self._text.partition(end)
        return before

    def try_run(self, command, seconds=PATIENCE_SECONDS):
        """(exit status, output) of a shell command in the guest."""
        mark = f"mark{next(self._marks)}"
        self._shell.settimeout(PATIENCE_SECONDS)
        self._shell.sendall(f"{mark} {command}\n".encode())
        output = self._read_until(f"\n{mark} ".encode(), seconds)
        status = self._read_until(b"\n", PATIENCE_SECONDS)
        return int(status), output.decode(errors="replace").replace("\r\n", "\n")

    def run(self, command, seconds=PATIENCE_SECONDS):
        """Output of a command that must succeed."""
        status, output = self.try_run(command, seconds)
        expect(status == 0, f"in the guest `{command}` gave {status}: {output.strip()}")
        return output

    @contextlib.contextmanager
    def running(self, name, command):
        """A command in the background, its output in /tmp/NAME; asked to end on leaving."""
        pid = int(self.run(f"{command} >/tmp/{name} 2>&1 & echo $! | tee /tmp/{name}.pid"))
        try:
            yield
        except Failed as failure:
            raise Failed(f"{failure}\n{name} said:\n{self.try_run(f'tail -n 20 /tmp/{name}')[1]}") from None
        finally:
            self.try_run(f"kill -INT {pid}; for i in $(seq 300); do kill -0 {pid} 2>/dev/null || exit 0; sleep 0.1; done; kill -9 {pid}")

    def output(self, name):
        return self.run(f"cat /tmp/{name}")

    def wait_output(self, name, text, seconds=PATIENCE_SECONDS):
        """Until a background command has printed `text`; fails at once if it ended without."""
        def printed():
            status, _ = self.try_run(f"grep -q '{text}' /tmp/{name} && exit 0; kill -0 $(cat /tmp/{name}.pid) && exit 1; "
                                     f"grep -q '{text}' /tmp/{name} || exit 2")
            if status == 2:
                raise Failed(f"{name} ended without '{text}'")
            return status == 0

        wait_until(printed, seconds, f"'{text}' from {name}")

    def power_off(self):
        if self._shell is not None and self.process.is_running():
            self._shell.sendall(b"end poweroff -f\n")
            self.process.wait(PATIENCE_SECONDS)

    def console(self):
        path = self.lab.folder / "console"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
