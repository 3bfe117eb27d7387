from . import checkpoints as checkpoints
from . import datasets as datasets
from . import exercises as exercises
from . import experiments as experiments
from . import filters as filters
from . import fourier as fourier
from . import images as images
from . import layers as layers
from . import measurement as measurement
from . import models as models
from . import notebook as notebook
from . import plotting as plotting
from . import robustness as robustness
from . import sensitivity as sensitivity
from . import spectra as spectra
from . import theory as theory
from . import training as training

__version__: str
