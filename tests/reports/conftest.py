import pytest

from ar3d_keras.reports import fonts


@pytest.fixture(autouse=True)
def only_dejavu(monkeypatch):
    """As on a machine without any font but those that matplotlib ships; no test depends on others."""
    from matplotlib import font_manager

    def forget():
        for cached in (fonts._family, fonts._installed, fonts._files):
            cached.cache_clear()

    shipped = [f for f in font_manager.fontManager.ttflist if "mpl-data" in str(f.fname)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", shipped)
    forget()
    yield
    forget()
