"""The ground floor: pure rules and parsers.  No Twisted, no clock, no file, no socket."""
