"""Run notebooks with parameters: strictly checked before, honestly recorded after."""

from helpers.runs.metrics import record

__all__ = ["record"]
