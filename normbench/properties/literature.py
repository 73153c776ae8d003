"""Facts of the literature: decided by citations and the cited figures."""

from dataclasses import dataclass

from normbench.properties.finding import Citation, Finding

INTRODUCTION = Citation(
    ("Ioffe", "Szegedy"),
    2015,
    "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    "ICML 2015, PMLR 37:448-456, arXiv:1502.03167",
    "introduces batch normalization",
)


@dataclass(frozen=True, slots=True)
class Published:
    """The best published accuracy of a kind of network.

    Attributes:
        citation: The publication.
        network: Name of the network.
        top1: ImageNet top-1 accuracy in percent, trained on ImageNet alone.
        batch_norm: Whether the network has batch norm.
    """

    citation: Citation
    network: str
    top1: float
    batch_norm: bool


WITHOUT = Published(
    Citation(
        ("Brock", "De", "Smith", "Simonyan"),
        2021,
        "High-Performance Large-Scale Image Recognition Without Normalization",
        "ICML 2021, arXiv:2102.06171",
        "normalizer-free networks set the state of the art on ImageNet without further data",
    ),
    "NFNet-F6 with SAM",
    86.5,
    batch_norm=False,
)
WITH = Published(
    Citation(
        ("Gong", "Ren", "Ye", "Liu"),
        2020,
        "MaxUp: A Simple Way to Improve Generalization of Neural Network Training",
        "arXiv:2002.09024",
        "the best figure without further data before",
    ),
    "Fix-EfficientNet-B8 with MaxUp",
    85.8,
    batch_norm=True,
)


def history_2015(
    paper: Citation = INTRODUCTION, *, authors: tuple[str, ...] = ("Ioffe", "Szegedy"), year: int = 2015
) -> Finding:
    """Judge whether batch norm was introduced by Ioffe and Szegedy in 2015.

    Args:
        paper: The publication that introduced it.
        authors: Authors that the claim names.
        year: Year that the claim names.

    Returns:
        `supported` if the publication has these authors and this year, otherwise `refuted`.
    """
    agrees = paper.authors == authors and paper.year == year
    evidence = f"{paper} {paper.shows}."
    return Finding("supported" if agrees else "refuted", "cited", evidence, {"year": float(paper.year)})


def sota_required(best_without: Published = WITHOUT, best_with: Published = WITH) -> Finding:
    """Judge whether the state of the art needs batch norm: a leading network without it refutes that.

    Args:
        best_without: The best network without batch norm.
        best_with: The best network with it at the time.

    Returns:
        `refuted` if a network without batch norm was at least as accurate, otherwise `inconclusive`: batch norm in the
        best network does not prove that it is necessary.
    """
    numbers = {"top1_without": best_without.top1, "top1_with": best_with.top1}
    evidence = (
        f"Without batch norm, {best_without.network} reaches {best_without.top1:g} % on ImageNet "
        f"({best_without.citation}); with it, {best_with.network} had reached {best_with.top1:g} % "
        f"({best_with.citation})."
    )
    led = not best_without.batch_norm and best_without.top1 >= best_with.top1
    return Finding("refuted" if led else "inconclusive", "cited", evidence, numbers)
