"""Suite files under pytest: items, their judging and timing by the ordinary runner, and what a failure tells.

``bench`` judges and times on demand; ``collect`` makes items; ``items`` are their kinds; ``replay`` hands measured
samples to pytest-benchmark; ``gate`` holds a timing against a stored run; ``telling`` words failures.
"""
