"""Cross-entropy of class indices and probabilities: description, cost, oracle, budgets and evaluation."""
