"""Every calibrated reading held against planted truth."""

from .calibration import calibrate

__all__ = ["calibrate"]
