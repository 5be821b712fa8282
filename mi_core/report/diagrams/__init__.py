"""Diagrams of the networks and of the attack, drawn with Matplotlib alone. Coordinates are inches."""

from mi_core.report.diagrams.networks import layer_blocks, layer_table
from mi_core.report.diagrams.workflows import workflow

__all__ = ["layer_blocks", "layer_table", "workflow"]
