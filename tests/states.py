"""The state of a model, to be compared before and after a measurement."""

import torch


def state_of(model):
    return (
        [module.training for module in model.modules()],
        [weight.requires_grad for weight in model.parameters()],
        [None if weight.grad is None else weight.grad.clone() for weight in model.parameters()],
        {name: value.clone() for name, value in model.state_dict().items()},
    )


def assert_same_state(before, after):
    assert before[:2] == after[:2]
    for old, new in zip(before[2], after[2], strict=True):
        assert (old is None and new is None) or torch.equal(old, new)
    assert all(torch.equal(before[3][name], after[3][name]) for name in before[3])
