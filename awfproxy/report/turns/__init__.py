"""Turns: which turn of an agent each recorded call belongs to.

Agents' own logs in (`agent_logs`), records in (`calls`), both matched (`matching`) or, without any log, turns told by
the records alone (`proxy_turns`), rows out (`turn_rows`, `writing`, `turn_tables`).
"""
