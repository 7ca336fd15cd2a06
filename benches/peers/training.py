"""One step of training of `sasn`, `stargan` and `moue` in PyTorch, as one would write it.

Adam is fused, the moving average is one call for all weights, the discriminator's weights get no gradients while the
generator steps, and the gradient penalty differentiates twice.
"""

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from networks import middle

ON_REAL = {
    "saturating": lambda a: F.softplus(-a).mean(),
    "non_saturating": lambda a: F.softplus(-a).mean(),
    "hinge": lambda a: F.relu(1 - a).mean(),
    "wasserstein_gp": lambda a: -a.mean(),
}
ON_FAKE = {
    "saturating": lambda a: F.softplus(a).mean(),
    "non_saturating": lambda a: F.softplus(a).mean(),
    "hinge": lambda a: F.relu(1 + a).mean(),
    "wasserstein_gp": lambda a: a.mean(),
}
OF_GENERATOR = {
    "saturating": lambda a: -F.softplus(a).mean(),
    "non_saturating": lambda a: F.softplus(-a).mean(),
    "hinge": lambda a: -a.mean(),
    "wasserstein_gp": lambda a: -a.mean(),
}


class Game:
    """Two players and a batch. Losses have moue's names."""

    loss = "wasserstein_gp"  # of methods whose settings name none

    def __init__(self, settings, generator, discriminator, batch):
        self.settings, self.batch = settings, batch
        self.generator, self.discriminator = generator, discriminator
        self.eager_discriminator = discriminator
        self.loss = settings.get("adversarial_loss", self.loss)
        rates, adam = settings["learning_rates"], settings["adam"]
        options = {"betas": (adam["beta1"], adam["beta2"]), "eps": adam["epsilon"], "fused": True}
        self.adam = {
            "generator": torch.optim.Adam(generator.parameters(), rates["generator"], **options),
            "discriminator": torch.optim.Adam(discriminator.parameters(), rates["discriminator"], **options),
        }
        follow = get_ema_multi_avg_fn(settings["average_decay"])
        self.average = AveragedModel(generator, multi_avg_fn=follow)
        self.learner, self.steps = generator, 0

    def compile(self):
        """Compiles what can be. Differentiating twice cannot: the gradient penalty stays as it is."""
        self.generator = torch.compile(self.generator)
        self.discriminator = torch.compile(self.discriminator)

    def scale_rates(self, factor):
        for adam in self.adam.values():
            for group in adam.param_groups:
                group["lr"] *= factor

    def step(self):
        updates = self.settings.get("updates", {"generator": 1, "discriminator": 1})
        if "discriminator_updates" in self.settings:
            updates = {"generator": 1, "discriminator": self.settings["discriminator_updates"]}
        turn = self.steps % max(updates.values())
        self.mixing, self.gains = self.batch[f"mixing.{turn}"], self.batch.get(f"gains.{turn}")
        self.steps += 1
        if updates["discriminator"] == 1:
            losses = self.update_generator()
            if self.steps % updates["generator"] == 0:
                losses |= self.update_discriminator()
        else:
            losses = self.update_discriminator()
            if self.steps % updates["discriminator"] == 0:
                losses |= self.update_generator()
        return losses

    def update_generator(self):
        self.eager_discriminator.eval().requires_grad_(False)
        losses, total = self.generator_losses()
        self.descend("generator", total)
        self.average.update_parameters(self.learner)
        self.eager_discriminator.train().requires_grad_(True)
        return losses

    def update_discriminator(self):
        losses, total = self.discriminator_losses()
        self.descend("discriminator", total)
        return losses

    def descend(self, player, total):
        self.adam[player].zero_grad(set_to_none=True)
        total.backward()
        self.adam[player].step()


class StarganGame(Game):
    """StarGAN's losses, and those of `sasn`, which has others in their places."""

    def generator_losses(self):
        settings, batch = self.settings, self.batch
        fake = self.generator(batch["source"], batch["targets"])
        back = self.generator(fake, batch["expressions"])
        source, expression = self.discriminator(fake)
        adversarial = OF_GENERATOR[self.loss](source)
        classification = F.cross_entropy(expression, batch["targets"])
        reconstruction = F.l1_loss(back, batch["source"])
        total = adversarial + settings["lambda_classification"] * classification
        total = total + settings["lambda_reconstruction"] * reconstruction
        names = ["adversarial", "classification", "reconstruction"]
        losses = [adversarial, classification, reconstruction]
        return {f"generator.{name}": loss.detach() for name, loss in zip(names, losses)}, total

    def discriminator_losses(self):
        settings, batch = self.settings, self.batch
        x = batch["source"]
        with torch.no_grad():
            fake = self.generator(x, batch["targets"])
        source, expression = self.discriminator(torch.cat([x, fake]))
        real, made = source.chunk(2)
        adversarial = ON_REAL[self.loss](real) + ON_FAKE[self.loss](made)
        classification = F.cross_entropy(expression[: len(x)], batch["expressions"])
        total = adversarial + settings["lambda_classification"] * classification
        losses = {"adversarial": adversarial, "classification": classification}
        if self.loss == "wasserstein_gp":
            losses["gradient_penalty"] = self.gradient_penalty(x, fake)
            total = total + settings["lambda_gradient_penalty"] * losses["gradient_penalty"]
        return {f"discriminator.{name}": loss.detach() for name, loss in losses.items()}, total

    def gradient_penalty(self, x, fake):
        between = torch.lerp(fake, x, self.mixing).requires_grad_()
        source, _ = self.eager_discriminator(between)
        (gradient,) = torch.autograd.grad(source.sum(), between, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def along(x, axis):
    return x.diff(dim=axis)


def compare(result, flow, colour, mask, truth, weights):
    difference = result - truth
    return {
        "pixels": (weights * difference.abs()).mean(),
        "half_size": F.avg_pool2d(difference, 2).abs().mean(),
        "edges": along(difference, 3).abs().mean() + along(difference, 2).abs().mean(),
        "colour": (weights * mask.detach().square() * (colour - truth).abs()).mean(),
        "smoothness": flow.shape[3] * (along(flow, 3).square().mean() + along(flow, 2).square().mean()),
    }


class MoueGame(Game):
    loss = "hinge"

    def __init__(self, settings, generator, discriminator, batch):
        super().__init__(settings, generator, discriminator, batch)
        weights = self.parts(region_weights(settings["image_size"])[None, None])
        self.weights = [part / part.mean() for part in weights]

    def parts(self, images):
        """What is compared. The discriminator sees the last."""
        return [F.avg_pool2d(images, 2), middle(images)] if self.settings.get("close_channels") else [images]

    def generator_losses(self):
        settings, batch = self.settings, self.batch
        parts, truth = self.generator(batch["source"], batch["targets"], self.gains), self.parts(batch["truth"])
        compared = [compare(*part, t, w) for part, t, w in zip(parts, truth, self.weights)]
        losses = {name: sum(part[name] for part in compared) / len(compared) for name in compared[0]}
        result = parts[-1][0]
        self.fake = result.detach()
        source, expression, features = self.discriminator(result, True)
        with torch.no_grad():
            _, _, true_features = self.discriminator(truth[-1], True)
        apart = [(f - true).abs().mean() / true.abs().mean() for f, true in zip(features, true_features)]
        losses["features"] = sum(apart) / len(apart)
        losses["adversarial"] = OF_GENERATOR[self.loss](source)
        losses["classification"] = F.cross_entropy(expression, batch["targets"])
        factors = {
            "pixels": settings["lambda_reconstruction"],
            "half_size": settings["lambda_reconstruction"],
            "edges": settings["lambda_reconstruction"] * 0.5,
            "colour": settings["lambda_reconstruction"] * settings["lambda_colour"],
            "smoothness": settings["lambda_smoothness"],
            "features": settings["lambda_features"],
            "adversarial": settings["lambda_adversarial"],
            "classification": settings["lambda_classification"],
        }
        total = sum(factor * losses[name] for name, factor in factors.items())
        return {f"generator.{name}": loss.detach() for name, loss in losses.items()}, total

    def discriminator_losses(self):
        truth, targets = self.parts(self.batch["truth"])[-1], self.batch["targets"]
        source, expression = self.discriminator(torch.cat([truth, self.fake]))
        real, made = source.chunk(2)
        adversarial = ON_REAL[self.loss](real) + ON_FAKE[self.loss](made)
        classification = F.cross_entropy(expression[: len(truth)], targets)
        losses = {"adversarial": adversarial, "classification": classification}
        total = adversarial + classification
        return {f"discriminator.{name}": loss.detach() for name, loss in losses.items()}, total


def region_weights(size):
    """Where the comparison with the true image counts how much: most at the mouth, then at eyes and brows."""
    p = (torch.arange(size) + 0.5) / size

    def hill(x, y, width, height):
        return torch.exp(-(((p[None, :] - x) / width) ** 2) - ((p[:, None] - y) / height) ** 2)

    weights = 1 + 2 * hill(0.5, 0.68, 0.16, 0.10) + hill(0.5, 0.40, 0.25, 0.08)
    return weights / weights.mean()


GAMES = {"sasn": StarganGame, "stargan": StarganGame, "moue": MoueGame}
