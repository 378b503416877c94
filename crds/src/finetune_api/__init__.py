"""The FineTuneJob resource and the contract between operator and trainer. Knows neither of them."""

# Of the whole project: pyproject.toml and the chart take it from here.
__version__ = "0.1.0"

GROUP = "finetune.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "FineTuneJob"
PLURAL = "finetunejobs"
