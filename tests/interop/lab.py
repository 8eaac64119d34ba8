"""A network namespace with servers of ours in it, and the kernel beside them. Gone when closed."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_AF_XDP = 44
PREFIX = "sluice-it"


class Failed(AssertionError):
    """What a case expected did not come."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


def wait_until(condition, seconds, what):
    """Polls `condition` until it gives something true, which is the result."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)


def no_af_xdp():
    """Why this machine has no AF_XDP; None if it has."""
    try:
        socket.socket(_AF_XDP, socket.SOCK_RAW).close()
    except OSError as error:
        return f"no AF_XDP socket ({error.strerror})"
    return None


def _die_with_parent():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _set_namespace(descriptor):
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def remove_stale_namespaces():
    """Removes namespaces of runs that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for name, pid in re.findall(rf"^({PREFIX}-(\d+)-\S+)", listed, re.M):
        if not pathlib.Path(f"/proc/{pid}").exists():
            subprocess.run(["ip", "netns", "del", name], check=False)


class Process:
    """A child in the lab's namespace, its output in files."""

    def __init__(self, lab, name, command, **options):
        self.name = name
        self.command = [str(word) for word in command]
        self.out_path = lab.folder / f"{name}.out"
        self.err_path = lab.folder / f"{name}.err"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=lab.folder,
                                          preexec_fn=_die_with_parent, **options)

    @property
    def pid(self):
        return self.popen.pid

    def out(self):
        return self.out_path.read_text(encoding="utf-8", errors="replace")

    def err(self):
        return self.err_path.read_text(encoding="utf-8", errors="replace")

    def is_running(self):
        return self.popen.poll() is None

    def reports(self):
        """The JSON lines that a sluice-test-client wrote, one a connection."""
        return [json.loads(line) for line in self.out().splitlines()]

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, seconds):
        """The exit status; what was still running after `seconds` fails the case."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} was still running after {seconds} s") from None

    def kill(self):
        if self.is_running():
            self.popen.kill()
        self.popen.wait()

    def tail(self):
        text = (self.out() + self.err()).strip().splitlines()
        return [f"    {self.name}| {line}" for line in text[-12:]]


class Stats:
    """`sluicectl stats --json`, summed over workers. What never happened is 0."""

    def __init__(self, workers):
        self.workers = workers

    def outcome(self, name):
        return sum(worker["outcomes"].get(name, {"packets": 0})["packets"] for worker in self.workers)

    def outcomes(self):
        return sum(entry["packets"] for worker in self.workers for entry in worker["outcomes"].values())

    def counter(self, name):
        return sum(worker["counters"].get(name, 0) for worker in self.workers)

    def now(self, name):
        """connections, half_open, time_wait, receive_mbufs_free, control_mbufs_free"""
        return sum(worker[name] for worker in self.workers)


class Server(Process):
    """One of our programs on its own tap. `ip` is ours, `peer_ip` the kernel's on that tap."""

    def __init__(self, lab, name, command, number):
        self.lab = lab
        self.tap = f"tap{number}"
        self.ip = f"10.99.{number}.2"
        self.peer_ip = f"10.99.{number}.1"
        self.instance = f"{lab.namespace}.{number}"
        self.is_asked = False  # To end.
        self.is_code_seen = False  # By the case, which then knows what it wants.
        super().__init__(lab, name, command)

    def signal(self, number):
        self.is_asked |= number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
        super().signal(number)

    def kill(self):
        self.is_asked = True
        super().kill()

    def wait(self, seconds):
        self.is_code_seen = True
        return super().wait(seconds)

    def bad_end(self):
        """What is wrong with how it ended, if it did; None if nothing is. A client of ours ends by itself."""
        code = self.popen.poll()
        if code is None or (code == -signal.SIGKILL and self.is_asked):
            return None
        if code < 0:
            return f"{self.name} died of signal {-code}"
        if self.is_code_seen or self.name.startswith("sluice-test-client"):
            return None
        if not self.is_asked:
            return f"{self.name} ended unasked, with {code}"
        return None if code in (0, 3) else f"{self.name} ended with {code}"

    def wait_tap(self, seconds=15):
        """Waits for the tap and gives the kernel its address there."""
        def has_tap():
            expect(self.is_running(), f"{self.name} ended with {self.popen.returncode} before it served: {self.err().strip()}")
            return self.lab.has_device(self.tap)

        wait_until(has_tap, seconds, f"{self.tap} of {self.name}")
        self.lab.run("ip", "address", "add", f"{self.peer_ip}/24", "dev", self.tap)
        self.lab.run("ip", "link", "set", self.tap, "up")
        return self

    def wait_ready(self, seconds=15):
        """... and until ping is answered."""
        self.wait_tap(seconds)

        def answers():
            expect(self.is_running(), f"{self.name} ended with {self.popen.returncode}: {self.err().strip()}")
            return self.lab.try_run("ping", "-c1", "-W1", "-q", self.ip).returncode == 0

        wait_until(answers, seconds, f"{self.name} to answer ping at {self.ip}")
        return self

    def ctl(self, *words):
        """sluicectl's output for this instance."""
        return self.lab.ctl(self.instance, *words)

    def conns(self):
        """Rows of `sluicectl conns`, without LISTEN."""
        rows = json.loads(self.ctl("conns", "--json"))
        return [row for row in rows if row["state"] != "LISTEN"]

    def stats(self):
        return Stats(json.loads(self.ctl("stats", "--json")))

    def stop(self, seconds=15):
        self.signal(signal.SIGTERM)
        return super().wait(seconds)


class Lab:
    """Enters a new namespace on `with`, and leaves nothing behind."""

    _count = 0

    def __init__(self, build, keep_files=False):
        Lab._count += 1
        self.build = pathlib.Path(build).resolve()
        self.namespace = f"{PREFIX}-{os.getpid()}-{Lab._count}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.namespace}."))
        self.processes = []
        self.namespaces = []
        self.numbers = 0
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._keep_files = keep_files

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        descriptor = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        _set_namespace(descriptor)
        os.close(descriptor)
        self.sysctl("ipv6/conf/default/disable_ipv6", 1)  # No router solicitations among our frames.
        self.sysctl("ipv6/conf/all/disable_ipv6", 1)
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            with contextlib.suppress(Exception):
                process.kill()
        _set_namespace(self._home)
        os.close(self._home)
        for namespace in (*self.namespaces, self.namespace):
            subprocess.run(["ip", "netns", "del", namespace], check=False, stderr=subprocess.DEVNULL)
        for name in ("sluice", ".sluice", "sluice-control"):
            for path in pathlib.Path("/dev/shm").glob(f"{name}.{self.namespace}.*"):
                path.unlink(missing_ok=True)
        for folder in pathlib.Path("/var/run/dpdk").glob(f"sluice-{self.namespace}.*"):  # Of servers that were killed.
            shutil.rmtree(folder, ignore_errors=True)
        if not self._keep_files:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- the kernel's side ---

    def sysctl(self, name, value):
        """Sets net/`name` of the namespace; a kernel without it needs no setting."""
        with contextlib.suppress(FileNotFoundError):
            pathlib.Path("/proc/sys/net", name).write_text(str(value), encoding="ascii")

    def run(self, *command, **options):
        done = self.try_run(*command, **options)
        expect(done.returncode == 0, f"`{' '.join(map(str, command))}` gave {done.returncode}: {str(done.stderr or done.stdout).strip()}")
        return done

    def try_run(self, *command, timeout=60, **options):
        options.setdefault("text", True)
        options.setdefault("capture_output", True)
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        try:
            return subprocess.run([str(word) for word in command], check=False, timeout=timeout, cwd=self.folder,
                                  preexec_fn=_die_with_parent, **options)
        except subprocess.TimeoutExpired:
            raise Failed(f"`{' '.join(map(str, command))}` took more than {timeout} s") from None

    def add_namespace(self, name):
        """One more network namespace, gone with the lab; without a neighbour yet."""
        namespace = f"{self.namespace}-{name}"
        self.run("ip", "netns", "add", namespace)
        self.namespaces.append(namespace)
        self.run_in(namespace, "tee", "/proc/sys/net/ipv6/conf/default/disable_ipv6", input="1")
        self.run_in(namespace, "ip", "link", "set", "lo", "up")
        return namespace

    def run_in(self, namespace, *command, **options):
        """run() in a namespace of add_namespace(); None is the lab's own."""
        return self.run(*(["ip", "netns", "exec", namespace] if namespace else []), *command, **options)

    def start(self, name, *command, **options):
        process = Process(self, name, command, **options)
        self.processes.append(process)
        return process

    @staticmethod
    def has_device(name):
        return name in (entry for _, entry in socket.if_nameindex())

    # --- ours ---

    def program(self, name):
        found = next((p for p in (self.build / "apps" / name.removeprefix("sluice-") / name, self.build / "apps" / "ctl" / name,
                                  self.build / "tests" / "interop" / name) if p.exists()), None)
        expect(found is not None, f"{name} is not built in {self.build}")
        return found

    def command(self, program, number, arguments=(), config=""):
        """The command line of a program of ours on tap number `number`."""
        path = self.folder / f"config{number}.toml"
        path.write_text(config, encoding="utf-8")
        words = [self.program(program), "--config", path, "--instance", f"{self.namespace}.{number}",
                 "--device", f"net_tap{number},iface=tap{number}", "--address", f"10.99.{number}.2/24"]
        return [str(word) for word in [*words, *arguments]]

    def server(self, program, *arguments, config="", number=None):
        """Starts a program of ours, waits until it answers ping."""
        return self.begin(program, arguments, config, number).wait_ready()

    def client(self, *arguments, config=""):
        """Starts a sluice-test-client; it opens its connections 1.5 s after its start."""
        return self.begin("sluice-test-client", ("--delay", "1500", *arguments), config, None).wait_tap()

    def begin(self, program, arguments, config, number):
        if number is None:
            number, self.numbers = self.numbers, self.numbers + 1
        tries = sum(process.name.startswith(f"{program}.{number}") for process in self.processes)
        server = Server(self, f"{program}.{number}" + (f".{tries}" if tries else ""),
                        self.command(program, number, arguments, config), number)
        self.processes.append(server)
        return server

    def ctl(self, instance, *words):
        done = self.run(self.program("sluicectl"), words[0], "--instance", instance, *words[1:], timeout=20)
        return done.stdout


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
