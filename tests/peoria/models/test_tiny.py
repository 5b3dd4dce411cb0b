import pytest
import torch

from peoria.models import build
from peoria.training.optim import make_optimizer


def blobs(num: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with one bright square each, uint8 [num, 227, 227, 3], and its standardised height."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(60, 150, (num, 227, 227, 3), generator=generator, dtype=torch.uint8)
    at = torch.randint(12, 215, (num, 2), generator=generator)
    for picture, (y, x) in zip(pixels, at.tolist(), strict=True):
        picture[y - 12 : y + 12, x - 12 : x + 12] = 240
    return pixels, (at[:, :1] - 113.0) / 58.6


def explained(head: str) -> float:
    """Share of the variance of the height that is explained on fresh pictures after three passes over 2,000."""
    net, _ = build("tiny", head=head, num_outputs=1, seed=0)
    net = net.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(net, learning_rate=0.02, head_multiplier=10)
    pixels, height = blobs(2000, seed=1)
    images = net.preprocess(pixels)
    for epoch in range(3):
        for batch in torch.randperm(2000, generator=torch.Generator().manual_seed(epoch)).split(50):
            optimizer.zero_grad()
            ((net(images[batch]) - height[batch]).square().mean() / 2).backward()
            optimizer.step()
    pixels, height = blobs(300, seed=2)
    with torch.no_grad():
        return 1 - float((net(net.preprocess(pixels)) - height).square().mean() / height.var())


def test_the_fc_head_learns_where_a_blob_is_from_2000_pictures() -> None:
    assert explained("fc") > 0.9


def test_size() -> None:
    net, _ = build("tiny", num_outputs=1, seed=0)
    assert sum(parameter.numel() for parameter in net.parameters()) == 53_785
    assert build("tiny", head="pool", num_outputs=1, seed=0)[0].num_features == 32


def test_preprocessing_is_the_antialiased_resize_pillow_does() -> None:
    from PIL import Image

    net, _ = build("tiny", num_outputs=1, seed=0)
    pixels = torch.randint(0, 256, (3, 227, 227, 3), dtype=torch.uint8)
    images = net.preprocess(pixels)
    assert images.shape == (3, 3, 64, 64)
    assert images.is_contiguous(memory_format=torch.channels_last)
    for picture, image in zip(pixels, images, strict=True):
        resized = torch.tensor(list(Image.fromarray(picture.numpy()).resize((64, 64), Image.Resampling.BILINEAR).tobytes())).view(64, 64, 3)
        assert (image.permute(1, 2, 0) * 64 + 127.5 - resized).abs().max() <= 1.001
    assert torch.equal(images, net.preprocess(pixels))
    whole = net.preprocess(torch.full((1, 227, 227, 3), 255, dtype=torch.uint8))
    assert whole.unique().tolist() == pytest.approx([127.5 / 64])
