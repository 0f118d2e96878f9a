"""The Twisted shell: listeners, transports, calls, the upstream pool, journal, metrics, shutdown."""

import txaio

# before any module of this floor makes its logger
txaio.use_twisted()
