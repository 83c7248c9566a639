"""Make suites/data/digits.npz: real logits of a small network trained on scikit-learn's handwritten digits.

Run from the checkout: ``python scripts/capture_digits.py`` (a few seconds on one core; needs the extra ``dev``).
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional as F

OUT = Path(__file__).resolve().parents[1] / "suites" / "data" / "digits.npz"
SEED = 0
EPOCHS = 40


def main() -> None:
    """Train, capture the logits of the test images, write the file, print the accuracy."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # a fixed summation order, so that the same torch writes the same bytes
    images, digits = load_digits(return_X_y=True)
    split = train_test_split(images / 16.0, digits, test_size=0.5, random_state=SEED, stratify=digits)
    train_images, test_images = (torch.tensor(part, dtype=torch.float32) for part in split[:2])
    train_digits, test_digits = (torch.tensor(part, dtype=torch.int64) for part in split[2:])
    network = train(train_images, train_digits)
    with torch.no_grad():
        logits = network(test_images)
    write(logits.numpy(), test_digits.numpy())
    accuracy = (logits.argmax(1) == test_digits).double().mean().item()
    loss = F.cross_entropy(logits.double(), test_digits).item()
    print(f"{OUT.name}: logits {tuple(logits.shape)}, {OUT.stat().st_size} bytes")
    print(f"test accuracy {accuracy:.4f}, mean loss {loss:.4f}, logits in [{logits.min():.2f}, {logits.max():.2f}]")


def train(images: torch.Tensor, digits: torch.Tensor) -> torch.nn.Module:
    """A 64-100-10 network after :data:`EPOCHS` epochs of Adam in batches of 32."""
    network = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), digits[batch]).backward()
            optimizer.step()
    return network


def write(logits: np.ndarray, target: np.ndarray) -> None:
    """An .npz as numpy.savez writes, but with a fixed date in its entries: equal arrays make equal files."""
    with zipfile.ZipFile(OUT, "w") as archive:
        for name, array in (("logits", logits), ("target", target.astype(np.uint8))):
            content = BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), content.getvalue())


if __name__ == "__main__":
    main()
