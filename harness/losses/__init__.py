"""Loss families: what each is (torch-free), its oracle, and the budget that an answer is held to."""
