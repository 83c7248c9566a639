"""Results as people want them: frame, terminal tables, Markdown, page. Works from files alone."""
