"""Textures and the anomalies made of them: seeded, in range, varied, and where the mask says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from viad.errors import ConfigError
from viad.models.components import texture_anomalies, textures
from viad.models.components.perlin import perlin_mask, perlin_noise
from viad.models.components.texture_anomalies import TextureAnomalies
from viad.models.components.textures import Textures, procedural_texture

SIZE = (48, 64)


@pytest.fixture(scope="module")
def drawn():
    return torch.stack([procedural_texture(i, *SIZE) for i in range(40)]).float() / 255


class Plain:
    """Stands for textures: one colour, drawn as it is."""

    def __init__(self, color):
        self.color = torch.tensor(color)

    def draw(self):
        return self.color.view(3, 1, 1).expand(3, *SIZE).clone()


def test_a_texture_depends_on_its_number_alone():
    torch.manual_seed(1)
    first = procedural_texture(7, *SIZE)
    torch.manual_seed(2)
    assert torch.equal(procedural_texture(7, *SIZE), first)
    assert not torch.equal(procedural_texture(8, *SIZE), first)
    assert first.shape == (3, *SIZE)
    assert first.dtype == torch.uint8


def test_no_texture_is_flat_and_no_two_are_alike(drawn):
    assert (drawn.std(dim=(2, 3)).amax(dim=1) > 0.02).all()
    flat = drawn.flatten(1)
    distances = torch.cdist(flat, flat) / math.sqrt(flat.shape[1])
    assert distances[~torch.eye(len(drawn), dtype=bool)].min() > 0.02


def test_textures_differ_in_brightness_color_and_fineness(drawn):
    brightness = drawn.mean(dim=(1, 2, 3))
    color = drawn.mean(dim=(2, 3)).amax(dim=1) - drawn.mean(dim=(2, 3)).amin(dim=1)
    steps = (drawn[..., 1:] - drawn[..., :-1]).abs().mean(dim=(1, 2, 3)) / drawn.std(dim=(1, 2, 3))
    for property_, low, high in ((brightness, 0.35, 0.65), (color, 0.05, 0.3), (steps, 0.3, 0.9)):
        assert property_.min() < low
        assert property_.max() > high


def test_drawing_follows_torchs_generator():
    bank = Textures(None, SIZE)
    torch.manual_seed(3)
    first = [bank.draw() for _ in range(5)]
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(first, [Textures(None, SIZE).draw() for _ in range(5)], strict=True))
    assert len({float(x.sum()) for x in first}) > 1
    assert all(x.min() >= 0 and x.max() <= 1 and x.shape == (3, *SIZE) for x in first)


def test_a_folders_images_are_taken_in_any_depth(tmp_path):
    (tmp_path / "banded").mkdir()
    for i, name in enumerate(("a.png", "banded/b.jpg")):
        Image.fromarray(np.full((90, 120, 3), 60 * (i + 1), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    bank = Textures(str(tmp_path), SIZE)
    assert len(bank) == 2
    means = {round(float(bank.draw().mean()) * 255) for _ in range(20)}
    assert means == {60, 120}


def test_zoom_cuts_the_middle_out(tmp_path):
    pixels = np.zeros((96, 128, 3), np.uint8)
    pixels[24:72, 32:96] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert float(Textures(str(tmp_path), SIZE, zoom=2).draw().mean()) == 1
    assert float(Textures(str(tmp_path), SIZE).draw().mean()) == pytest.approx(0.25, abs=0.01)


def test_a_named_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no images.*null"):
        Textures(str(tmp_path / "dtd"), SIZE)


@pytest.mark.parametrize("i", range(len(textures.AUGMENTATIONS)))
def test_augmentations_keep_the_shape_and_change_something(drawn, i):
    torch.manual_seed(0)
    changed = torch.stack([textures.AUGMENTATIONS[i](x).clamp(0, 1) for x in drawn[:8]])
    assert changed.shape == drawn[:8].shape
    assert changed.isfinite().all()
    assert (changed - drawn[:8]).abs().amax() > 0.02


def test_perlin_noise_by_loop():
    torch.manual_seed(0)
    noise = perlin_noise(6, 9, (2, 3), 0.4)
    torch.manual_seed(0)
    half = [math.ceil(n * math.sqrt(0.5)) + 1 for n in (2, 3)]
    turns = 2 * math.pi * torch.rand(2 * half[0] + 1, 2 * half[1] + 1)
    for row in range(6):
        for column in range(9):
            y, x = (row + 0.5) / 6 - 0.5, (column + 0.5) / 9 - 0.5
            v = (y * math.cos(0.4) - x * math.sin(0.4)) * 2 + half[0]
            u = (y * math.sin(0.4) + x * math.cos(0.4)) * 3 + half[1]
            total = 0.0
            for a in (math.floor(v), math.floor(v) + 1):
                for b in (math.floor(u), math.floor(u) + 1):
                    weights = [6 * t**5 - 15 * t**4 + 10 * t**3 for t in (1 - abs(v - a), 1 - abs(u - b))]
                    slope = math.sin(turns[a, b]) * (v - a) + math.cos(turns[a, b]) * (u - b)
                    total += weights[0] * weights[1] * slope
            assert float(noise[row, column]) == pytest.approx(math.sqrt(2) * total, abs=1e-4)


@given(st.integers(8, 70), st.integers(8, 70), st.integers(0, 5), st.integers(0, 5), st.floats(-2, 2))
def test_perlin_noise_stays_in_range_at_any_size_and_angle(height, width, down, across, angle):
    noise = perlin_noise(height, width, (2**down, 2**across), angle)
    assert noise.shape == (height, width)
    assert noise.abs().max() <= 1 + 1e-5


def test_masks_have_many_sizes():
    torch.manual_seed(0)
    shares = torch.tensor([float(perlin_mask(64, 64).float().mean()) for _ in range(60)])
    assert (shares == 0).any()
    assert shares.max() > 0.1


@pytest.mark.parametrize("combined", [False, True])
def test_texture_is_where_the_mask_is_and_as_opaque_as_asked(monkeypatch, combined):
    monkeypatch.setattr(texture_anomalies, "augmented", lambda texture: texture)
    torch.manual_seed(0)
    images = torch.rand(6, 3, *SIZE)
    kept = images.clone()
    changed, mask = TextureAnomalies(Plain([1.0, 0.5, 0.0]), lambda: 0.75, probability=1, combined=combined)(images)
    assert torch.equal(images, kept)
    assert (mask.sum(dim=(1, 2, 3)) > 0).all()
    assert set(mask.unique().tolist()) == {0, 1}
    blend = 0.25 * images + 0.75 * torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)
    torch.testing.assert_close(changed, torch.where(mask > 0, blend, images))


def test_the_asked_share_of_images_is_changed():
    torch.manual_seed(0)
    images = torch.rand(200, 3, 8, 8)
    _, mask = TextureAnomalies(Textures(None, (8, 8)), lambda: 1.0, probability=0.5)(images)
    assert 70 < int((mask.sum(dim=(1, 2, 3)) > 0).sum()) < 130


def test_grey_images_get_grey_textures():
    torch.manual_seed(0)
    grey, color = torch.rand(1, *SIZE).expand(3, -1, -1), torch.rand(3, *SIZE)
    changed, _ = TextureAnomalies(Plain([1.0, 0.5, 0.0]), lambda: 1.0, probability=1)(torch.stack([grey, color]))
    assert texture_anomalies.is_grey(changed[0])
    assert not texture_anomalies.is_grey(changed[1])
