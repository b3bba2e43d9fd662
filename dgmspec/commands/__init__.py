"""The verbs of the command line: each turns arguments into one call of the library and returns an `Answer`."""
