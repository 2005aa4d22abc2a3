"""Fixtures of the rules' tests."""

from __future__ import annotations

import pytest
from rules.test_samples import request as a_request


@pytest.fixture
def facts():
    """Some request."""
    return a_request()
