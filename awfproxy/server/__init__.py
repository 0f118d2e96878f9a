"""The Twisted shell: listeners, transports, calls, the upstream pool, journal, metrics, shutdown."""
