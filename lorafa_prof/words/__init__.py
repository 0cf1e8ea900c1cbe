"""How anything is said, everywhere, terminal, Markdown, LaTeX and page: numbers, tables, phrases."""
