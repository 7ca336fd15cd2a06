"""Makes moue*.safetensors and grid_sample.safetensors: the method `moue` in PyTorch.

Not needed to build or to test. Run it in this folder with torch, numpy and safetensors installed:

    python make_moue.py          # writes the files and their entries in index.json, then checks them
    python make_moue.py --check  # only recomputes them in f32, within the tolerances of README.md
    python make_moue.py --seeds  # finds the seeds below

Written from the description of the method, not from the Rust code. Everything is computed in f64, from inputs and
weights that were rounded to f32 first, and stored as f32.
"""

import json
import math
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

EXPRESSIONS = 8
FLOW_RANGE = 0.25
ATTENTION = ["bottleneck", "up1"]
GAMMAS = {"attention1.gamma": 0.3, "attention2.gamma": -0.2}  # 0 would leave attention without gradients

COMMON = {
    "image": 32,
    "conv_dim": 8,
    "residual_blocks": 2,
    "attention": ATTENTION,
    "d_layers": 4,
    "source_head": "patch",
    "adversarial_loss": "hinge",
    "flow_range": FLOW_RANGE,
    "lambda_smooth": 0.5,
    "lambda_adv": 0.5,
    "lambda_cls": 0.5,
    "adam": [2e-4, 0.5, 0.999, 1e-8],
    "generator_updates_per_discriminator_update": 1,
    "average_decay": 0.998,
}
STEP = (
    "each iteration, all on the same batch: G step with u, v fixed; moving average of G; advance u,v of every layer of "
    "D by one power iteration (v, then u); D step with the fake that the G step made before its update, detached; "
    "sigma = u^T W v with gradient through W. u,v of D.uN/D.vN are already warmed by 15 power iterations. The average "
    "starts at the weights before. Arithmetic in f64."
)
MASK_GAINS = {"mask_gains": [1.0, 1.2, 1.35, 1.5]}  # each face's mask in the generator's update is min(1, gain * mask)
PAIRED = {"lambda_l1": 10, "lambda_difference": 0.5, "lambda_colour": 1, "lambda_features": 2}
CASES = {
    "moue": COMMON
    | PAIRED
    | {
        "iterations": 2,
        "order": STEP,
        "g_total": "lambda_l1 (pixel + half + lambda_difference edges + lambda_colour colour) "
        "+ lambda_features features + lambda_smooth smooth + lambda_adv g_adversarial + lambda_cls g_classification",
        "d_total": "d_real + d_fake + d_classification; real images: target_images with the target labels",
    },
    "moue_refined": COMMON
    | {
        "attention": ["bottleneck"],
        "detail_channels": 8,
    }
    | PAIRED
    | MASK_GAINS
    | {
        "iterations": 1,
        "order": STEP,
        "g_total": "as moue",
        "d_total": "as moue",
    },
    "moue_close": COMMON
    | {
        "attention": ["bottleneck"],
        "detail_channels": 8,
        "close_channels": 8,
    }
    | PAIRED
    | MASK_GAINS
    | {
        "iterations": 1,
        "order": STEP,
        "g_total": "as moue",
        "d_total": "as moue; D sees the middle of the images",
    },
    "moue_unpaired": COMMON
    | {
        "lambda_rec": 10,
        "iterations": 1,
        "order": STEP,
        "g_total": "lambda_rec g_reconstruction + lambda_smooth smooth (of the first edit's flow alone) "
        "+ lambda_adv g_adversarial + lambda_cls g_classification",
        "d_total": "d_real + d_fake + d_classification; real images: x with the source labels",
    },
    "grid_sample": {
        "note": "y = sample(x, identity grid + flow): bilinear, border clamped, align_corners false; flow's channels "
        "are x, then y, in -1..1 over the image; gradients of sum(y*r)"
    },
}
SEEDS = {"moue": 20, "moue_refined": 59, "moue_close": 342, "moue_unpaired": 319, "grid_sample": 1}  # no kink near: see is_smooth


# Networks


class SelfAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.f = nn.Conv2d(channels, channels // 8, 1)
        self.g = nn.Conv2d(channels, channels // 8, 1)
        self.h = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        f, g, h = (conv(x).flatten(2) for conv in (self.f, self.g, self.h))
        beta = torch.softmax(f.transpose(1, 2) @ g, dim=1)  # [batch, i, j], over i
        return self.gamma * (h @ beta).view_as(x) + x


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x):
        return x + self.main(x)


class Generator(nn.Module):
    def __init__(self, c, residual_blocks, attention, detail, close):
        super().__init__()
        self.attention = attention
        self.stem = nn.Conv2d(3 + EXPRESSIONS, c, 7, 1, 3, bias=False)
        self.down1 = nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False)
        self.down2 = nn.Conv2d(2 * c, 4 * c, 4, 2, 1, bias=False)
        self.res = nn.ModuleList(Residual(4 * c) for _ in range(residual_blocks))
        self.attention1 = SelfAttention(4 * c)
        self.up1 = nn.ConvTranspose2d(4 * c, 2 * c, 4, 2, 1, bias=False)
        if "up1" in attention:
            self.attention2 = SelfAttention(2 * c)
        self.up2 = nn.ConvTranspose2d(2 * c, c, 4, 2, 1, bias=False)
        self.head = nn.Conv2d(c, 6, 7, 1, 3)
        for name, channels in [("stem", c), ("down1", 2 * c), ("down2", 4 * c), ("up1", 2 * c), ("up2", c)]:
            setattr(self, f"{name}_norm", nn.InstanceNorm2d(channels, affine=True))
        if detail:
            self.detail = Refinement(c, detail)
        if close:
            self.close = Refinement(detail, close)

    def forward(self, x, labels, gains=None):
        if not hasattr(self, "close"):
            return edit(x, self.outputs(x, labels)[0], gains=gains)
        half = F.avg_pool2d(x, 2)
        outputs, features = self.outputs(half, labels)
        out = edit(half, outputs, gains=gains)
        before = double(middle(outputs))
        seen = [middle(x), double(middle(edit(half, outputs)["result"])), before]
        change, _ = self.close(torch.cat(seen, 1), middle(features))
        side = change.shape[-1]
        place = (torch.arange(side, dtype=x.dtype) + 0.5) * 16 / side
        fade = torch.minimum(place, place.flip(0)).clamp(max=1)
        change = change * fade[:, None] * fade[None, :]
        left, top = side // 2, side * 5 // 8
        whole = edit(x, double(outputs) + F.pad(change, (left, side - left, top, side - top)))
        # In training the middle is an image by itself: offsets count in its half sides, and its border goes on.
        close = edit(middle(x), before + change, 2, gains)
        return out | {f"close.{n}": v for n, v in close.items()} | {f"whole.{n}": v for n, v in whole.items()}

    def outputs(self, x, labels):
        if not hasattr(self, "detail"):
            return self.head(self.features(x, labels)), None
        features = self.features(F.avg_pool2d(x, 2), labels)
        coarse = double(self.head(features))
        change, features = self.detail(torch.cat([x, edit(x, coarse)["result"], coarse], 1), features)
        return coarse + change, features

    def features(self, x, labels):
        size = x.shape[-2:]
        planes = F.one_hot(labels, EXPRESSIONS).to(x.dtype)[:, :, None, None].expand(-1, -1, *size)
        y = torch.cat([x, planes], 1)
        y = F.relu(self.stem_norm(self.stem(y)))
        y = F.relu(self.down1_norm(self.down1(y)))
        y = F.relu(self.down2_norm(self.down2(y)))
        for block in self.res:
            y = block(y)
        y = self.attention1(y)
        y = F.relu(self.up1_norm(self.up1(y)))
        if "up1" in self.attention:
            y = self.attention2(y)
        return F.relu(self.up2_norm(self.up2(y)))


def double(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def middle(x):
    """Brows, eyes and mouth: half the side, from 1/4 of the width and 5/16 of the height on."""
    side = x.shape[-1]
    top, left = side * 5 // 16, side // 4
    return x[..., top : top + side // 2, left : left + side // 2]


def edit(x, outputs, scale=1, gains=None):
    flow = scale * FLOW_RANGE * torch.tanh(outputs[:, 0:2])
    colour = torch.tanh(outputs[:, 2:5])
    mask = torch.sigmoid(outputs[:, 5:6])
    if gains:
        mask = (mask * torch.tensor(gains, dtype=mask.dtype)[:, None, None, None]).clamp(max=1)
    result = (1 - mask) * sample(x, flow) + mask * colour
    return {"flow": flow, "colour": colour, "mask": mask, "result": result}


class Refinement(nn.Module):
    """What an edit made at half the side lacks. It sees the face, the face after the edit so far, and that edit."""

    def __init__(self, c, channels):
        super().__init__()
        self.face = nn.Conv2d(12, channels, 3, 1, 1, bias=False)
        self.features = nn.Conv2d(c, channels, 3, 1, 1, bias=False)
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        self.res = nn.ModuleList(Residual(channels) for _ in range(2))
        self.head = nn.Conv2d(channels, 6, 3, 1, 1)

    def forward(self, seen, features):
        y = F.relu(self.norm(self.face(seen) + double(self.features(features))))
        for block in self.res:
            y = block(y)
        return self.head(y), y


class Discriminator(nn.Module):
    def __init__(self, image, c, layers):
        super().__init__()
        widths = [3] + [c * 2**n for n in range(layers)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in zip(widths, widths[1:]))
        self.source = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
        self.expression = nn.Conv2d(widths[-1], EXPRESSIONS, image // 2**layers, bias=False)
        for n, conv in enumerate(self.layers()):
            rows, columns = conv.weight.flatten(1).shape
            self.register_buffer(f"u{n}", F.normalize(torch.randn(rows), dim=0))
            self.register_buffer(f"v{n}", torch.zeros(columns))

    def layers(self):
        return [*self.convs, self.source, self.expression]

    @torch.no_grad()
    def advance(self):
        for n, conv in enumerate(self.layers()):
            matrix, u, v = conv.weight.flatten(1), getattr(self, f"u{n}"), getattr(self, f"v{n}")
            v.copy_(F.normalize(matrix.t() @ u, dim=0, eps=1e-12))
            u.copy_(F.normalize(matrix @ v, dim=0, eps=1e-12))

    def forward(self, x):
        # Copies, so that a later advance does not change what the backward pass needs.
        def normalised(n, conv):
            u, v = getattr(self, f"u{n}").clone(), getattr(self, f"v{n}").clone()
            return conv.weight / (u @ conv.weight.flatten(1) @ v)

        features = []
        for n, conv in enumerate(self.convs):
            x = F.leaky_relu(F.conv2d(x, normalised(n, conv), conv.bias, 2, 1), 0.01)
            features.append(x)
        n = len(self.convs)
        source = F.conv2d(x, normalised(n, self.source), None, 1, 1)
        expression = F.conv2d(x, normalised(n + 1, self.expression))
        return source, expression.flatten(1), features


def positions(flow):
    """Where each output pixel is taken from: [batch, height, width, (x, y)], -1 and 1 at the outer edges."""
    height, width = flow.shape[-2:]
    y = (2 * torch.arange(height, dtype=flow.dtype) + 1) / height - 1
    x = (2 * torch.arange(width, dtype=flow.dtype) + 1) / width - 1
    identity = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return identity + flow.permute(0, 2, 3, 1)


def sample(x, flow):
    return F.grid_sample(x, positions(flow), mode="bilinear", padding_mode="border", align_corners=False)


# Losses


def weight_map(size, dtype):
    p = (torch.arange(size, dtype=dtype) + 0.5) / size
    px, py = p[None, :], p[:, None]
    mouth = torch.exp(-(((px - 0.5) / 0.16) ** 2) - ((py - 0.68) / 0.10) ** 2)
    eyes = torch.exp(-(((px - 0.5) / 0.25) ** 2) - ((py - 0.40) / 0.08) ** 2)
    weights = 1 + 2 * mouth + eyes
    return weights / weights.mean()


def along_rows(image):
    return image[..., 1:] - image[..., :-1]


def along_columns(image):
    return image[..., 1:, :] - image[..., :-1, :]


def halves(parts, image):
    """What training compares: the image, or it at half its size and its middle."""
    return [image] if len(parts) == 1 else [F.avg_pool2d(image, 2), middle(image)]


def comparison(out, part, t, weights):
    difference = out[part + "result"] - t
    return (
        (weights * difference.abs()).mean(),
        F.avg_pool2d(difference, 2).abs().mean(),
        along_rows(difference).abs().mean() + along_columns(difference).abs().mean(),
        (weights * out[part + "mask"].detach() ** 2 * (out[part + "colour"] - t).abs()).mean(),
    )


def generator_pass(settings, generator, discriminator, batch):
    """Outputs and losses of the generator's update."""
    x, target = batch["x"], batch["target"]
    out = generator(x, target, settings.get("mask_gains"))
    parts = ["", "close."] if "close_channels" in settings else [""]
    seen = out[parts[-1] + "result"]
    source, expression, features = discriminator(seen)
    out |= {"out_source": source, "out_expression": expression}
    loss = {}
    if "target_images" in batch:
        weights = weight_map(settings["image"], x.dtype)
        names = ["pixel", "half", "edges", "colour"]
        compared = [
            comparison(out, part, t, w / w.mean())
            for part, t, w in zip(parts, halves(parts, batch["target_images"]), halves(parts, weights[None, None]))
        ]
        loss |= {name: torch.stack(values).mean() for name, values in zip(names, zip(*compared))}
        total = settings["lambda_l1"] * (
            loss["pixel"]
            + loss["half"]
            + settings["lambda_difference"] * loss["edges"]
            + settings["lambda_colour"] * loss["colour"]
        )
        with torch.no_grad():
            _, _, wanted = discriminator(halves(parts, batch["target_images"])[-1])
        relative = [(f - w).abs().mean() / w.abs().mean() for f, w in zip(features, wanted)]
        loss["features"] = torch.stack(relative).mean()
        total = total + settings["lambda_features"] * loss["features"]
    else:
        out["reconstructed"] = generator(out["result"], batch["source"])["result"]
        loss["g_reconstruction"] = (x - out["reconstructed"]).abs().mean()
        total = settings["lambda_rec"] * loss["g_reconstruction"]
    flows = [out[part + "flow"] for part in parts]
    smooth = [f.shape[-1] * ((along_rows(f) ** 2).mean() + (along_columns(f) ** 2).mean()) for f in flows]
    loss["smooth"] = torch.stack(smooth).mean()
    loss["g_adversarial"] = -source.mean()
    loss["g_classification"] = F.cross_entropy(expression, target)
    loss["g_total"] = (
        total
        + settings["lambda_smooth"] * loss["smooth"]
        + settings["lambda_adv"] * loss["g_adversarial"]
        + settings["lambda_cls"] * loss["g_classification"]
    )
    return out, loss


def discriminator_pass(settings, discriminator, batch, fake):
    """Outputs and losses of the discriminator's update, after its power iteration."""
    real, labels = (
        (batch["target_images"], batch["target"]) if "target_images" in batch else (batch["x"], batch["source"])
    )
    judged = middle if "close_channels" in settings else lambda images: images
    real_source, real_expression, _ = discriminator(judged(real))
    fake_source, _, _ = discriminator(fake)
    loss = {
        "d_real": F.relu(1 - real_source).mean(),
        "d_fake": F.relu(1 + fake_source).mean(),
        "d_classification": F.cross_entropy(real_expression, labels),
    }
    loss["d_adversarial"] = loss["d_real"] + loss["d_fake"]
    loss["d_total"] = loss["d_adversarial"] + loss["d_classification"]
    out = {"real.out_source": real_source, "real.out_expression": real_expression, "fake.out_source": fake_source}
    return out, loss


# Cases


def networks(settings, dtype):
    image, c = settings["image"], settings["conv_dim"]
    attention, detail, close = (settings.get(key) for key in ("attention", "detail_channels", "close_channels"))
    generator = Generator(c, settings["residual_blocks"], attention, detail, close).to(dtype)
    discriminator = Discriminator(image // 2 if close else image, c, settings["d_layers"]).to(dtype)
    return generator, discriminator


def run(settings, before, dtype):
    """Everything that the file of a case says, from its weights and inputs."""
    generator, discriminator = networks(settings, dtype)
    for prefix, network in [("G.", generator), ("D.", discriminator)]:
        weights = {name[len(prefix) :]: tensor for name, tensor in before.items() if name.startswith(prefix)}
        network.load_state_dict(weights, strict=True)
    batch = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in before.items()
        if name in ("x", "source", "target", "target_images")
    }
    average = {name: p.detach().clone() for name, p in generator.named_parameters()}
    rate, beta1, beta2, eps = settings["adam"]
    adam = [torch.optim.Adam(n.parameters(), rate, (beta1, beta2), eps) for n in (generator, discriminator)]
    found = {"weight_map": weight_map(settings["image"], dtype)} if "target_images" in batch else {}

    def note(prefix, values):
        found.update({prefix + name: value.detach().clone() for name, value in values.items()})

    def gradients(network):
        return {name: p.grad for name, p in network.named_parameters()}

    for iteration in range(1, settings["iterations"] + 1):
        first = iteration == 1  # later iterations give their losses and what D says, to keep the file small
        out, loss = generator_pass(settings, generator, discriminator, batch)
        fake = out["close.result" if "close_channels" in settings else "result"].detach()
        adam[0].zero_grad()
        loss["g_total"].backward()
        note(f"{iteration}.", out if first else {n: v for n, v in out.items() if n.startswith("out_")})
        note(f"{iteration}.loss.", loss)
        if first:
            note(f"{iteration}.grad.G.", gradients(generator))
        adam[0].step()
        for name, p in generator.named_parameters():
            average[name] += (1 - settings["average_decay"]) * (p.detach() - average[name])

        discriminator.advance()
        out, loss = discriminator_pass(settings, discriminator, batch, fake)
        adam[1].zero_grad()
        loss["d_total"].backward()
        note(f"{iteration}.", out)
        note(f"{iteration}.loss.", loss)
        if first:
            note(f"{iteration}.grad.D.", gradients(discriminator))
        adam[1].step()
    note("after.G.", generator.state_dict())
    note("after.D.", discriminator.state_dict())
    note("average.G.", average)
    return found


def faces(count, size):
    """Smooth pictures with some noise, in -1..1."""
    coarse = F.interpolate(torch.randn(count, 3, 6, 6), (size, size), mode="bicubic", align_corners=False)
    return torch.tanh(0.8 * coarse + 0.03 * torch.randn(count, 3, size, size))


def start(case, settings):
    """Weights and inputs, in f32."""
    generator, discriminator = networks(settings, torch.float64)
    with torch.no_grad():
        for name, p in generator.named_parameters():
            if "norm" in name or ".main.1." in name or ".main.4." in name:
                p.copy_(name.endswith("weight") + 0.1 * torch.randn_like(p))
            elif name in GAMMAS:
                p.fill_(GAMMAS[name])
        # Larger than training starts with: flows reach past the border, and every path has gradients.
        generator.head.weight.normal_(0, 0.05)
        generator.head.bias.normal_(0, 0.1)
        generator.head.bias[5] -= 1
        if "detail_channels" in settings:
            generator.detail.head.weight.normal_(0, 0.03)
        if "close_channels" in settings:
            generator.close.head.weight.normal_(0, 0.03)
    for _ in range(15):
        discriminator.advance()
    before = {"G." + name: tensor for name, tensor in generator.state_dict().items()}
    before |= {"D." + name: tensor for name, tensor in discriminator.state_dict().items()}
    before["x"] = faces(4, settings["image"])
    if "lambda_l1" in settings:
        before["target_images"] = 0.8 * before["x"] + 0.2 * faces(4, settings["image"])
    before = {name: tensor.float() for name, tensor in before.items()}
    before["source"] = torch.tensor([5, 5, 0, 3])
    before["target"] = torch.tensor([4, 1, 7, 3])
    return before


def grid_sample(before, dtype):
    x, flow = (before[name].to(dtype).requires_grad_() for name in ("x", "flow"))
    y = sample(x, flow)
    (y * before["r"].to(dtype)).sum().backward()
    return {"y": y.detach(), "grad.x": x.grad, "grad.flow": flow.grad}


def start_grid_sample():
    flow = 0.4 * torch.randn(2, 2, 7, 9)
    flow[:, :, ::3, ::2] *= 6  # far outside
    return {"x": torch.randn(2, 3, 7, 9), "flow": flow, "r": torch.randn(2, 3, 7, 9)}


def compute(case, settings, before, dtype):
    return grid_sample(before, dtype) if case == "grid_sample" else run(settings, before, dtype)


def make(case, settings, seed):
    torch.manual_seed(seed)
    before = start_grid_sample() if case == "grid_sample" else start(case, settings)
    found = compute(case, settings, before, torch.float64)
    return before | {name: tensor.float() for name, tensor in found.items()}


# Checks


def exactly_zero(name, shape):
    """Entries whose gradient is 0 in exact arithmetic: see README.md."""
    zero = torch.zeros(shape, dtype=torch.bool)
    if "attention" in name and name.endswith("f.bias"):
        zero[:] = True
    if name.endswith("stem.weight"):
        zero[:, 3:, 3, 3] = True
    return zero


def compare(golden, before, found):
    """The worst error of each kind as a part of what is allowed, and where. `before` is what `found` began with."""

    def all_of(player):
        return math.sqrt(sum(r.norm() ** 2 for n, r in golden.items() if n.startswith(player)))

    worst = {}
    for name, ours in found.items():
        ours, reference = ours.double(), golden[name].double()
        kind, _, weight = name.partition(".")
        if "grad." in name:
            player = name[: name.index("grad.") + (5 if name.startswith("grad.") else 7)]
            kind = "gradients"
            part = (ours - reference).norm() / (1e-3 * reference.norm() + 1e-7 * all_of(player))
        elif kind in ("after", "average") and not weight.startswith(("D.u", "D.v")):
            used = ~exactly_zero(name, ours.shape)
            moved = (reference - golden[weight])[used]
            error = (ours - before[weight])[used] - moved
            allowed = 1e-2 * moved.norm()
            if kind == "average":  # it moves by little more than f32 can say
                allowed += 1e-7 * reference[used].norm()
            part = error.norm() / allowed if used.any() else torch.tensor(0.0)
        else:
            kind, part = "outputs", ((ours - reference).abs() / (1e-4 * reference.abs().clamp(min=1))).max()
        worst[kind] = max(worst.get(kind, (0.0, "")), (float(part), name))
    return worst


def check(case):
    """Recomputes a case in f32 from its file."""
    with safe_open(f"{case}.safetensors", "pt") as file:
        settings = {key: json.loads(value) for key, value in file.metadata().items()}
    golden = load_file(f"{case}.safetensors")
    found = compute(case, settings, golden, torch.float32)
    print(f"{case}: {len(found)} tensors recomputed")
    for kind, (part, name) in compare(golden, golden, found).items():
        print(f"  {kind}: {part:.3f} of the tolerance, at {name}")
        assert part <= 1, f"{name} is out of tolerance"
    flow = golden.get("1.flow", golden.get("flow"))
    outside = (positions(flow).abs() > 1 - 1 / torch.tensor([flow.shape[3], flow.shape[2]])).any(-1)
    print(f"  samples clamped at the border: {int(outside.sum())} of {outside.numel()}")
    assert outside.any() and not outside.all()


def is_smooth(case, settings, seed):
    """Whether no kink (of ReLU, |.|, sampling, the sign in Adam's first step) is so near that rounding could cross it:
    weights that differ by more than f32's rounding give the same gradients and steps."""
    golden = make(case, settings, seed)
    for trial in range(12):
        torch.manual_seed(1000 + trial)
        before = {
            name: tensor.double() * (1 + 1e-6 * torch.randn(tensor.shape)) if name[:2] in ("G.", "D.") else tensor
            for name, tensor in golden.items()
        }
        worst = compare(golden, before, compute(case, settings, before, torch.float64))
        if max(part for kind, (part, _) in worst.items() if kind != "outputs") > 0.5:
            return False
    return True


def main():
    torch.set_num_threads(1)
    if sys.argv[1:] == ["--seeds"]:
        for case, settings in CASES.items():
            print(case, next(seed for seed in range(1, 1000) if is_smooth(case, settings, seed)), flush=True)
        return
    if sys.argv[1:] != ["--check"]:
        with open("index.json") as file:
            index = json.load(file)
        for case, settings in CASES.items():
            tensors = make(case, settings, SEEDS[case])
            metadata = {key: json.dumps(value) for key, value in settings.items()}
            save_file({name: t.contiguous() for name, t in tensors.items()}, f"{case}.safetensors", metadata)
            index[case] = settings
        with open("index.json", "w") as file:
            file.write(json.dumps(index, indent=1) + "\n")
    for case in CASES:
        check(case)


main()
