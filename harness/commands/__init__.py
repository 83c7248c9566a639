"""What each command does; ``harness.cli`` only reads the command line for them."""
