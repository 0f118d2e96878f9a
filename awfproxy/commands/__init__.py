"""The commands of `awf` that need the ledger, or a running service.  Never Twisted: the service is spoken to over its
Unix socket with the standard library's HTTP client.  Modules of click's commands import the rest when they run."""
