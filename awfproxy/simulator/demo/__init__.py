"""``awf demo``: the proxy as it runs in earnest, simulated providers behind it, and traffic that looks like life's.

`tour` has one call of each kind, `runs` two runs of a workflow with agents in it; `sending` makes the calls, `claude`,
`codex` and `scripts` make those of the runs, `check` compares all that was recorded with what was served, `reports`
prints what there is to see.
"""
