import pytest


@pytest.fixture(scope="module", autouse=True)
def _plain_reports(plain_reports):
    pass
