import numpy as np
import pandas as pd
import pytest

from profiler.errors import ConfigError
from search.data import CIFAR10_MEAN, CIFAR10_STD, cifar10, digits, load_images, shrink


def rows(n, splits=("train", "train", "test"), value=7):
    return pd.DataFrame(
        {
            "split": [splits[i % len(splits)] for i in range(n)],
            "label": [i % 10 for i in range(n)],
            "image_hwc_uint8": [bytes([value]) * 3072 for _ in range(n)],
        }
    )


def test_digits_are_split_by_class_and_normalised():
    images = digits()
    assert images.train_images.shape == (1437, 3, 32, 32)
    assert images.test_images.shape == (360, 3, 32, 32)
    assert images.train_images.dtype == np.float32
    assert abs(images.train_images.mean()) < 1e-4
    assert images.train_images.std() == pytest.approx(1, abs=1e-4)
    assert np.bincount(images.test_labels).min() >= 34
    assert (images.train_images[:, 0] == images.train_images[:, 2]).all()
    assert images.digest == digits().digest != digits(seed=1).digest
    # no image is in both halves of the split
    train = {i.tobytes() for i in images.train_images}
    assert not any(i.tobytes() in train for i in images.test_images)


def test_digits_scaled_down_again_are_the_original():
    from sklearn.datasets import load_digits

    small = shrink(digits().train_images, 8)[:, 0]
    original = {tuple(image.ravel()) for image in load_digits().images}
    scale = 16 / (small.max() - small.min())
    back = np.rint((small - small.min()) * scale)
    assert all(tuple(image.ravel()) in original for image in back[:50])


def test_shrinking_averages_blocks():
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert shrink(image, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert shrink(image, 4) is image
    with pytest.raises(ConfigError, match="divisor"):
        shrink(image, 3)


def test_parquet_rows_become_normalised_images(tmp_path):
    frame = rows(30)
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[3, 5] = (255, 0, 128)  # row 3, column 5
    frame.at[0, "image_hwc_uint8"] = pixels.tobytes()
    path = tmp_path / "cifar10_some.parquet"
    frame.to_parquet(path)
    images = cifar10(path)
    assert (len(images.train_labels), len(images.test_labels), images.num_classes) == (20, 10, 10)
    back = images.train_images[0, :, 3, 5] * np.array(CIFAR10_STD) + np.array(CIFAR10_MEAN)
    assert back == pytest.approx([1, 0, 128 / 255], abs=1e-6)
    assert "subset" in images.note
    assert load_images(str(tmp_path)).digest == images.digest


def test_the_binary_version_agrees_with_the_parquet_one(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    labels = [3, 1, 9, 0]
    frame = pd.DataFrame(
        {
            "split": ["train", "train", "train", "test"],
            "label": labels,
            "image_hwc_uint8": [p.tobytes() for p in pixels],
        }
    )
    frame.to_parquet(tmp_path / "cifar10.parquet")
    folder = tmp_path / "bin"
    folder.mkdir()
    records = [bytes([label]) + p.transpose(2, 0, 1).tobytes() for label, p in zip(labels, pixels, strict=True)]
    (folder / "data_batch_1.bin").write_bytes(b"".join(records[:2]))
    (folder / "data_batch_2.bin").write_bytes(records[2])
    (folder / "test_batch.bin").write_bytes(records[3])
    assert cifar10(folder).digest == cifar10(tmp_path).digest


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (rows(9).drop(columns="label"), "cannot be read"),
        (rows(9, splits=("train",)), "no test images"),
        (rows(9, splits=("test",)), "no training images"),
        (rows(9, splits=("train", "validation")), "splits other"),
        (rows(9).assign(label=11), "labels outside"),
        (rows(9).assign(image_hwc_uint8=b"abc"), "not 32x32x3"),
        (rows(0), "no images"),
    ],
)
def test_malformed_parquet_is_refused_in_a_sentence(tmp_path, frame, message):
    path = tmp_path / "cifar10.parquet"
    frame.to_parquet(path)
    with pytest.raises(ConfigError, match=message) as error:
        cifar10(path)
    assert str(path) in str(error.value)


def test_what_is_no_image_data_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        load_images(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="holds no CIFAR-10"):
        load_images(str(tmp_path))
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_images(str(tmp_path / "text.parquet"))
    (tmp_path / "data_batch_1.bin").write_bytes(b"\0" * 100)
    with pytest.raises(ConfigError, match="100 bytes"):
        load_images(str(tmp_path))


def test_the_public_subset_is_called_a_subset(data_dir):
    images = load_images(str(data_dir / "cifar10_subset_6000.parquet"))
    assert (len(images.train_labels), len(images.test_labels)) == (5_000, 1_000)
    assert "subset" in images.note
