"""How anything is said, everywhere: amounts, tables, Markdown, phrases."""
