"""Statistics of interleaved timing: order-statistic intervals, verdicts, detectable slowdowns. No torch."""
