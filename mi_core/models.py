"""The networks: classifier (target M_T, shadow M_S) and inverse model M_I of the thesis, and one that judges."""

import copy

import torch
from torch import Tensor, nn

from mi_core.data import CLASSES, SIDE

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_SIZE",
    "HIDDEN",
    "Classifier",
    "EvaluationModel",
    "InverseModel",
    "frozen_for_inference",
]

ACTIVATION_SIZE = 50  # width of A_L, the input of the last linear layer
HIDDEN = ("tanh_dropout", "relu", "tanh", "relu_dropout")  # of the inverse model
ACTIVATIONS = {"None": nn.Identity, "ReLU": nn.ReLU, "Sigmoid": nn.Sigmoid, "GELU": nn.GELU, "SiLU": nn.SiLU}


class Classifier(nn.Module):
    """CNN from images (n, 1, 32, 32) in [0, 1] to logits (n, 10).

    Three blocks of convolution 3x3, batch norm, max pooling, ReLU with 128, 256 and 512 channels; then
    Linear(8192, 50), dropout, an optional activation, Linear(50, 10).

    Args:
        activation: what stands between the two linear layers, a key of ``ACTIVATIONS``. The thesis chose "None".
        dropout: whether half of the 50 activations are dropped in training. The thesis chose True.
    Raises:
        ValueError: unknown ``activation``.
    Source: thesis Figs 1 and 25; Table 1 for the ten heads.
    """

    def __init__(self, *, activation: str = "None", dropout: bool = True) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"`activation` must be one of {', '.join(ACTIVATIONS)}; got {activation!r}")
        self.features = nn.Sequential(*_block(1, 128), *_block(128, 256), *_block(256, 512))
        self.hidden = nn.Linear(512 * (SIDE // 8) ** 2, ACTIVATION_SIZE)
        self.dropout = nn.Dropout(0.5 if dropout else 0.0)
        self.activation = ACTIVATIONS[activation]()
        self.last = nn.Linear(ACTIVATION_SIZE, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        _check_shape(images, (1, SIDE, SIDE))
        hidden = self.hidden(self.features(images).flatten(1))
        return self.last(self.activation(self.dropout(hidden)))


def _check_shape(inputs: Tensor, shape: tuple[int, ...]) -> None:
    if inputs.shape[1:] != shape or not inputs.is_floating_point():
        wanted = ", ".join(map(str, ("n", *shape)))
        raise ValueError(f"the model takes ({wanted}) float; got {tuple(inputs.shape)} {inputs.dtype}")


def _block(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.BatchNorm2d(channels_out),
        nn.MaxPool2d(2),
        nn.ReLU(),
    )


class InverseModel(nn.Module):
    """Transposed CNN from attack inputs (n, c) to images (n, 1, 32, 32) in (0, 1).

    Args:
        inputs: c, the length of the concatenated attack inputs (10 for O, 50 for A_L, 1024 for X~).
        hidden: what follows each hidden layer, one of ``HIDDEN``: "tanh_dropout" (thesis Fig 26 and its code: Tanh and
            dropout 0.3, 0.5, 0.5), "relu" (thesis section 3.2: ReLU, no dropout), "tanh" or "relu_dropout".
        width: channels of the hidden layers as a multiple of the thesis's 512, 256 and 128.
    Raises:
        ValueError: unknown ``hidden``, no inputs, or a width that leaves no channel.
    Source: thesis section 3.2, Figs 2 and 26.
    """

    def __init__(self, inputs: int, *, hidden: str = "tanh_dropout", width: float = 1.0) -> None:
        super().__init__()
        if hidden not in HIDDEN:
            raise ValueError(f"`hidden` must be one of {', '.join(HIDDEN)}; got {hidden!r}")
        if inputs < 1 or width * 128 < 1:
            raise ValueError(
                f"`inputs` must be at least 1 and `width` at least 1/128; got {inputs} inputs and width {width}"
            )
        sizes = [inputs, *(round(width * channels) for channels in (512, 256, 128))]
        layers: list[nn.Module] = []
        steps = zip(sizes, sizes[1:], ((1, 0, 0.3), (2, 1, 0.5), (2, 1, 0.5)), strict=False)
        for channels_in, channels_out, (stride, padding, dropout) in steps:
            layers += [ConvTranspose2d(channels_in, channels_out, 4, stride, padding), nn.BatchNorm2d(channels_out)]
            layers += [nn.Tanh() if hidden.startswith("tanh") else nn.ReLU()]
            layers += [Dropout(dropout)] if hidden.endswith("dropout") else []
        layers += [ConvTranspose2d(sizes[-1], 1, 4, 2, 1), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        _check_shape(inputs, (self.layers[0].in_channels,))
        return self.layers(inputs[:, :, None, None])


class ConvTranspose2d(nn.ConvTranspose2d):
    """``torch.nn.ConvTranspose2d`` as a matrix product where that is faster: for inputs of one pixel, and on a CPU for
    layers of many channels that double the side (kernel 4, stride 2, padding 1).

    The library's own takes up to ten times as long to find the gradient of the weights.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        is_pixel = inputs.shape[2:] == (1, 1) and self.padding == (0, 0)
        doubles = (self.kernel_size, self.stride, self.padding) == ((4, 4), (2, 2), (1, 1))
        if not is_pixel and not (doubles and self.out_channels >= 128 and inputs.device.type == "cpu"):
            return super().forward(inputs)
        count, _, rows, columns = inputs.shape
        _, channels, height, width = self.weight.shape
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # channels last, as training stores it: no copy
        pixels = inputs.permute(0, 2, 3, 1).flatten(0, 2)
        if is_pixel:
            maps = torch.addmm(self.bias.repeat(height * width), pixels, weight)
            return maps.view(-1, height, width, channels).permute(0, 3, 1, 2)
        patches = (pixels @ weight).view(count, rows, columns, height, width, channels)
        return _OverlappingSum.apply(patches) + self.bias[:, None, None].to(patches.dtype)


class _OverlappingSum(torch.autograd.Function):
    """Put patches (n, rows, columns, 4, 4, c), two pixels apart, on maps (n, c, 2 rows, 2 columns) and add them up."""

    @staticmethod
    def forward(context, patches: Tensor) -> Tensor:
        count, rows, columns, _, _, channels = patches.shape
        halves = patches.view(count, rows, columns, 2, 2, 2, 2, channels)  # a patch is 2 x 2 blocks of 2 x 2 pixels
        blocks = patches.new_zeros(count, rows + 1, 2, columns + 1, 2, channels)
        for down in range(2):
            for across in range(2):
                place = blocks[:, down : down + rows, :, across : across + columns]
                place += halves[:, :, :, down, :, across].transpose(2, 3)
        maps = blocks.view(count, 2 * rows + 2, 2 * columns + 2, channels)[:, 1:-1, 1:-1]
        return maps.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient: Tensor) -> Tensor:
        padded = nn.functional.pad(gradient, (1, 1, 1, 1))
        return padded.unfold(2, 4, 2).unfold(3, 4, 2).permute(0, 2, 3, 4, 5, 1)


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` with four draws from each random number on a CPU, where drawing takes most of its time.

    The probability is rounded to a multiple of 2^-16.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or inputs.device.type != "cpu":
            return super().forward(inputs)
        numbers = torch.empty((inputs.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        draws = numbers.view(torch.int16)[: inputs.numel()].as_strided(inputs.shape, inputs.stride())
        kept = draws >= round(self.p * 2**16) - 2**15
        return inputs * (1 / (1 - self.p)) * kept.to(inputs.dtype)


class EvaluationModel(nn.Module):
    """CNN that judges reconstructions: from images (n, 1, 32, 32) in [0, 1] to logits (n, 10).

    Three blocks of convolution 5x5 with stride 2, group norm and SiLU with 24, 48 and 96 channels, then the mean over
    places and a linear layer. None of its parameters has the shape of one of ``Classifier``'s, and it is trained on
    images that neither target nor attacker has, so that what fools or mirrors these need not please it.

    Source: an evaluation model apart from the target is used by Zhang et al. 2020 (accuracy and feature distance).
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in ((1, 24), (24, 48), (48, 96)):
            convolution = nn.Conv2d(channels_in, channels_out, 5, stride=2, padding=2)
            layers += [convolution, nn.GroupNorm(8, channels_out), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(96, CLASSES, bias=False)  # with a bias it would share the shape (10,) with the target

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """What goes into the last layer, (n, 96)."""
        _check_shape(images, (1, SIDE, SIDE))
        return self.layers(images).mean((2, 3))


def frozen_for_inference(classifier: Classifier, *, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a copy of ``classifier`` for repeated use with fixed weights.

    Evaluation mode, no weight gradients, batch norm folded into the convolutions, channels-last. Gives the same
    logits up to rounding; gradients with respect to the images remain available.

    Args:
        classifier: a trained classifier; it is not changed.
        dtype: precision of the copy's weights; it takes images of that dtype.
    """
    frozen = copy.deepcopy(classifier).eval()
    layers = list(frozen.features)
    folded: list[nn.Module] = []
    for block in range(0, len(layers), 4):
        convolution, norm, pool, relu = layers[block : block + 4]
        folded += [nn.utils.fusion.fuse_conv_bn_eval(convolution, norm), pool, relu]
    frozen.features, frozen.dropout = nn.Sequential(*folded), nn.Identity()
    return frozen.to(dtype=dtype, memory_format=torch.channels_last).requires_grad_(False)
