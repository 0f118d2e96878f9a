"""How fast Python runs on this machine at this moment: without it, figures of two moments cannot be compared.

Where a virtual machine's processors are threads that share a core with others', a Python program takes up to twice the
CPU time for the same work, a C program that waits for the kernel hardly more.  The interpreter counts as well: one that
was built without `--enable-optimizations` is slower.
"""

import platform
import time

TURNS = 1_000_000
TRIES = 5


def turn_ns() -> float:
    """Nanoseconds of CPU of an empty turn of a loop, at best."""
    return min(_once() for _ in range(TRIES)) / TURNS


def pace() -> str:
    """The same in words, with the interpreter."""
    return f"an empty turn of a loop takes {interpreter()} {turn_ns():.1f} ns"


def interpreter() -> str:
    """Its name and version."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def _once() -> int:
    begun = time.process_time_ns()
    for _ in range(TURNS):
        pass
    return time.process_time_ns() - begun
