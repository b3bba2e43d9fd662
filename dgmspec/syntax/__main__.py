"""`python -m dgmspec.syntax` compiles the grammar into `table.json` after it was edited."""

from dgmspec.syntax.grammar import write_table

write_table()
