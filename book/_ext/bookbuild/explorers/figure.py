"""A live figure as HTML: panels, the sentence that describes them, sliders."""

import html
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from .panels import number


@dataclass(frozen=True)
class Control:
    """One slider and its start; on a log scale low, high and step count powers of ten."""

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    unit: str = ""
    log: bool = False

    def position(self, value):
        """Return where the slider stands for a value."""
        return math.log10(value) if self.log else value

    def html(self, value, off=None):
        """Return the slider with its label, and beside it the value, or why it is off."""
        text = off or number(value, 3 if self.log else 5) + self.unit
        return (
            f'<label><span>{self.label}</span><input type="range" name="{self.name}"'
            f' min="{self.low:g}" max="{self.high:g}" step="{self.step:g}"'
            f' value="{self.position(value):g}" autocomplete="off"{" disabled" if off else ""}'
            f' data-scale="{"log" if self.log else "linear"}" data-unit="{self.unit}"'
            f' aria-label="{self.label}" aria-valuetext="{text}">'
            f'<output aria-live="off">{text}</output></label>'
        )


@dataclass(frozen=True)
class LiveFigure:
    """The sliders of a figure, and how the build draws the picture that stands there first.

    draw : function of the sliders' values; returns the panels and the sentence that says what is
        to be seen in them
    presets : values of sliders by the label of the button that sets them
    data : numbers and words that the script needs, under their names; under "only" the sliders
        that count "when" others have certain values, and what to say "unless" they have
    """

    controls: tuple[Control, ...]
    draw: Callable
    presets: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)

    def html(self, name, start):
        """Return the figure with some sliders started at other values.

        Raises ValueError if a value is none of the figure's sliders or beyond its ends.
        """
        values = {control.name: control.start for control in self.controls} | start
        if unknown := set(start) - {control.name for control in self.controls}:
            raise ValueError(f"{name} has no slider {sorted(unknown)[0]!r}")
        for control in self.controls:
            value = values[control.name]
            if not control.low <= control.position(value) <= control.high:
                raise ValueError(f"{control.name} = {value:g} is beyond the ends of its slider")
        panels, sentence = self.draw(**values)
        return f"""\
<div class="freqsense-explorer" data-explorer="{name}">
<div class="explorer-panels">{"".join(panel.svg() for panel in panels)}</div>
<div class="explorer-controls" role="group" aria-label="sliders of the figure" hidden>\
{self._buttons()}{self._sliders(values)}</div>
<p class="explorer-says" aria-live="polite">{html.escape(sentence)}</p>
<noscript><p>The sliders of this figure need JavaScript.</p></noscript>
<script type="application/json">{json.dumps(self.data)}</script>
</div>"""

    def _sliders(self, values):
        """Return the sliders; one that does not count is off."""
        parts = []
        for control in self.controls:
            rule = self.data.get("only", {}).get(control.name, {"when": {}})
            counts = all(values[name] == value for name, value in rule["when"].items())
            parts.append(control.html(values[control.name], None if counts else rule["unless"]))
        return "".join(parts)

    def _buttons(self):
        """Return one button for each preset."""
        buttons = (
            f'<button type="button" data-set="{html.escape(json.dumps(values))}">{label}</button>'
            for label, values in self.presets.items()
        )
        return f'<div class="explorer-presets">{"".join(buttons)}</div>' if self.presets else ""
