"""One run of a load tool (wrk with load/post.lua, or load/streams.c) against one port, and what it said."""

import json
import os
import pathlib
import subprocess
from typing import Any

from bench.workloads import Calls, Streams

POST_LUA = pathlib.Path(__file__).resolve().parent / "load" / "post.lua"
PATH = "/v1/chat/completions"
GRACE_SECONDS = 30  # beyond a tool's own time limit, until it is killed


def run(work: pathlib.Path, load: Calls | Streams, port: int, count: int | None = None) -> dict[str, Any]:
    """The tool's JSON with the same names for both: `units` (calls answered, or events seen), `bad` (calls or
    streams that did not go as they should), `p50_us` and `p99_us` (time of a call, or delay of an event).

    `count` overrides the number of streams. Raises RuntimeError when the tool itself fails.
    """
    return calls(work, load, port) if isinstance(load, Calls) else streams(work, load, port, count or load.count)


def calls(work: pathlib.Path, load: Calls, port: int) -> dict[str, Any]:
    argv = ["wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "20s"]
    argv += ["-s", str(POST_LUA), f"http://127.0.0.1:{port}{PATH}"]
    env = {**os.environ, "BODY": str(work / "bodies" / f"{load.body}.json")}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=load.seconds + GRACE_SECONDS)
    lines = [line for line in done.stdout.splitlines() if line.startswith("JSON ")]
    if not lines:
        raise RuntimeError(f"wrk: {(done.stdout + done.stderr)[-300:]}")
    found: dict[str, Any] = json.loads(lines[0][5:])
    found["units"] = found["requests"]
    found["bad"] = sum(found[k] for k in found if k.startswith("err_"))
    return found


def streams(work: pathlib.Path, load: Streams, port: int, count: int) -> dict[str, Any]:
    argv = [str(work / "streams"), "-p", str(port), "-n", str(count), "-e", str(load.events)]
    argv += ["-i", str(load.interval_ms), "-r", str(load.ramp_ms), "-t", str(load.timeout_s), "-P", PATH]
    argv += ["-B", str(work / "bodies" / "req-1k-stream.json")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=load.timeout_s + GRACE_SECONDS)
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"streams: {done.stderr[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    found["units"] = found["events"]
    found["bad"] = found["failed"] + found["unfinished"]
    found["p50_us"], found["p99_us"] = found["lat_us"]["p50"], found["lat_us"]["p99"]
    if done.stderr:
        found["said"] = done.stderr[:300]
    return found
