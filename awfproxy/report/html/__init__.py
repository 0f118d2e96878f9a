"""The report as one page of HTML: plots, tables and findings, in a file that needs nothing else.

Records in, in one pass (`gathering`, `timeline`, `turn_file`); sections out, each a module (`overview`, `over_time`,
`where`, `turns`, `cache`, `requests`, `findings`, `certainty`); put together by `page`.  Every text goes through
`markup`, every plot through `plots`.
"""
