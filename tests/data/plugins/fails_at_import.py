"""Cannot be imported."""

import package_that_nobody_has  # noqa: F401
