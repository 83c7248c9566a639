"""Oracle arithmetic, exact conversions, and the tallies that turn errors and budgets into an evaluation."""
