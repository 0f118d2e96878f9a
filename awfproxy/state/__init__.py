"""What an installation keeps in `state_dir`, for the service and for the commands that work on a stopped one.

No Twisted: files that are read and written whole, in moments.
"""
