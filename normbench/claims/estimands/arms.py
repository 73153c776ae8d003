"""An arm of a comparison, which an estimand reports in addition to its number."""

from dataclasses import dataclass

from normbench.claims.estimands.arguments import Measure
from normbench.claims.estimands.measures import Measured
from normbench.claims.estimands.records import Arm


@dataclass(frozen=True, eq=False)
class MeasuredArm:
    """One arm of a comparison.

    Attributes:
        arm: Its config values.
        measured: What was measured of it.
        measure: What measures the arms of the design that are not compared in the same way.
    """

    arm: Arm
    measured: Measured
    measure: Measure
