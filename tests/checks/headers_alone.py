#!/usr/bin/python3
"""Every header compiles as the only line of a translation unit, with this build's own flags.

headers_alone.py BUILD_DIR: flags and compiler are those of compile_commands.json. A header that its
own source (a.cpp for a.hpp) includes before anything else is proved by the build itself.
"""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

from source_tree import ROOT, includes, report, sources

FOLDERS = ("lib", "drivers", "apps", "tests/support")


def commands_by_folder(build):
    """{folder: compiler and flags of one source in it}, without input, output and precompiled header."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if source.suffix != ".cpp" or not source.is_relative_to(ROOT) or source.parent in commands:
            continue
        words = iter(shlex.split(entry["command"]))
        kept = []
        for word in words:
            if word in ("-o", "-MF", "-MQ", "-include", "-include-pch"):
                next(words)
            elif word not in ("-c", "-MD", entry["file"]) and not word.startswith(("-fpch", "-O")) and word != "ccache":
                kept.append(word)
        commands[source.parent] = kept
    return commands


def command_for(header, commands):
    """Flags of the nearest folder with sources. The public headers must do with base's."""
    if header.is_relative_to(ROOT / "lib/include"):
        return commands.get(ROOT / "lib/base")
    for folder in header.parents:
        near = [at for at in sorted(commands) if at.is_relative_to(folder)] if folder != ROOT else []
        if near:
            return commands[near[0]]
    return None


def is_proved_by_build(header, commands):
    source = header.with_suffix(".cpp")
    if source.parent not in commands or not source.exists():
        return False
    first = next(includes(source.read_text(encoding="utf-8")), None)
    return first is not None and not first[2] and header.as_posix().endswith("/" + first[1])


def compile_alone(command, build, header):
    """None if `header` compiles alone, else what the compiler says."""
    text = f'#include "{header}"\n'
    done = subprocess.run([*command, "-O0", "-fsyntax-only", "-x", "c++", "-"], cwd=build, input=text, text=True,
                          capture_output=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    commands = commands_by_folder(build)
    fallback = next(iter(commands.values()), None)
    if fallback is None:
        sys.exit(f"headers alone: {build}/compile_commands.json names no source of this tree")

    with tempfile.TemporaryDirectory() as folder:
        bad, good = pathlib.Path(folder, "bad.hpp"), pathlib.Path(folder, "good.hpp")
        bad.write_text("#pragma once\ninline std::uint32_t f() { return 1; }\n", encoding="utf-8")
        good.write_text("#pragma once\n#include <cstdint>\ninline std::uint32_t f() { return 1; }\n", encoding="utf-8")
        if compile_alone(fallback, build, bad) is None or compile_alone(fallback, build, good) is not None:
            sys.exit("self-test: a header without its includes must fail, one with them must pass")
    print("self-test: 1 bad sample caught, 1 good one passed")

    headers = [header for folder in FOLDERS for header in sources(ROOT, folder, suffixes=(".hpp",))]
    jobs = [(command_for(header, commands) or fallback, header) for header in headers if not is_proved_by_build(header, commands)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(pool.map(lambda job: compile_alone(job[0], build, job[1]), jobs))
    findings = [f"{header.relative_to(ROOT)} does not compile alone:\n{text}"
                for (_, header), text in zip(jobs, said) if text is not None]
    return report(findings, f"headers alone, {len(headers)} headers ({len(headers) - len(jobs)} of them proved by the build)")


sys.exit(main())
