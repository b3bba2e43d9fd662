"""How large a text may be, each limit with its own code: whatever the input, reading it takes bounded time."""

FILE_BYTES = 2**20
TOKENS = 100_000
LINE_CHARACTERS = 10_000
NAME_CHARACTERS = 100
NUMBER_CHARACTERS = 100
STRING_BYTES = 10_000
BLOCK_STATEMENTS = 10_000

# Blocks and expressions in one another along any path of the tree; parentheses are not counted.
NESTING = 64
# Brackets of all sorts in one another: enough for any text within NESTING.
BRACKETS = 2 * NESTING

# Places on the parser's stack, which only a long chain of `-` or `^` can reach within the other limits.
STACK = 2_000

# Diagnostics printed for one text.
DIAGNOSTICS = 20
