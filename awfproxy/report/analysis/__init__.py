"""Findings: what in the records could be cheaper, and how.

Records in, in the order of time (`in_order`, `steps`); conversations followed (`conversations`, and a module for each
kind of pattern); what was found, added up without counting anything twice (`board`); findings out
(`analysis`, and the forms).
"""
