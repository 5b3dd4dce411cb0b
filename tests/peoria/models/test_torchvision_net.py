import urllib.request
from typing import Any
from urllib.error import URLError

import pytest
import torch

from peoria.errors import ConfigError, WeightsError
from peoria.models import build


@pytest.mark.parametrize(
    ("net", "fc_features", "pool_features"),
    [
        ("alexnet", 4096, 256),
        ("resnet18", 512, 512),
        ("mobilenet_v3_small", 1024, 576),
        ("squeezenet1_1", 512, 512),
        ("densenet121", 1024, 1024),
        ("convnext_tiny", 768, 768),
        ("swin_t", 768, 768),
        ("googlenet", 1024, 1024),
    ],
)
def test_the_last_layer_is_found_and_replaced(net: str, fc_features: int, pool_features: int) -> None:
    pixels = torch.randint(0, 256, (2, 227, 227, 3), dtype=torch.uint8)
    seen = {}
    for head, num_features in (("fc", fc_features), ("pool", pool_features)):
        built, _ = build(net, head=head, num_outputs=3, seed=0)
        assert built.num_features == num_features
        with torch.no_grad():
            seen[head] = built.eval().features(built.preprocess(pixels))
            assert built.head(seen[head]).shape == built(built.preprocess(pixels)).shape == (2, 3)
        assert seen[head].shape == (2, num_features)
    if net in ("resnet18", "squeezenet1_1", "densenet121", "googlenet"):  # a global average is all there is in front of their last layer
        torch.testing.assert_close(seen["fc"], seen["pool"])


def test_alexnet_has_the_parameters_of_torchvisions_less_the_classes() -> None:
    net, _ = build("alexnet", num_outputs=1, seed=0)
    assert sum(parameter.numel() for parameter in net.parameters()) == 57_007_937


def test_a_transformer_keeps_its_top_and_has_no_map_to_pool() -> None:
    net, _ = build("vit_b_32", num_outputs=2, seed=0)
    with torch.no_grad():
        assert net(torch.randn(1, 3, 224, 224)).shape == (1, 2)
    with pytest.raises(ConfigError, match="head: 'pool' with net 'vit_b_32'; 'fc', or a net that is a chain of convolutions"):
        build("vit_b_32", head="pool", num_outputs=2, seed=0)


def test_preprocessing_is_torchvisions_centre_crop_and_normalisation() -> None:
    from torchvision.transforms import v2

    net, _ = build("squeezenet1_1", num_outputs=1, seed=0)
    pixels = torch.randint(0, 256, (2, 227, 227, 3), dtype=torch.uint8)
    start = (227 - 224) // 2
    scaled = pixels[:, start:-2, start:-2].permute(0, 3, 1, 2) / 255
    images = net.preprocess(pixels)
    torch.testing.assert_close(images, v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(scaled), atol=1e-5, rtol=1e-5)
    assert images.is_contiguous(memory_format=torch.channels_last)
    mean, sd = (255 * torch.tensor(values).view(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    assert torch.equal(images, (pixels[:, start:-2, start:-2].permute(0, 3, 1, 2).float() - mean) / sd)  # row by row gives the same bits


def test_weights_that_cannot_be_fetched_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    asked = []

    def no_connection(request: Any, *args: object, **kwargs: object) -> None:
        asked.append(request.full_url)
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", no_connection)
    monkeypatch.setattr("torch.hub.urlopen", no_connection)
    build("squeezenet1_1", num_outputs=1, seed=0)
    assert not asked  # nothing is fetched unless asked for
    with pytest.raises(
        WeightsError, match=r"weights: torchvision cannot fetch https://\S+squeezenet1_1\S+ \(.*no route.*\); a connection, or the file in"
    ):
        build("squeezenet1_1", weights="torchvision", num_outputs=1, seed=0)
    assert asked


def test_weights_from_torchvisions_own_loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from torchvision import models

    torch.manual_seed(7)
    reference = models.squeezenet1_1(weights=None)
    enum = models.SqueezeNet1_1_Weights.DEFAULT
    monkeypatch.setattr(type(enum), "get_state_dict", lambda *_, **__: reference.state_dict())
    net, loaded = build("squeezenet1_1", weights="torchvision", trunk="frozen", num_outputs=1, seed=0)
    assert loaded is not None
    assert loaded.source == enum.url
    assert len(loaded.sha256) == 64
    assert not loaded.missing
    assert torch.equal(net.trunk.get_parameter("features.0.weight"), reference.get_parameter("features.0.weight"))
    assert [name for name, parameter in net.named_parameters() if parameter.requires_grad] == ["head.weight", "head.bias"]
