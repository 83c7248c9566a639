"""Looking for failures: cells drawn and shrunk (``fuzz``), and standalone scripts that show one (``repro``)."""
