"""Where the models, pictures and sounds lie: beside the code in a clone, within it in a wheel."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
_PACKED = Path(__file__).parent / "data"
DATA = _PACKED if _PACKED.is_dir() else ROOT / "data"
MODELS = DATA / "models"
