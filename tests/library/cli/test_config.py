"""Declared sweeps: mistakes are named before anything is run."""

import pytest
from terminal import CONFIG


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight_decay:", "weight_decai:", "got 'weight_decai'; did you mean 'weight_decay'?"),
        ("description:", "descripton:", "got 'descripton'; did you mean 'description'?"),
        ("grid:", "gird:", "must hold `grid:`"),
        ("grid:", "run: train_and_mesure\ngrid:", "did you mean 'train_and_measure'?"),
        ("conv_actually-2", "conv_actualy-2", "did you mean 'conv_actually-2'?"),
        ('"gaussian_field:0"', "gausian_field:0", "did you mean 'gaussian_field'?"),
        ('"gaussian_field:0"', "gaussian_field", "takes 1 numbers after colons"),
        ("width: 2", "image_filter: none hi_pass:3", "did you mean 'high_pass'?"),
        ("  architecture", "  wave_norm: 8.0\n  architecture", "got 'wave_norm'"),
        ("grid:\n", "run: train_and_attack\ngrid:\n  labels: true\n", "got 'labels'"),
        ("width: 2", "regime: plane", "did you mean 'plain'?"),
        ("width: 2", "schedule: cosin", "did you mean 'cosine'?"),
        ("width: 2", "width: two", "width must be of type int, got 'two'"),
        ("width: 2", "augment: 1", "augment must be True or False, got 1"),
        ("[0.01]", "[1e-2]", "write 1.0e-3), got '1e-2'"),
        ("[0.01]", "[]", "axis weight_decay must be a list of values, not empty"),
        ("width: 2", "seed: 2", "got 'seed' twice"),
        ("  architecture: [conv_actually-2, linear_cnn-2]\n", "", "got none for architecture"),
        ("[0, 1]", "[0, 1", "must be YAML"),
    ],
)
def test_configurations_are_checked_before_any_run(tmp_path, fail, old, new, said):
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG.replace(old, new))
    assert said in fail("sweep", config)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]
