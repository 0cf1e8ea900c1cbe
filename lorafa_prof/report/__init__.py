"""Reports of a folder of results: HTML for people, Markdown for pull requests, LaTeX for papers."""
