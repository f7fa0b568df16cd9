#!/usr/bin/env python3
"""Record what torch.nn.utils.prune decides: masks, and the random numbers behind them.

Writes fixtures.safetensors to --out. README.md beside this script says what lies in it.

Each step of a case is also worked out here a second time, from the rules in the README: the script
stops if PyTorch's mask differs, or if a case meant to be free of ties has one at the border.
"""

import argparse
import contextlib
import json
import math
import struct
import zlib
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn
from torch.nn.utils import prune

GAP = 1e-5  # relative gap between two norms that counts as no tie
INF = float("inf")


def write_safetensors(path, tensors, metadata=None):
    """Write tensors with the metadata sorted: `save` alone orders it at random."""
    data = save(tensors, metadata)
    end = 8 + struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:end])
    if metadata:
        header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(end - 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[end:])


def pack(mask):
    """One bit per weight, row-major, least significant bit first."""
    bits = np.packbits(mask.flatten().numpy() != 0, bitorder="little")
    return torch.from_numpy(bits)


class Layer(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def mask(self):
        """The mask so far, as booleans."""
        return getattr(self, "weight_mask", torch.ones_like(self.weight)).detach() == 1


# Steps and cases.


def amount(value):
    return {"fraction": value} if isinstance(value, float) else {"count": value}


def l1(value, **more):
    return {"criterion": "l1_unstructured", "amount": amount(value), **more}


def rand(value, **more):
    return {"criterion": "random_unstructured", "amount": amount(value), **more}


def ln(value, n, dim, **more):
    return {"criterion": "ln_structured", "amount": amount(value), "n": n, "dim": dim, **more}


def rand_rows(value, dim, **more):
    return {"criterion": "random_structured", "amount": amount(value), "dim": dim, **more}


def custom(**more):
    return {"criterion": "custom", **more}


def global_l1(value):
    return {"criterion": "global_l1", "amount": amount(value)}


def label(value):
    """A fraction or a count in a case's name: f0_3, c1000."""
    kind = "f" if isinstance(value, float) else "c"
    return kind + str(value).replace(".", "_")


def norm_label(n):
    return {INF: "inf", -INF: "minf"}.get(n, str(n))


def own_weights():
    """Weights of our own: the tutorial's LeNet at its initial values, and small tensors."""
    torch.manual_seed(1)
    lenet = {
        "conv1": nn.Conv2d(1, 6, 5),
        "conv2": nn.Conv2d(6, 16, 5),
        "fc1": nn.Linear(16 * 5 * 5, 120),
        "fc2": nn.Linear(120, 84),
        "fc3": nn.Linear(84, 10),
    }
    weights = {f"lenet.{name}": layer.weight.detach().clone() for name, layer in lenet.items()}

    def uniform(*shape):
        return torch.rand(shape) * 2 - 1

    for name, shape in [("five", (5,)), ("seven", (7,)), ("ten", (10,)), ("fifty", (50,)),
                        ("hundred", (100,)), ("rows5", (5, 4)), ("rows7", (7, 4)),
                        ("cube", (4, 5, 6))]:
        weights[name] = uniform(*shape)

    weights["eighths"] = torch.round(uniform(16, 24) * 8) / 8  # many ties
    weights["equal"] = torch.full((6, 8), 0.25)
    signs = torch.where(torch.rand(6, 8) < 0.5, -1.0, 1.0)
    weights["signs"] = weights["equal"] * signs  # equal up to the sign

    zeros = uniform(8, 6)  # six zeros, three of them negative
    zeros.view(-1)[torch.tensor([3, 17, 40])] = 0.0
    zeros.view(-1)[torch.tensor([4, 22, 47])] = -0.0
    weights["zeros"] = zeros

    block = uniform(6, 5) + torch.where(torch.rand(6, 5) < 0.5, -2.0, 2.0)
    block[2] *= 0.01  # l1 empties this row first,
    block[:, 3] *= 0.1  # then this column
    weights["block"] = block
    return weights


def all_cases():
    """(name, weights, steps, free of ties) for every case."""
    cases = []

    def case(name, weights, steps, distinct=True):
        if isinstance(weights, str):
            weights = [weights]
        cases.append((name, weights, steps, distinct))

    model = {name: f"model:{name}.weight" for name in ["conv1", "conv2", "fc1", "fc2"]}
    lenet = [f"own:lenet.{name}" for name in ["conv1", "conv2", "fc1", "fc2", "fc3"]]

    # L1.
    for layer, values in {
        "conv1": [0.0, 0.3, 0.5, 0.9, 1.0, 3, 288],
        "conv2": [0.0, 0.3, 0.5, 0.9, 1.0, 3, 1000],
        "fc1": [0.3, 0.5, 0.9, 3, 1000],
        "fc2": [0.0, 0.3, 0.5, 0.9, 1.0, 0, 1, 3, 1000],
    }.items():
        for value in values:
            case(f"l1-{layer}-{label(value)}", model[layer], [l1(value)])
    # Fractions: the product is a double, rounded half to even.
    for name, values in {
        "five": [0.1, 0.3, 0.5, 0.7, 0.9],  # 0.5, 1.5, 2.5, 3.5, 4.5
        "seven": [0.5],  # 3.5
        "ten": [0.05, 0.25, 0.35, 0.45],  # 0.5, 2.5, 3.5, 4.5
        "fifty": [0.59, 0.29, 0.57],  # 29.5; just below 14.5 and 28.5
        "hundred": [0.295, 0.545, 0.575],  # 29.5; just above 54.5, just below 57.5
    }.items():
        for value in values:
            case(f"l1-{name}-{label(value)}", f"own:{name}", [l1(value)])

    # Random, weight by weight.
    for layer, values in {"conv1": [0.0, 0.3, 0.5, 1.0, 1, 100], "conv2": [0.3],
                          "fc2": [0.5, 0.9, 1000]}.items():
        for value in values:
            case(f"random-{layer}-{label(value)}", model[layer], [rand(value)])

    # Norms of slices.
    norms = [1, 2, 3, INF, -INF]
    near = "ln-conv2-n1-dimm1-c1"  # two slices of the trained weights have all but equal norms
    for layer, dims in {
        "conv1": {0: [0.5, 5], 2: [1], -1: [0.5]},
        "conv2": {0: [0.3, 7], 1: [0.5, 5], 2: [0.5, 1], -1: [0.5, 1]},
        "fc1": {0: [0.3], 1: [100]},
        "fc2": {0: [0.3, 4], 1: [0.5, 11]},
    }.items():
        for dim, values in dims.items():
            for n in norms:
                for value in values:
                    name = f"ln-{layer}-n{norm_label(n)}-dim{dim}-{label(value)}".replace("dim-", "dimm")
                    case(name, model[layer], [ln(value, n, dim)], name != near)
    for n in norms:
        for value in [0.0, 1.0, 0, 10]:
            case(f"ln-fc2-n{norm_label(n)}-dim0-{label(value)}", model["fc2"], [ln(value, n, 0)])
        for name in ["rows5", "rows7"]:  # 2.5 and 3.5
            case(f"ln-{name}-n{norm_label(n)}-dim0-f0_5", f"own:{name}", [ln(0.5, n, 0)])
        for dim in range(3):
            case(f"ln-cube-n{norm_label(n)}-dim{dim}-c2", "own:cube", [ln(2, n, dim)])
    case("ln-conv1-n2-dim1-f0_5", model["conv1"], [ln(0.5, 2, 1)])  # 0.5 of one slice: none
    case("ln-conv1-n2-dim1-c1", model["conv1"], [ln(1, 2, 1)])

    # Random slices.
    for layer, dims in {
        "conv1": {0: [0.5, 3], -1: [1]},
        "conv2": {0: [0.3, 7], 1: [0.5, 5]},
        "fc2": {0: [0.0, 0.3, 1.0, 4], 1: [0.5, 11]},
    }.items():
        for dim, values in dims.items():
            for value in values:
                name = f"randrows-{layer}-dim{dim}-{label(value)}"
                case(name.replace("dim-", "dimm"), model[layer], [rand_rows(value, dim)])
    case("randrows-rows5-dim0-f0_5", "own:rows5", [rand_rows(0.5, 0)])
    case("randrows-rows7-dim0-f0_5", "own:rows7", [rand_rows(0.5, 0)])

    # A given mask.
    case("custom-conv2", model["conv2"], [custom()])
    case("custom-fc2", model["fc2"], [custom()])
    case("custom-custom-fc2", model["fc2"], [custom(), custom()])

    # One after the other.
    for layer in model:
        case(f"l1-l1-{layer}", model[layer], [l1(0.3), l1(0.5)])
    for layer in ["conv1", "conv2", "fc2"]:
        case(f"l1count-l1-{layer}", model[layer], [l1(100), l1(0.5)])
        case(f"l1-l1count-{layer}", model[layer], [l1(0.3), l1(100)])
        case(f"custom-l1-{layer}", model[layer], [custom(), l1(0.3)])
        case(f"custom-ln-{layer}", model[layer], [custom(), ln(0.5, 2, 0)])
        case(f"l1-custom-{layer}", model[layer], [l1(0.3), custom()])
        for n in [1, 2, 3, INF]:
            case(f"l1-ln-{layer}-n{norm_label(n)}", model[layer], [l1(0.3), ln(0.5, n, 0)])
            case(f"ln-ln-{layer}-n{norm_label(n)}-same", model[layer],
                 [ln(0.3, n, 0), ln(0.5, n, 0)])
        case(f"ln-l1-{layer}", model[layer], [ln(0.3, 2, 0), l1(0.5)])
        case(f"ln-ln-{layer}-nminf-same", model[layer], [ln(0.3, -INF, 0), ln(0.5, -INF, 0)])
    for layer in ["conv2", "fc2"]:
        for n in [1, 2, 3, INF]:
            case(f"ln-ln-{layer}-n{norm_label(n)}-dims", model[layer],
                 [ln(0.3, n, 0), ln(0.5, n, 1)])
        # The pruned rows count in the columns' norms: all zero.
        case(f"ln-ln-{layer}-nminf-dims", model[layer], [ln(0.3, -INF, 0), ln(0.5, -INF, 1)],
             distinct=False)
    case("l1-l1-l1-fc2", model["fc2"], [l1(0.2), l1(0.2), l1(0.2)])
    case("l1-l1-ten", "own:ten", [l1(0.3), l1(0.5)])  # half of seven: 3.5
    case("l1-l1-five", "own:five", [l1(2), l1(0.5)])  # half of three: 1.5
    case("l1-all-l1-fc2", model["fc2"], [l1(1.0), l1(0.5)])  # nothing left
    case("ln-all-ln-fc2", model["fc2"], [ln(1.0, 2, 0), ln(0.5, 2, 0)])
    case("l1-zero-l1-fc2", model["fc2"], [l1(0), l1(0.5)])
    case("ln-ln-ln-conv2", model["conv2"], [ln(0.3, 2, 0), ln(0.3, 2, 1), ln(1, 2, 2)])
    case("ln-ln-conv2-m1", model["conv2"], [ln(1, 2, -1), ln(0.5, 2, -1)])  # half of two slices
    case("random-l1-conv1", model["conv1"], [rand(0.3), l1(0.5)])
    case("random-l1-fc2", model["fc2"], [rand(0.3), l1(0.5)])
    case("random-random-fc2", model["fc2"], [rand(0.3), rand(0.5)])
    case("l1-random-fc2", model["fc2"], [l1(0.3), rand(300)])
    case("random-ln-fc2", model["fc2"], [rand(0.3), ln(0.5, 2, 0)])
    case("randrows-l1-fc2", model["fc2"], [rand_rows(0.3, 0), l1(0.5)])
    case("randrows-randrows-fc2-same", model["fc2"], [rand_rows(0.3, 1), rand_rows(0.5, 1)])
    case("randrows-randrows-conv2-dims", model["conv2"], [rand_rows(0.3, 0), rand_rows(0.5, 1)])
    case("ln-randrows-conv2", model["conv2"], [ln(0.3, 2, 0), rand_rows(0.5, 0)])
    # L1 empties whole slices: these no longer count.
    case("l1-ln-conv1-emptied", model["conv1"], [l1(0.9), ln(0.5, 2, 0)])
    case("l1-randrows-conv1-emptied", model["conv1"], [l1(0.9), rand_rows(0.5, 0)])
    case("l1-ln-block-dim0", "own:block", [l1(5), ln(2, 1, 0)])
    case("l1-ln-block-dim1", "own:block", [l1(10), ln(2, 1, 1)])
    case("l1-ln-block-both", "own:block", [l1(10), ln(2, 2, 0), ln(2, 2, 1)])
    # A slice with a pruned weight has a least absolute value of zero.
    case("l1-ln-fc2-nminf", model["fc2"], [l1(0.3), ln(0.5, -INF, 0)], distinct=False)

    # Global.
    for value in [0.0, 0.2, 0.5, 1.0, 10000]:
        case(f"global-lenet-{label(value)}", lenet, [global_l1(value)])
    case("global-global-lenet", lenet, [global_l1(0.3), global_l1(0.5)])
    case("globalcount-global-lenet", lenet, [global_l1(10000), global_l1(0.3)])
    case("l1-global-lenet", lenet, [l1(0.6, tensor=2), global_l1(0.3)])
    case("mixed-global-lenet", lenet,
         [rand(0.3, tensor=0), custom(tensor=1), ln(0.2, 2, 0, tensor=3),
          rand_rows(0.2, 1, tensor=4), global_l1(0.4)])
    case("global-l1-lenet", lenet, [global_l1(0.3), l1(0.5, tensor=2)])
    case("global-ln-lenet", lenet, [global_l1(0.3), ln(0.5, 2, 0, tensor=3)])
    case("global-model", list(model.values()), [global_l1(0.8)])
    case("global-small", ["own:five", "own:rows5", "own:cube"], [global_l1(0.5)])  # 72.5
    case("global-one", model["fc2"], [global_l1(0.3)])

    # Ties.
    case("l1-eighths-f0_5", "own:eighths", [l1(0.5)], distinct=False)
    case("l1-l1-eighths", "own:eighths", [l1(0.3), l1(0.5)], distinct=False)
    case("ln-eighths-ninf-dim0-f0_5", "own:eighths", [ln(0.5, INF, 0)], distinct=False)
    case("global-eighths-f0_5", ["own:eighths", "own:equal"], [global_l1(0.5)], distinct=False)
    for name in ["equal", "signs"]:
        for value in [0.5, 5]:
            case(f"l1-{name}-{label(value)}", f"own:{name}", [l1(value)], distinct=False)
        case(f"l1-{name}-f0_0", f"own:{name}", [l1(0.0)])
        case(f"l1-{name}-f1_0", f"own:{name}", [l1(1.0)])
        for n in norms:
            case(f"ln-{name}-n{norm_label(n)}-dim0-f0_5", f"own:{name}", [ln(0.5, n, 0)],
                 distinct=False)
    case("l1-zeros-c3", "own:zeros", [l1(3)], distinct=False)
    case("l1-zeros-c6", "own:zeros", [l1(6)])  # the zeros of both signs, no other
    case("l1-zeros-f0_5", "own:zeros", [l1(0.5)])
    case("l1-l1-zeros-c6", "own:zeros", [l1(6), l1(6)])
    case("ln-zeros-nminf-dim0-c2", "own:zeros", [ln(2, -INF, 0)], distinct=False)
    case("ln-zeros-n2-dim0-c2", "own:zeros", [ln(2, 2, 0)])
    return cases


# Running a case.


@contextlib.contextmanager
def recorded():
    """Collect what torch.rand and torch.rand_like return."""
    drawn = []

    def wrap(function):
        def wrapper(*args, **kwargs):
            result = function(*args, **kwargs)
            drawn.append(result.detach().clone().flatten())
            return result

        return wrapper

    with mock.patch("torch.rand", wrap(torch.rand)), \
            mock.patch("torch.rand_like", wrap(torch.rand_like)):
        yield drawn


def number_to_prune(step, left):
    value = step["amount"]
    return value["count"] if "count" in value else round(value["fraction"] * left)


def border(values, count, gap):
    """Whether no tie separates the `count` least values from the rest; the last one pruned."""
    values = values.double().sort().values
    last = values[count - 1].item() if count > 0 else None
    if not 0 < count < len(values):
        return True, last
    first = values[count].item()
    return first > last and first - last > gap * abs(first), last


def norms(weight, n, dims):
    """Norms in double precision, written out."""
    size = weight.double().abs()
    if n == INF:
        return size.amax(dims)
    if n == -INF:
        return size.amin(dims)
    return size.pow(n).sum(dims).pow(1 / n)


def run_step(step, layers, seed):
    """Prune with PyTorch, check its mask against the rules; returns what there is to store."""
    criterion = step["criterion"]
    whole = criterion == "global_l1"
    chosen = layers if whole else [layers[step.get("tensor", 0)]]
    assert whole or len(layers) == 1 or "tensor" in step
    before = [layer.mask() for layer in chosen]
    weights = [layer.weight.detach().clone() for layer in chosen]
    torch.manual_seed(seed)

    if criterion == "custom":
        mask = torch.rand(weights[0].shape) > 0.4
        prune.custom_from_mask(chosen[0], "weight", mask)
        assert torch.equal(chosen[0].mask(), before[0] & mask)
        return {"custom": pack(mask)}, True, None

    # PyTorch decides.
    value = next(iter(step["amount"].values()))
    with recorded() as drawn:
        if criterion == "l1_unstructured":
            prune.l1_unstructured(chosen[0], "weight", value)
        elif criterion == "random_unstructured":
            prune.random_unstructured(chosen[0], "weight", value)
        elif criterion == "ln_structured":
            prune.ln_structured(chosen[0], "weight", value, n=step["n"], dim=step["dim"])
        elif criterion == "random_structured":
            prune.random_structured(chosen[0], "weight", value, dim=step["dim"])
        else:
            prune.global_unstructured([(layer, "weight") for layer in chosen],
                                      prune.L1Unstructured, amount=value)
    store = {"scores": drawn[0]} if drawn else {}
    assert len(drawn) <= 1
    after = torch.cat([layer.mask().flatten() for layer in chosen])

    # The same by the rules: `units` may go, those with the least `values` do.
    threshold = None
    kept = torch.cat([mask.flatten() for mask in before])
    flat = torch.cat([weight.flatten() for weight in weights])
    if "dim" in step:
        rank = weights[0].dim()
        dim = step["dim"] % rank
        dims = [d for d in range(rank) if d != dim]
        units = before[0].sum(dims).nonzero().flatten()
    else:
        units = kept.nonzero().flatten()
    count = number_to_prune(step, len(units))
    assert len(drawn) == (criterion.startswith("random") and count > 0)
    if criterion in ("l1_unstructured", "global_l1"):
        values = flat[units].abs()
        distinct, threshold = border(values, count, 0)
    elif criterion == "ln_structured":
        values = norms(weights[0], step["n"], dims)[units]
        distinct, _ = border(values, count, GAP)
        if len(units):
            single = prune._compute_norm(weights[0].index_select(dim, units), step["n"], dim)
            distinct = distinct and border(single, count, GAP)[0]
    elif count == 0:
        return store, True, None
    else:
        values = -drawn[0] if criterion == "random_unstructured" else drawn[0]
        assert len(values) == len(units)
        distinct, _ = border(values, count, 0)

    gone = units[values.sort(stable=True).indices[:count]]
    expected = kept.clone()
    if "dim" in step:
        expected = expected.view(before[0].shape)
        expected.index_fill_(dim, gone, False)
        expected = expected.flatten()
    else:
        expected[gone] = False
    if distinct:
        assert torch.equal(after, expected), criterion
    elif "dim" not in step:
        assert after.sum() == expected.sum()
        # Among equals another may go.
        assert torch.equal(flat[after].abs().sort().values, flat[expected].abs().sort().values)
    return store, distinct, threshold


def run_case(name, weights, steps, tensors):
    """Returns the case's entry in the list and the tensors to store with it."""
    layers = [Layer(weight) for weight in weights]
    seed = zlib.crc32(name.encode())
    stored, every_distinct, threshold = {}, True, None
    for index, step in enumerate(steps):
        store, distinct, threshold = run_step(step, layers, seed + index)
        every_distinct = every_distinct and distinct
        for kind, tensor in store.items():
            stored[f"{kind}.{name}.{index}"] = tensor
    pruned = []
    for index, (layer, weight) in enumerate(zip(layers, weights)):
        mask = layer.weight_mask.clone() if prune.is_pruned(layer) else torch.ones_like(weight)
        assert ((mask == 0) | (mask == 1)).all()
        pruned.append(int((mask == 0).sum()))
        stored[f"mask.{name}.{index}"] = pack(mask)
        if prune.is_pruned(layer):
            prune.remove(layer, "weight")
        # Bit for bit: a pruned negative weight becomes a negative zero.
        result, masked = layer.weight.detach(), weight * mask
        assert torch.equal(result.view(torch.int32), masked.view(torch.int32))
        assert not prune.is_pruned(layer) and not hasattr(layer, "weight_mask")
    tensors.update(stored)
    return every_distinct, pruned, threshold


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Record what torch.nn.utils.prune decides.")
    parser.add_argument("--out", type=Path, default=here,
                        help="folder to write to (default: the script's)")
    parser.add_argument("--model", type=Path, default=here / "../fashion-mnist/model.safetensors",
                        help="trained weights (default: ../fashion-mnist/model.safetensors)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    own = own_weights()
    known = {f"model:{name}": weight for name, weight in load_file(args.model).items()}
    known.update({f"own:{name}": weight for name, weight in own.items()})
    tensors = {f"weight.{name}": weight.contiguous() for name, weight in own.items()}

    entries, names, wrong = [], set(), []
    for name, weights, steps, expected in all_cases():
        assert name not in names, name
        names.add(name)
        with torch.random.fork_rng(devices=[]):
            distinct, pruned, threshold = run_case(
                name, [known[weight] for weight in weights], steps, tensors)
        if distinct != expected:
            wrong.append(f"{name}: distinct is {distinct}")
        for step in steps:
            if "n" in step and math.isinf(step["n"]):
                step["n"] = "inf" if step["n"] > 0 else "-inf"
        entries.append({"name": name, "weights": weights, "distinct": distinct, "steps": steps,
                        "pruned": pruned, "threshold": threshold})
    if wrong:
        raise SystemExit("\n".join(wrong))

    metadata = {
        "cases": json.dumps(entries, separators=(",", ":"), allow_nan=False),
        "torch": torch.__version__.split("+")[0],
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "fixtures.safetensors"
    write_safetensors(path, tensors, metadata)
    print(f"{len(entries)} cases, {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
