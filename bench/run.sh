#!/bin/sh
# Benchmarks: builds the fake upstream and the load tools into bench/.work, then measures nginx, a naive proxy and
# awfproxy side by side. Gates nothing. docs/benchmarks.md says what the figures mean.
#
#   bench/run.sh [--quick] [-p PEERS] [-w WORKLOADS] [-r ROUNDS]      (--help lists them)
#
# $BENCH_PYTHON: the Python that has awfproxy's dependencies (default .venv/bin/python); $BENCH_WORK: the work folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
python=${BENCH_PYTHON:-.venv/bin/python}
BENCH_WORK=${BENCH_WORK:-$here/.work}
export BENCH_WORK
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps nginx, and an ordinary user's PATH does not reach

missing=
for tool in nginx wrk gcc openssl; do
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
if command -v gcc >/dev/null && ! echo '#include <openssl/ssl.h>' | gcc -E - >/dev/null 2>&1; then
  missing="$missing libssl-dev"
fi
if [ -n "$missing" ]; then
  echo "The benchmarks need what this machine does not have:$missing" >&2
  echo "On Debian or Ubuntu: apt-get install$missing" >&2
  echo "(elsewhere libssl-dev is the OpenSSL headers: openssl-devel, openssl@3)" >&2
  exit 1
fi
if [ ! -r /proc/self/smaps_rollup ]; then
  echo "The benchmarks read CPU and memory from /proc: they run on Linux only." >&2
  exit 1
fi
if ! "$python" -c 'import twisted, treq, httptools, msgspec' 2>/dev/null; then
  echo "$python does not have awfproxy's dependencies: run 'make bench', or set BENCH_PYTHON." >&2
  exit 1
fi

mkdir -p "$BENCH_WORK/bodies"
newer() { [ ! -e "$1" ] || [ -n "$(find "$2" -newer "$1" -name '*.[ch]')" ]; }
if newer "$BENCH_WORK/fakellm" bench/upstream; then
  gcc -O2 -o "$BENCH_WORK/fakellm" bench/upstream/fakellm.c bench/upstream/answers.c -lssl -lcrypto
fi
if newer "$BENCH_WORK/streams" bench/load; then gcc -O2 -o "$BENCH_WORK/streams" bench/load/streams.c; fi
"$python" -m bench.bodies "$BENCH_WORK/bodies"

# A CA and a server certificate for the TLS upstream, for this folder only, made again when a week old.
if [ -z "$(find "$BENCH_WORK" -name chain.crt -mtime -7)" ]; then
  (
    cd "$BENCH_WORK"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=bench-ca -keyout ca.key -out ca.crt 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout srv.key -out srv.csr 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >srv.ext
    openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile srv.ext -out srv.crt 2>/dev/null
    cat srv.crt ca.crt >chain.crt
  )
fi

files=$(ulimit -Hn)
ulimit -n "$files" 2>/dev/null || true
if [ "$files" != unlimited ] && [ "$files" -lt 20100 ]; then
  echo "Note: at most $files open files a process: 10,000 streams at once need 20,100 (ulimit -Hn); as many as fit are opened."
fi
exec "$python" -m bench.measure "$@"
