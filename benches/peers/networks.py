"""The networks of `sasn`, `stargan` and `moue` in PyTorch, under the names of moue's state dicts.

In the form that PyTorch runs fastest: attention's softmax runs along rows that lie together in memory, which is faster
than down the columns and mostly faster than `scaled_dot_product_attention` (README.md has numbers); labels become planes
without a copy; both halves of the discriminator's batch go through it at once.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm

EXPRESSIONS = 8
REACH = 0.25


class SelfAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.f, self.g = (nn.Conv2d(channels, max(channels // 8, 1), 1) for _ in range(2))
        self.h = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        key = self.f(x).flatten(2)
        query, value = (conv(x).flatten(2).transpose(1, 2) for conv in (self.g, self.h))
        attended = torch.softmax(query @ key, dim=-1) @ value
        return torch.addcmul(x, self.gamma, attended.transpose(1, 2).reshape(x.shape))


def convolution(inputs, outputs, kernel, stride, padding, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias)


def doubling(inputs, outputs):
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)


def norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        same = lambda: convolution(channels, channels, 3, 1, 1)
        self.main = nn.Sequential(same(), norm(channels), nn.ReLU(inplace=True), same(), norm(channels))

    def forward(self, x):
        return x + self.main(x)


def with_labels(x, labels):
    """The faces with a plane for each expression, of ones or of zeros."""
    planes = F.one_hot(labels, EXPRESSIONS).to(x.dtype)[:, :, None, None]
    return torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], 1)


class SasnGenerator(nn.Module):
    def __init__(self, settings, outputs=3, bias=False):
        super().__init__()
        c, places = settings["channels"], settings["attention"]
        self.stem, self.stem_norm = convolution(3 + EXPRESSIONS, c, 7, 1, 3), norm(c)
        self.down1, self.down1_norm = convolution(c, 2 * c, 4, 2, 1), norm(2 * c)
        self.down2, self.down2_norm = convolution(2 * c, 4 * c, 4, 2, 1), norm(4 * c)
        self.res = nn.ModuleList(Residual(4 * c) for _ in range(settings["residual_blocks"]))
        self.up1, self.up1_norm = doubling(4 * c, 2 * c), norm(2 * c)
        self.up2, self.up2_norm = doubling(2 * c, c), norm(c)
        self.head = convolution(c, outputs, 7, 1, 3, bias)
        widths = {"down1": 2 * c, "down2": 4 * c, "bottleneck": 4 * c, "up1": 2 * c}
        self.attention = {}  # the place of each module, by its name
        for n, place in enumerate([place for place in widths if place in places], 1):
            self.attention[place] = f"attention{n}"
            self.add_module(f"attention{n}", SelfAttention(widths[place]))

    def attend(self, place, x):
        return getattr(self, self.attention[place])(x) if place in self.attention else x

    def features(self, x, labels):
        x = F.relu(self.stem_norm(self.stem(with_labels(x, labels))))
        x = self.attend("down1", F.relu(self.down1_norm(self.down1(x))))
        x = self.attend("down2", F.relu(self.down2_norm(self.down2(x))))
        for block in self.res:
            x = block(x)
        x = self.attend("bottleneck", x)
        x = self.attend("up1", F.relu(self.up1_norm(self.up1(x))))
        return F.relu(self.up2_norm(self.up2(x)))

    def forward(self, x, labels):
        return torch.tanh(self.head(self.features(x, labels)))


class StarganGenerator(nn.Module):
    def __init__(self, settings):
        super().__init__()
        c = settings["channels"]
        relu = lambda: nn.ReLU(inplace=True)
        layers = [convolution(3 + EXPRESSIONS, c, 7, 1, 3), norm(c), relu()]
        for width in (c, 2 * c):
            layers += [convolution(width, 2 * width, 4, 2, 1), norm(2 * width), relu()]
        layers += [Residual(4 * c) for _ in range(settings["residual_blocks"])]
        for width in (4 * c, 2 * c):
            layers += [doubling(width, width // 2), norm(width // 2), relu()]
        self.main = nn.Sequential(*layers, convolution(c, 3, 7, 1, 3), nn.Tanh())

    def forward(self, x, labels):
        return self.main(with_labels(x, labels))


def flow_colour_mask(outputs, gains=None, scale=1):
    """An edit; `gains` multiply each face's mask, `scale` says how many of the image's half sides one of the flow's is."""
    mask = torch.sigmoid(outputs[:, 5:6])
    if gains is not None:
        mask = (mask * gains).clamp(max=1)
    return scale * REACH * torch.tanh(outputs[:, 0:2]), torch.tanh(outputs[:, 2:5]), mask


def twice(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def middle(x):
    """Brows, eyes and mouth: half the side, from 1/4 of the width and 5/16 of the height on."""
    side = x.shape[-1]
    left, top = side // 4, side * 5 // 16
    return x[..., top : top + side // 2, left : left + side // 2]


def fade(side):
    """1 inside, and nothing at the border."""
    place = (torch.arange(side) + 0.5) * 16 / side
    place = torch.minimum(place, place.flip(0)).clamp(max=1)
    return place[:, None] * place[None, :]


def centres(count, like):
    """The middles of so many pixels along a side from -1 to 1."""
    return (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1


def edited(x, edit):
    """The faces with their pixels fetched from where the flow points, and painted over where the mask says."""
    flow, colour, mask = edit
    rows, columns = centres(x.shape[2], x), centres(x.shape[3], x)
    identity = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    grid = identity + flow.permute(0, 2, 3, 1)
    moved = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.lerp(moved, colour, mask)


class MoueGenerator(SasnGenerator):
    """Gives the result, and the flow, colour and mask that led to it; in training, where it is given what each face's
    mask is multiplied by, these of each part that is compared: of the whole, or of the whole at half its size and of the
    middle."""

    def __init__(self, settings):
        super().__init__(settings, outputs=6, bias=True)
        detail, close = settings["detail_channels"], settings.get("close_channels")
        self.detail = Refinement(settings["channels"], detail) if detail else None
        self.close = Refinement(detail, close) if close else None
        if close:
            self.register_buffer("fade", fade(settings["image_size"] // 2), persistent=False)

    def outputs(self, x, labels):
        if self.detail is None:
            return self.head(self.features(x, labels)), None
        features = self.features(F.avg_pool2d(x, 2), labels)
        coarse = twice(self.head(features))
        change, features = self.detail(x, edited(x, flow_colour_mask(coarse)), coarse, features)
        return coarse + change, features

    def forward(self, x, labels, gains=None):
        if self.close is None:
            edit = flow_colour_mask(self.outputs(x, labels)[0], gains)
            return (edited(x, edit), *edit) if gains is None else [(edited(x, edit), *edit)]
        half = F.avg_pool2d(x, 2)
        outputs, features = self.outputs(half, labels)
        before = twice(middle(outputs))
        so_far = twice(middle(edited(half, flow_colour_mask(outputs))))
        change, _ = self.close(middle(x), so_far, before, middle(features))
        change = change * self.fade
        if gains is None:
            side = change.shape[-1]
            left, top = side // 2, side * 5 // 8
            edit = flow_colour_mask(twice(outputs) + F.pad(change, (left, side - left, top, side - top)))
            return edited(x, edit), *edit
        whole, close = flow_colour_mask(outputs, gains), flow_colour_mask(before + change, gains, 2)
        return [(edited(half, whole), *whole), (edited(middle(x), close), *close)]


class Refinement(nn.Module):
    def __init__(self, features, channels):
        super().__init__()
        self.face = convolution(3 + 3 + 6, channels, 3, 1, 1)
        self.features = convolution(features, channels, 3, 1, 1)
        self.norm = norm(channels)
        self.res = nn.ModuleList(Residual(channels) for _ in range(2))
        self.head = convolution(channels, 6, 3, 1, 1, bias=True)

    def forward(self, x, so_far, outputs, features):
        y = F.relu(self.norm(self.face(torch.cat([x, so_far, outputs], 1)) + twice(self.features(features))))
        for block in self.res:
            y = block(y)
        return self.head(y), y


def halvings(settings):
    widths = [3] + [settings["discriminator_channels"] << n for n in range(settings["discriminator_layers"])]
    return [convolution(a, b, 4, 2, 1, bias=True) for a, b in zip(widths, widths[1:])], widths[-1]


class SasnDiscriminator(nn.Module):
    """In training a forward pass is one power iteration of each layer, in evaluation none."""

    def __init__(self, settings):
        super().__init__()
        layers, width = halvings(settings)
        seen = settings["image_size"] // 2 if settings.get("close_channels") else settings["image_size"]
        size = seen >> settings["discriminator_layers"]
        whole = settings["source_head"] == "fully_connected"
        source = convolution(width, 1, size, 1, 0) if whole else convolution(width, 1, 3, 1, 1)
        self.convs = nn.ModuleList(spectral_norm(layer) for layer in layers)
        self.source = spectral_norm(source)
        self.expression = spectral_norm(convolution(width, EXPRESSIONS, size, 1, 0))

    def forward(self, x, with_features=False):
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.01)
            features.append(x)
        judgement = self.source(x), self.expression(x).flatten(1)
        return (*judgement, features) if with_features else judgement


class StarganDiscriminator(nn.Module):
    def __init__(self, settings):
        super().__init__()
        layers, width = halvings(settings)
        self.main = nn.Sequential(*(m for layer in layers for m in (layer, nn.LeakyReLU(0.01, inplace=True))))
        self.conv1 = convolution(width, 1, 3, 1, 1)
        size = settings["image_size"] >> settings["discriminator_layers"]
        self.conv2 = convolution(width, EXPRESSIONS, size, 1, 0)

    def forward(self, x):
        x = self.main(x)
        return self.conv1(x), self.conv2(x).flatten(1)


NETWORKS = {
    "sasn": (SasnGenerator, SasnDiscriminator),
    "stargan": (StarganGenerator, StarganDiscriminator),
    "moue": (MoueGenerator, SasnDiscriminator),
}


def names_of_pytorch(weights, modules):
    """Weights of normalised layers under the names that `spectral_norm` gives them. The vectors come in the order of
    the layers, `u0`, `v0`, `u1` …"""
    layers = [name for name, module in modules if hasattr(module, "weight_u")]
    renamed = {f"{name}.weight": f"{name}.weight_orig" for name in layers}
    for n, name in enumerate(layers):
        renamed |= {f"u{n}": f"{name}.weight_u", f"v{n}": f"{name}.weight_v"}
    return {renamed.get(name, name): weight for name, weight in weights.items()}


def load(network, tensors, player):
    """Gives a network the weights of a player of moue's. A missing one, or one too many, is an error."""
    weights = {name[len(player) + 1 :]: t for name, t in tensors.items() if name.startswith(f"{player}.")}
    network.load_state_dict(names_of_pytorch(weights, list(network.named_modules())))


def inception(tensors):
    """pytorch-fid's network for FID, up to its last pooling, with weights from a file instead of its download."""
    import pytorch_fid.inception as package

    weights = {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("network.")}
    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    package.load_state_dict_from_url = lambda *_, **__: classifier | weights
    network = package.InceptionV3([3], resize_input=False, normalize_input=False)
    return nn.Sequential(*(layer for block in network.blocks for layer in block))
