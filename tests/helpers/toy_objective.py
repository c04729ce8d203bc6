"""The smallest objective: a linear model learns to undo noise on points of a plane."""

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from isoclr.objectives.base import Objective
from isoclr.training.processes import mean_over_processes
from isoclr.training.recipe import Recipe


class ToyRecipe(Recipe):
    noise: float = 0.5
    dropout: float = 0.1


class ToyModel(PreTrainedModel):
    config_class = PretrainedConfig

    def __init__(self, config):
        super().__init__(config)
        self.linear, self.dropout = nn.Linear(4, 4), nn.Dropout(config.dropout)
        self.post_init()

    def error(self, batch):
        restored = self.linear(self.dropout(batch.points + batch.noise))
        return (restored - batch.points).float().square().mean()


class ToyBatch:
    def __init__(self, points, noise):
        self.points, self.noise, self.sizes = points, noise, {"points": 2 * len(points)}

    def to(self, device):
        return ToyBatch(self.points.to(device), self.noise.to(device))


class ToyLoss(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        loss = self.model.error(batch)
        return loss, {"loss": mean_over_processes(loss)}


class ToyObjective(Objective):
    recipe_class = ToyRecipe

    def __init__(self, recipe, rank, world_size):
        super().__init__(recipe, rank, world_size)
        self.batches, self.steps_per_epoch = self, 5

    def __getitem__(self, step):
        generator = torch.Generator().manual_seed(1000 * self.recipe.seed + step)
        points, noise = torch.randn(2, self.recipe.batch_size, 4, generator=generator)
        mine = slice(self.rank, None, self.world_size)
        return ToyBatch(points[mine], self.recipe.noise * noise[mine])

    def build_model(self):
        return ToyModel(PretrainedConfig(dropout=self.recipe.dropout))

    def loss_module(self, model):
        return ToyLoss(model)

    def evaluate(self, model):
        model.eval()
        found = {"held_out_loss": model.error(self[10**6].to(model.device)).item()}
        model.train()
        return found
