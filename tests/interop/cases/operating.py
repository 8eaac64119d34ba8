"""What an operator does wrong gets one clear line and an exit status; what he asks gets an answer."""

import os
import pathlib
import shutil
import signal
import time

from lab import expect
from registry import case

PROGRAMS = ("sluice-echo", "sluice-httpd")

# (the file, the line at fault, what the message must name)
WRONG_FILES = [
    ("[tcp]\nno_such_key = 1\n", 2, "no_such_key"),
    ("[tpc]\ntime_wait = \"2s\"\n", 1, "tpc"),
    ("[tcp]\ntime_wait = \"2 parsecs\"\n", 2, "time_wait"),
    ("[tcp]\ntime_wait = 2\n", 2, "time_wait"),
    ("# one\n\n[tcp]\nsyn_retries = 1000\n", 4, "syn_retries"),
    ("[runtime]\nworkers = 0\n", 2, "workers"),
    ("[runtime]\nlisten = [70000]\n", 2, "listen"),
    ("[interface]\naddresses = [\"10.0.0.300/24\"]\n", 2, "addresses"),
    ("[interface]\naddresses = [\"224.0.0.1/24\"]\n", 2, "addresses"),
    ("[tcp]\nnodelay = \"perhaps\"\n", 2, "nodelay"),
    ("[tcp\n", 1, ""),
    ("[tcp]\nsack = true\nsack = false\n", 3, ""),
    ("[tcp]\n\nrto_min = \"5s\"\n", 3, "rto_initial"),
    ("[runtime]\nlisten = [7,\n7,\n99999]\n", 4, "99999"),
]

WRONG_FLAGS = [
    ["--no-such-flag"],
    ["--workers", "many"],
    ["--listen", "0"],
    ["--address", "10.0.0.2"],
    ["--set", "tcp.no_such_key=1"],
    ["--set", "tcp.time_wait=soon"],
    ["--set", "tcp.rto_min"],
    ["--set", "tcp.max_listeners=4097"],
    ["--set", "runtime.cpus=1023"],
    ["--config", "/no/such/file.toml"],
    ["--config", "/tmp"],
    ["--config", ""],
    ["--instance", "a/b"],
    ["--instance", "-x"],
    ["--workers", "64"],
    ["--listen", "7", "--listen", "7"],
    ["--eal", "-h"],
    ["surplus"],
]


def one_line(text, what):
    lines = text.strip().splitlines()
    expect(len(lines) == 1, f"{what}: {len(lines)} lines instead of one:\n{text}")
    return lines[0]


@case("an error in the configuration file: one line with file:line, exit 2")
def config_errors(lab):
    path = lab.folder / "wrong.toml"
    for text, line, named in WRONG_FILES:
        path.write_text(text, encoding="utf-8")
        done = lab.try_run(lab.program("sluice-echo"), "--config", path)
        what = f"{text!r}"
        expect(done.returncode == 2, f"{what}: exit status {done.returncode}, wanted 2: {done.stderr.strip()}")
        said = one_line(done.stderr, what)
        expect(f"{path}:{line}:" in said and named in said, f"{what} got: {said}")


@case("an error in the flags: one line, exit 2", seconds=120)
def flag_errors(lab):
    for program in PROGRAMS:
        for flags in WRONG_FLAGS:
            done = lab.try_run(lab.program(program), *flags, timeout=20)
            expect(done.returncode == 2, f"{program} {flags}: exit status {done.returncode}, wanted 2: {done.stderr.strip()}")
            one_line(done.stderr, f"{program} {flags}")


@case("an instance that runs already: one line, exit 1, and the running one is not disturbed")
def busy_instance(lab):
    server = lab.server("sluice-echo")
    done = lab.try_run(lab.program("sluice-echo"), "--instance", server.instance, "--device", "net_tap9,iface=tap9")
    expect(done.returncode == 1, f"exit status {done.returncode}, wanted 1: {done.stderr.strip()}")
    expect(server.instance in one_line(done.stderr, "busy instance"), f"the instance is not named: {done.stderr.strip()}")
    lab.run("ping", "-c1", "-W2", server.ip)
    expect(not lab.has_device("tap9"), "a tap is left")


@case("a tap name that is taken: one line, exit 1")
def busy_tap(lab):
    lab.run("ip", "tuntap", "add", "tap5", "mode", "tun")
    done = lab.try_run(lab.program("sluice-echo"), "--instance", f"{lab.namespace}.5", "--device", "net_tap5,iface=tap5")
    expect(done.returncode == 1, f"exit status {done.returncode}, wanted 1: {done.stderr.strip()}")
    expect("tap5" in one_line(done.stderr, "busy tap"), f"the tap is not named: {done.stderr.strip()}")


@case("what DPDK refuses: one line on standard error that says what, nothing on standard output, exit 1")
def refused_by_dpdk(lab):
    wrong = [(["--eal", "--nonsense"], "unrecognized option '--nonsense'"), (["--eal", "--lcores 9@9"], "lcores")]
    if "HugePages_Free:        0" in pathlib.Path("/proc/meminfo").read_text(encoding="ascii"):
        wrong.append((["--set", "dpdk.huge_pages=on"], "scripts/nic.sh setup --pages"))
    for flags, named in wrong:
        done = lab.try_run(*lab.command("sluice-echo", 0, flags))
        expect(done.returncode == 1, f"{flags}: exit status {done.returncode}, wanted 1: {done.stderr.strip()}")
        expect(named in one_line(done.stderr, flags), f"{flags} got: {done.stderr.strip()}")
        expect(not done.stdout, f"{flags}: {len(done.stdout.splitlines())} lines on standard output")


@case("SIGTERM at any time of a start ends it in good order, and nothing is left behind")
def stopped_while_starting(lab):
    said = []
    for number, delay_ms in enumerate(range(10, 400, 30)):
        process = lab.start(f"echo.{number}", *lab.command("sluice-echo", number))
        time.sleep(delay_ms / 1000)
        process.signal(signal.SIGTERM)
        status = process.wait(15)
        # Until it handles signals it has made nothing that could stay.
        expect(status in (0, -signal.SIGTERM), f"after {delay_ms} ms: exit status {status}: {process.err().strip()}")
        left = [path.name for path in pathlib.Path("/dev/shm").iterdir() if lab.namespace in path.name]
        expect(not left, f"after {delay_ms} ms: left behind: {left}")
        said.append(process.err())
    expect(any("stopped while starting" in text or "drained" in text for text in said), f"no start was met: {said}")


@case("who may not read a server's state is told so, not that nothing runs", needs=["setpriv"])
def no_right_to_read(lab):
    server = lab.server("sluice-echo")
    folder = lab.folder / "nobody"
    folder.mkdir()
    os.chmod(lab.folder, 0o755)
    program = pathlib.Path(shutil.copy(lab.program("sluicectl"), folder))
    for words in (["conns"], ["instances"], ["reload"], ["conns", "--instance", server.instance]):
        done = lab.try_run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program, *words)
        expect(done.returncode == 1, f"{words}: exit status {done.returncode}, wanted 1: {done.stdout} {done.stderr}")
        line = f"instance '{server.instance}': no right to read (mode 0640, root): use sudo"
        expect(line in done.stderr, f"{words} got: {done.stderr}")


@case("without the right to make a tap: one line that says so, exit 1", needs=["setpriv"])
def missing_rights(lab):
    # The build may lie where nobody can read it: a copy in a place of its own.
    folder = lab.folder / "nobody"
    folder.mkdir()
    os.chmod(lab.folder, 0o755)
    program = pathlib.Path(shutil.copy(lab.program("sluice-echo"), folder))
    done = lab.try_run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program,
                       "--instance", f"{lab.namespace}.nobody", "--device", "net_tap6,iface=tap6")
    expect(done.returncode == 1, f"exit status {done.returncode}, wanted 1: {done.stderr.strip()}")
    said = one_line(done.stderr, "missing rights").lower()
    expect("tap6" in said and ("permission" in said or "cap_net_admin" in said or "root" in said), f"said: {said}")


@case("a device that is not there: one line that names it, exit 1")
def missing_device(lab):
    for device in ("0000:7f:1f.7", "net_nonsense0"):
        done = lab.try_run(lab.program("sluice-echo"), "--instance", f"{lab.namespace}.7", "--device", device)
        expect(done.returncode == 1, f"{device}: exit status {done.returncode}, wanted 1: {done.stderr.strip()}")
        expect(device in one_line(done.stderr, device), f"{device} is not named: {done.stderr.strip()}")


@case("every program explains itself: --help with units and defaults, --version")
def helps(lab):
    for program in (*PROGRAMS, "sluicectl"):
        done = lab.run(lab.program(program), "--help")
        expect(len(done.stdout.splitlines()) > 5, f"{program} --help: {done.stdout}")
        done = lab.run(lab.program(program), "--version")
        expect(any(c.isdigit() for c in done.stdout), f"{program} --version: {done.stdout}")
    for program in PROGRAMS:
        text = lab.run(lab.program(program), "--help").stdout
        for word in ("--config", "--device", "--address", "--gateway", "--listen", "--workers", "--instance", "--eal", "default"):
            expect(word in text, f"{program} --help does not tell of {word}")


@case("sluicectl of an instance that is not there: one line, exit 1")
def no_instance(lab):
    done = lab.try_run(lab.program("sluicectl"), "conns", "--instance", f"{lab.namespace}.none")
    expect(done.returncode == 1, f"exit status {done.returncode}, wanted 1")
    one_line(done.stderr, "no instance")
