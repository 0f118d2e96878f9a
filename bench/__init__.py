"""Benchmarks of awfproxy. `bench/run.sh` runs them; docs/benchmarks.md says what they measure and how to read them."""
