"""The files of feature catalogues."""

from core.planning.config_file import ConfigFiles
from core.study.catalogue import CatalogueConfig

CATALOGUE_FILES = ConfigFiles("catalogue", CatalogueConfig, "a mapping (name, study, explainers, scorers, …)")
