"""Where things lie in a picture."""

from __future__ import annotations

from matplotlib.figure import Figure

from ast_demo.figures import Look


def box_in_pixels(figure: Figure, look: Look) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the main axes in CSS pixels."""
    x, y = figure.get_size_inches() * 100
    box = figure.axes[0].get_position()
    assert abs(x - look.width_px) < 1e-6
    return box.x0 * x, box.x1 * x, box.y0 * y, box.y1 * y


def pixel_of(figure: Figure, look: Look, seconds: float, y: float) -> tuple[float, float]:
    """Where a point of the main axes lies in the PNG: device pixels from its upper left corner."""
    figure.set_dpi(100 * look.scale)
    across, up = figure.axes[0].transData.transform((seconds, y))
    return float(across), float(figure.get_size_inches()[1] * 100 * look.scale - up)
