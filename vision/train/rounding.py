"""Training that knows of int8: layers compute with weights and inputs rounded as quantisation will round them, so that
what is learnt survives it (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"). Gradients pass the rounding as if it were not there; weights stay float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SLOW = 0.99                             # decay of the range of a layer's inputs


class Range:
    """Between which values a layer's inputs lay lately. A copy of the network shares it."""

    def __init__(self) -> None:
        self.ends: Tensor | None = None  # (2,) the lowest, at most 0, and the highest, at least 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @torch.no_grad()
    def see(self, x: Tensor) -> None:
        """Take inputs in."""
        seen = torch.stack([x.amin().clamp(max=0.0), x.amax().clamp(min=0.0)])
        self.ends = seen if self.ends is None else self.ends.to(seen.device).lerp(seen, 1 - _SLOW)

    def rounded(self, x: Tensor) -> Tensor:
        """Inputs in 255 steps of the range; as they are while nothing was seen."""
        if self.ends is None:
            return x
        low, high = self.ends.to(x.device)
        scale = ((high - low) / 255).clamp(min=1e-8)
        return torch.fake_quantize_per_tensor_affine(x, scale, (-low / scale).round().int(), 0, 255)


def rounded_weight(weight: Tensor, axis: int) -> Tensor:
    """Weights in 254 steps, symmetric around 0, with a scale for each place of `axis`, the outputs'."""
    others = [i for i in range(weight.ndim) if i != axis]
    scale = (weight.detach().abs().amax(others) / 127).clamp(min=1e-8)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, axis, -127, 127)


class _Rounded(nn.Module):
    range: Range

    def rounded_input(self, x: Tensor) -> Tensor:
        x = x.float()
        if self.training:
            self.range.see(x)
        return self.range.rounded(x)


class RoundedConv2d(_Rounded, nn.Conv2d):
    """A convolution that rounds."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        of: Tensor = super()._conv_forward(self.rounded_input(input), rounded_weight(weight, 0), bias)
        return of


class RoundedConvTranspose2d(_Rounded, nn.ConvTranspose2d):
    """A transposed convolution that rounds."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As PyTorch's."""
        sides: list[Any] = [self.stride, self.padding, self.kernel_size, self.dilation]
        stride, padding, kernel, dilation = map(list[int], sides)
        more = self._output_padding(input, output_size, stride, padding, kernel, 2, dilation)
        return F.conv_transpose2d(
            self.rounded_input(input), rounded_weight(self.weight, 1), self.bias, stride, padding, more, self.groups,
            dilation)


class RoundedLinear(_Rounded, nn.Linear):
    """A dense layer that rounds."""

    def forward(self, input: Tensor) -> Tensor:
        """As PyTorch's."""
        return F.linear(self.rounded_input(input), rounded_weight(self.weight, 0), self.bias)


_ROUNDED: dict[type[nn.Module], type[_Rounded]] = {
    nn.Conv2d: RoundedConv2d, nn.ConvTranspose2d: RoundedConvTranspose2d, nn.Linear: RoundedLinear,
}


def round_layers(net: nn.Module) -> int:
    """Have the convolutions and dense layers of `net` round, in place; its parameters and their names stay as they are.
    Returns how many such layers there are."""
    layers = [layer for layer in net.modules() if type(layer) in _ROUNDED]
    for layer in layers:
        layer.__class__ = _ROUNDED[type(layer)]
        layer.__dict__["range"] = Range()
    return len(layers)


def ranges(net: nn.Module) -> dict[str, Tensor]:
    """The range of each layer that rounds and has seen something, (2,) by the layer's name."""
    return {name: layer.range.ends for name, layer in net.named_modules()
            if isinstance(layer, _Rounded) and layer.range.ends is not None}


def restore_ranges(net: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Go on from `ranges` of the same network."""
    for name, layer in net.named_modules():
        if isinstance(layer, _Rounded) and name in kept:
            layer.range.ends = kept[name]
