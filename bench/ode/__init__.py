"""Continuous flows beside the libraries that solve them: `workloads`, one file a library, `run`."""
