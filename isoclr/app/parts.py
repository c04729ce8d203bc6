"""Parts that the tabs of the page share."""

from collections.abc import Callable
from functools import wraps

import gradio as gr

from data_builders.records import InputError

KEPT = 3600
"""Seconds that files and states of a visitor are kept."""


def on(event: Callable, function: Callable, inputs: list, outputs: list, message) -> None:
    """Call a function on an event; wrong input becomes the text of a message and empties the rest.

    Args:
        event: such as `button.click`.
        function: of the inputs to the outputs.
        inputs: components.
        outputs: components.
        message: a text box.
    """

    @wraps(function)
    def call(*values):
        try:
            made = function(*values)
        except InputError as error:
            empty = [None] * len(outputs)
            return [gr.update(value=str(error), visible=True), *empty]
        return [gr.update(value="", visible=False), *(made if len(outputs) > 1 else [made])]

    event(
        call,
        inputs,
        [message, *outputs],
        api_visibility="private",
        concurrency_limit=1,
        concurrency_id="model",
    )


def message_box(name: str) -> gr.Textbox:
    """A place for one sentence on wrong input."""
    return gr.Textbox(label="Please check", visible=False, interactive=False, elem_id=name)


def picture(name: str) -> gr.Image:
    """A place for a figure; it is not to be sent to another host, so it has no such button."""
    return gr.Image(
        show_label=False,
        type="numpy",
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id=name,
    )
