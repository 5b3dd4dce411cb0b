import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peoria.models import PopularityNet, build
from peoria.models.caffenet import ResponseNorm


@pytest.fixture(scope="module")
def net() -> PopularityNet:
    return build("caffenet", num_outputs=1, seed=0)[0].eval()


def test_parameter_counts_for_one_two_and_ten_outputs(net: PopularityNet) -> None:
    trunk = sum(parameter.numel() for parameter in net.trunk.parameters())
    assert [trunk + 4097 * num_outputs for num_outputs in (1, 2, 10)] == [56_872_321, 56_876_418, 56_909_194]
    assert sum(parameter.numel() for parameter in net.head.parameters()) == 4097


def test_forward_is_the_prototxt_written_out(net: PopularityNet) -> None:
    images = net.preprocess(torch.randint(0, 256, (2, 227, 227, 3), dtype=torch.uint8))
    state = net.trunk.state_dict()

    def conv(x: torch.Tensor, name: str, **options: int) -> torch.Tensor:
        return F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options))

    def pool(x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def norm(x: torch.Tensor) -> torch.Tensor:
        return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)

    with torch.no_grad():
        x = norm(pool(conv(images, "conv1", stride=4)))
        x = norm(pool(conv(x, "conv2", padding=2, groups=2)))
        x = conv(conv(x, "conv3", padding=1), "conv4", padding=1, groups=2)
        x = pool(conv(x, "conv5", padding=1, groups=2))
        assert x.shape == (2, 256, 6, 6)
        for name in ("fc6", "fc7"):
            x = F.relu(F.linear(x.flatten(1), state[f"{name}.weight"], state[f"{name}.bias"]))
        torch.testing.assert_close(net.features(images), x, atol=1e-3, rtol=1e-4)
        assert x.abs().max() > 1  # not a comparison of noughts


def test_fillers(net: PopularityNet) -> None:
    for name, sd, bias in (
        ("conv1", 0.01, 0),
        ("conv2", 0.01, 1),
        ("conv3", 0.01, 0),
        ("conv4", 0.01, 1),
        ("conv5", 0.01, 1),
        ("fc6", 0.005, 1),
        ("fc7", 0.005, 1),
    ):
        layer = net.trunk.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        assert layer.bias is not None
        assert layer.weight.std().item() == pytest.approx(sd, rel=0.02), name
        assert layer.bias.unique().tolist() == [bias], name


def test_dropout_follows_relu6_and_relu7(net: PopularityNet) -> None:
    names = [name for name, _ in net.trunk.named_children()]
    assert names[names.index("fc6") :] == ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7"]
    assert [module.p for module in net.trunk.children() if isinstance(module, nn.Dropout)] == [0.5, 0.5]


def test_preprocessing_is_bgr_less_the_channel_means(net: PopularityNet) -> None:
    pixels = torch.zeros(1, 227, 227, 3, dtype=torch.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 10, 20, 30  # red, green, blue
    images = net.preprocess(pixels)
    assert images.shape == (1, 3, 227, 227)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images[0, :, 5, 7].tolist() == [30 - 104, 20 - 117, 10 - 123]


def test_response_norm_has_the_gradients_of_torchs() -> None:
    x = (torch.randn(2, 32, 5, 5) * 100).requires_grad_()
    mine = ResponseNorm(32)(x)
    reference = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)
    torch.testing.assert_close(mine, reference)
    weights = torch.randn_like(mine)
    torch.testing.assert_close(*(torch.autograd.grad((y * weights).sum(), x)[0] for y in (mine, reference)))
    assert (mine - x).abs().max() > 10  # the norm does something at this scale


def test_the_pool_head_averages_pool5() -> None:
    net, _ = build("caffenet", head="pool", num_outputs=2, seed=0)
    assert net.num_features == 256
    assert net(torch.randn(2, 3, 227, 227)).shape == (2, 2)
