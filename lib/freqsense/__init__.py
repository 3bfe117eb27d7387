"""Measure which spatial frequencies images hold, and which convolutional networks listen to."""

import lazy_loader

__version__ = "0.1.0"

# Each module is imported when it is first used: ``import freqsense`` alone brings no torch.
_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Import a module of this package; an unknown name is told the nearest."""
    if name in __all__:
        return _attribute(name)
    import difflib

    near = difflib.get_close_matches(name, __all__, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AttributeError(f"freqsense has no {name!r}, it has {', '.join(__all__)}{hint}")
