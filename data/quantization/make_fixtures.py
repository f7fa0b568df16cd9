#!/usr/bin/env python3
"""Record what PyTorch's affine quantization makes of numbers: values, scales, zero points.

Writes fixtures.safetensors to --out. README.md beside this script says what lies in it.

Each case is also worked out here a second time, from the rules in the README: the script stops if
PyTorch's values differ.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

RANGES = {torch.qint8: (-128, 127), torch.quint8: (0, 255)}
NAMES = {torch.qint8: "qint8", torch.quint8: "quint8"}


def write_safetensors(path, tensors, metadata):
    """Write tensors with the metadata sorted: `save` alone orders it at random."""
    data = save(tensors, metadata)
    end = 8 + struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(end - 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[end:])


def along(values, axis, rank):
    """Per-channel numbers, shaped to broadcast."""
    return values if axis is None else values.reshape([-1 if d == axis else 1 for d in range(rank)])


def quantized(x, scales, zeros, axis, dtype, product):
    """The values by the rules: by the product with 1 / scale as PyTorch has it, or by the quotient."""
    x, scales = x.numpy(), along(scales.numpy(), axis, x.dim())
    ratio = x * (np.float32(1) / scales) if product else x / scales
    assert ratio.dtype == np.float32
    low, high = RANGES[dtype]
    return np.clip(np.rint(ratio) + along(zeros.numpy(), axis, x.ndim), low, high).astype(np.int64)


def numbers(shape, generator, kind, scales, axis):
    """Random numbers; ties at half a step; beside ties; numbers far beyond the range."""
    if kind == "random":
        return torch.randn(shape, generator=generator)
    steps = torch.randint(-300, 300, shape, generator=generator).float()
    if kind in ("ties", "beside"):
        steps += 0.5
    else:
        steps *= 2.0 ** torch.randint(0, 30, shape, generator=generator).float()
    return steps * along(scales, axis, len(shape))


def cases():
    for dtype in RANGES:
        for axis in (None, 0, 1):
            for kind in ("random", "ties", "beside", "beyond"):
                yield dtype, axis, kind


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    tensors, listed = {}, []
    for seed, (dtype, axis, kind) in enumerate(cases()):
        generator = torch.Generator().manual_seed(seed)
        shape = [8, 15, 9] if axis == 1 else [24, 43]
        low, high = RANGES[dtype]
        symmetric = kind == "beyond"
        if kind == "random":
            # The scales and zero points of the range, as PyTorch's observers find them.
            x = numbers(shape, generator, kind, None, axis)
            scheme = torch.per_tensor_affine if axis is None else torch.per_channel_affine
            observer = (MinMaxObserver(dtype, scheme) if axis is None
                        else PerChannelMinMaxObserver(axis, dtype, scheme))
            observer(x)
            scales, zeros = observer.calculate_qparams()
            scales, zeros = scales.float(), zeros.long()
        else:
            # Powers of two: products and quotients are the same, and ties are ties.
            count = 1 if axis is None else shape[axis]
            scales = 2.0 ** torch.randint(-8, 3, [count], generator=generator).float()
            if kind == "beside":
                # Any scales: here the two roundings may part.
                scales *= 1 + torch.rand([count], generator=generator)
            zeros = torch.randint(low, high + 1, [count], generator=generator)
            zeros = torch.zeros_like(zeros) if symmetric else zeros
            x = numbers(shape, generator, kind, scales, axis)
        if axis is None:
            q = torch.quantize_per_tensor(x, scales.item(), zeros.item(), dtype)
            fake = torch.fake_quantize_per_tensor_affine(x, scales.item(), zeros.item(), low, high)
        else:
            q = torch.quantize_per_channel(x, scales.double(), zeros, axis, dtype)
            fake = torch.fake_quantize_per_channel_affine(x, scales, zeros.int(), axis, low, high)
        values = q.int_repr()
        mine = quantized(x, scales, zeros, axis, dtype, True)
        assert np.array_equal(values.numpy(), mine), (dtype, axis, kind)
        assert torch.equal(fake, q.dequantize()), (dtype, axis, kind)
        differs = int((mine != quantized(x, scales, zeros, axis, dtype, False)).sum())
        assert differs == 0 or kind in ("random", "beside")
        name = f"{NAMES[dtype]}.{'tensor' if axis is None else f'axis{axis}'}.{kind}"
        tensors[f"{name}.x"] = x.contiguous()
        tensors[f"{name}.values"] = values.contiguous()
        tensors[f"{name}.numbers"] = q.dequantize().contiguous()
        tensors[f"{name}.scales"] = scales.contiguous()
        tensors[f"{name}.zeros"] = zeros.to(torch.int32).contiguous()
        listed.append({"name": name, "dtype": NAMES[dtype], "axis": axis, "observed": kind == "random",
                       "symmetric": symmetric, "differs": differs})
    metadata = {"torch": torch.__version__.split("+")[0], "cases": json.dumps(listed)}
    write_safetensors(out / "fixtures.safetensors", tensors, metadata)
    for case in listed:
        print(case)


if __name__ == "__main__":
    main()
