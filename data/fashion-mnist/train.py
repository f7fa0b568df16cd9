#!/usr/bin/env python3
"""Train a small CNN on Fashion-MNIST and export its weights and reference logits.

Writes to --out:
  model.safetensors        the trained weights, float32
  logits.safetensors       PyTorch's logits for the first 1,000 test images
  t10k-images-idx3-ubyte   the first 1,000 test images, uncompressed IDX
  t10k-labels-idx1-ubyte   the first 1,000 test labels, uncompressed IDX
  train-images-idx3-ubyte  the first 500 training images, uncompressed IDX

The number of epochs is fixed in advance and the last weights are kept. Weights decay by
ten times PyTorch's default: those that do little end near 0, so that pruning half of
them by magnitude changes next to nothing (README.md has the figures).
"""

import argparse
import gzip
import json
import struct
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import nn

MEAN, STD = 0.2860, 0.3530  # of the training pixels, scaled to [0, 1]
DECAY = 0.1  # of weights, in each step times the rate: pruning takes those that end near 0
SUBSET = 1000  # test images exported, from the start of the test set
CALIBRATION = 500  # training images exported, from the start of the training set


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(64 * 5 * 5, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):  # shapes per image
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # 1x28x28 -> 32x13x13
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # -> 64x5x5
        x = F.dropout(x.flatten(1), 0.25, self.training)
        x = F.dropout(F.relu(self.fc1(x)), 0.25, self.training)
        return self.fc2(x)


def read_idx(path):
    """Read a gzipped IDX file of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    zero, kind, ndim = struct.unpack_from(">HBB", data)
    if zero != 0 or kind != 0x08:
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    shape = struct.unpack_from(f">{ndim}I", data, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def write_idx(path, array):
    """Write an uncompressed IDX file of unsigned bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_safetensors(path, tensors, metadata=None):
    """Write tensors with the metadata sorted: `save` alone orders it at random."""
    data = save(tensors, metadata)
    end = 8 + struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:end])
    if metadata:
        header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(end - 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[end:])


def preprocess(images):
    """uint8 [N, 28, 28] -> normalised float32 [N, 1, 28, 28]."""
    x = torch.from_numpy(images.astype(np.float32)).unsqueeze(1)
    return (x / 255 - MEAN) / STD


def train(net, x, y, epochs, batch_size, lr):
    steps = (len(x) + batch_size - 1) // batch_size
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, epochs=epochs, steps_per_epoch=steps, pct_start=0.15
    )
    net.train()
    for epoch in range(1, epochs + 1):
        start, total = time.time(), 0.0
        for index in torch.randperm(len(x)).split(batch_size):
            batch = x[index]
            flip = torch.rand(len(batch), 1, 1, 1) < 0.5
            batch = torch.where(flip, batch.flip(3), batch)
            loss = F.cross_entropy(net(batch), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch:2}: loss {total / len(x):.4f}, {time.time() - start:.0f} s", flush=True)


@torch.no_grad()
def predict(net, x):
    net.eval()
    return torch.cat([net(batch) for batch in x.split(SUBSET)])


def main():
    parser = argparse.ArgumentParser(description="Train a small CNN on Fashion-MNIST.")
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"),
                        help="folder of the four gzipped IDX files (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("."),
                        help="folder to write to (default: the current one)")
    parser.add_argument("--epochs", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak rate, default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)

    train_images = read_idx(args.data / "train-images-idx3-ubyte.gz")
    train_labels = read_idx(args.data / "train-labels-idx1-ubyte.gz")
    test_images = read_idx(args.data / "t10k-images-idx3-ubyte.gz")
    test_labels = read_idx(args.data / "t10k-labels-idx1-ubyte.gz")

    net = Net()
    y = torch.from_numpy(train_labels.astype(np.int64))
    train(net, preprocess(train_images), y, args.epochs, args.batch_size, args.lr)

    logits = predict(net, preprocess(test_images))
    right = logits.argmax(1).numpy() == test_labels
    print(f"test accuracy, all {len(right)}: {right.mean():.4f}")
    print(f"test accuracy, first {SUBSET}: {right[:SUBSET].mean():.4f}")

    args.out.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().contiguous() for k, v in net.state_dict().items()}
    metadata = {"format": "pt", "mean": f"{MEAN:.4f}", "std": f"{STD:.4f}"}
    write_safetensors(args.out / "model.safetensors", weights, metadata)
    write_safetensors(args.out / "logits.safetensors", {"logits": logits[:SUBSET].contiguous()})
    write_idx(args.out / "t10k-images-idx3-ubyte", test_images[:SUBSET])
    write_idx(args.out / "t10k-labels-idx1-ubyte", test_labels[:SUBSET])
    write_idx(args.out / "train-images-idx3-ubyte", train_images[:CALIBRATION])


if __name__ == "__main__":
    main()
