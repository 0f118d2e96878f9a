#!/bin/sh
# Where awfproxy's time goes in one workload: bench/profile.sh burst [--tls] [--epoll] [--perf]   (see hotspots.py)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
BENCH_WORK=${BENCH_WORK:-$here/.work}
export BENCH_WORK
[ -x "$BENCH_WORK/fakellm" ] || { echo "run bench/run.sh --quick first: it builds the tools" >&2; exit 1; }
exec "${BENCH_PYTHON:-.venv/bin/python}" -m bench.hotspots "$@"
