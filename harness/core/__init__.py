"""Frozen nouns shared by every layer; standard library only."""
