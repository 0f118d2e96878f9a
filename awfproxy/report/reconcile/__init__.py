"""Our records against what others counted: a provider's export, or the logs of agents.

`used` is the common form of all that others tell; `export_json`, `export_csv` and `agent_usage` read it, `own` reads
our records into the same classes, `comparison` puts both sides together, `causes` says why they differ.
"""
