"""Names of the files in a data folder; `jaxcap.data.coco` says what they hold."""

CAPTIONS_FILE = "coco2014_captions.h5"
VOCABULARY_FILE = "coco2014_vocab.json"
DATASET_FILE = "dataset.json"
PCA_FILE = "pca.h5"


def features_file(split: str, pca_features: bool) -> str:
    """The name of the file with a split's features."""
    return f"{split}2014_vgg16_fc7{'_pca' if pca_features else ''}.h5"


def urls_file(split: str) -> str:
    """The name of the file with a split's URLs."""
    return f"{split}2014_urls.txt"


def references_file(split: str) -> str:
    """The name of the file with a split's captions as people wrote them."""
    return f"references_{split}.json"
