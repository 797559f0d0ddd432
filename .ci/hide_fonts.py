"""Makes matplotlib forget every font that it does not ship itself, by writing its font cache."""

from pathlib import Path

import matplotlib
from matplotlib import font_manager

manager = font_manager.FontManager()
shipped = Path(matplotlib.get_data_path())
manager.ttflist = [font for font in manager.ttflist if shipped in Path(font.fname).parents]
cache = Path(matplotlib.get_cachedir()) / f"fontlist-v{font_manager.FontManager.__version__}.json"
font_manager.json_dump(manager, cache)
