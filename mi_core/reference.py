"""The inverse model from PyTorch's own layers alone; tests hold the fast one against it."""

from torch import nn

from mi_core.models import InverseModel

__all__ = ["plain_inverse_model"]


def plain_inverse_model(inputs: int, *, hidden: str = "tanh_dropout") -> nn.Module:
    """The layers of ``InverseModel``, all PyTorch's own, initialised anew; takes (n, inputs)."""
    layers = [_plain(layer) for layer in InverseModel(inputs, hidden=hidden).layers]
    return nn.Sequential(nn.Unflatten(1, (inputs, 1, 1)), *layers)


def _plain(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.ConvTranspose2d):
        return nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, layer.stride, layer.padding)
    return nn.Dropout(layer.p) if isinstance(layer, nn.Dropout) else layer
