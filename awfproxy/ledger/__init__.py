"""The ledger: what was used and what may still be used, in a database.  Blocking, and without Twisted.

`sql.SqlLedger` works on SQLite and PostgreSQL, `memory.MemoryLedger` beside it for tests; both are an
`interface.Ledger`.  One thread at a time uses one of them.  Nothing is imported here: SQLAlchemy costs time that most
commands need not pay.
"""
