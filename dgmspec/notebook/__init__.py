"""The cell magic ``%%dgm`` for IPython and Jupyter: ``%load_ext dgmspec.notebook``.

    %%dgm spec --set depth=4
    dgm 1
    model M { … }

reads the cell as a spec, shows it with its findings, and stores it under the name. Specs, findings, compiled models and
ledgers show themselves as HTML wherever a notebook displays them, with this extension or without.
"""

from dgmspec.notebook.magic import load_ipython_extension

__all__ = ["load_ipython_extension"]
