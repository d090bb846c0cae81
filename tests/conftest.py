"""One hypothesis profile for all tests: the same examples every time, and no deadline on shared machines."""

from hypothesis import settings

settings.register_profile("viad", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("viad")
