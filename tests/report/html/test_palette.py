"""Colours can be seen, and told apart, by everybody; in light and in dark."""

import math
from itertools import combinations

import pytest

from awfproxy.report.html.palette import (
    CARD,
    CLASSES,
    COLOURS,
    GOOD,
    INK,
    LINK,
    MODELS,
    OTHER,
    PAGE,
    SOFT,
    Colour,
    fills,
    variables,
)

#: WCAG 2.2, 1.4.3 and 1.4.11
LETTERS, SHAPES = 4.5, 3.0
#: in CIELAB, where 2 can just be told apart side by side: enough for pieces and their legend
APART = 13.0
#: what people without red, or without green, cones see of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1)
BLIND = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "none": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
Linear = tuple[float, float, float]


def linear(colour: str) -> Linear:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return red, green, blue


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def lab(colour: Linear) -> Linear:
    red, green, blue = (min(max(each, 0.0), 1.0) for each in colour)
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, sight: str) -> float:
    seen = []
    for colour in (one, other):
        parts = linear(colour)
        red, green, blue = (sum(a * b for a, b in zip(row, parts, strict=True)) for row in BLIND[sight])
        seen.append(lab((red, green, blue)))
    return math.dist(*seen)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark: bool) -> None:
    """Letters on both backgrounds, shapes on the one that they are drawn on."""
    for letters in (INK, SOFT, LINK, GOOD):
        for behind in (PAGE, CARD):
            assert contrast(letters[dark], behind[dark]) >= LETTERS, letters
    for name, colour in COLOURS.items():
        assert contrast(colour[dark], CARD[dark]) >= SHAPES, name


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sight", BLIND)
@pytest.mark.parametrize("group", [(*CLASSES.values(), OTHER), (*MODELS, OTHER)], ids=["classes", "models"])
def test_colours_of_a_plot_are_told_apart(dark: bool, sight: str, group: tuple[Colour, ...]) -> None:
    """Each from every other one."""
    for one, other in combinations(group, 2):
        assert distance(one[dark], other[dark], sight) >= APART, (one, other)


def test_every_class_has_its_rule() -> None:
    """And every variable its colour, in both."""
    for name in COLOURS:
        assert f".{name}{{" in fills()
        assert all(f"--{name}:#" in variables(dark) for dark in (False, True))
