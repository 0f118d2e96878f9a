"""Reading the records back: tables for people.  Imports the ground floor only, never Twisted."""
