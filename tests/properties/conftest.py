"""Few examples, the same each time, unless `HYPOTHESIS_PROFILE=thorough` asks for many new ones."""

import os

from hypothesis import HealthCheck, settings

_UNHURRIED = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("few", derandomize=True, database=None, max_examples=30, **_UNHURRIED)
settings.register_profile("thorough", max_examples=500, print_blob=True, **_UNHURRIED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))
