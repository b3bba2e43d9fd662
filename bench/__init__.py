"""Speed beside other flow libraries: `python -m bench`."""
