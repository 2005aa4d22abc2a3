"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no mistake of ours.  In CI hypothesis has a profile of its own: this one begins as that.
settings.register_profile("hapair", parent=settings(), deadline=None)
settings.load_profile("hapair")
