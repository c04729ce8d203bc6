"""The page, as Gradio shows it; everything that it says comes from the modules beside it."""

import os

import gradio as gr

from data_builders.records import InputError
from isoclr.app.inputs import Limits
from isoclr.app.parts import KEPT
from isoclr.app.tab_transcripts import transcript_tab
from isoclr.app.transcripts import Engine, load_engine
from isoclr.shipped import DEFAULT_MODEL

TITLE = "isoclr"
HOST, PORT = "127.0.0.1", 7860
LIMITS = Limits()

_WAITING = 32  # requests that wait at most; one is computed at a time
_SESSIONS = 100
_CSS = ".gradio-container { max-width: 1100px !important; margin: 0 auto; }"


def make_page(engine: Engine, limits: Limits = LIMITS) -> gr.Blocks:
    """Make the page.

    Args:
        engine: the model of the transcript tab.
        limits: of uploads.
    """
    # One visitor's request at a time is computed, whichever it is.
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(f"# {TITLE}\nWhat a pre-trained encoder says of RNA, by `{engine.name}`.")
        with gr.Tab("Transcripts"):
            transcript_tab(engine, limits)
    return page.queue(max_size=_WAITING, api_open=False)


def serve(page: gr.Blocks, host: str = HOST, port: int = PORT, *, wait: bool = True) -> str:
    """Serve the page until interrupted; it asks no other host for anything.

    Args:
        page: of `make_page`.
        host: to listen on; 0.0.0.0 lets others in.
        port: to listen on.
        wait: return only when interrupted.

    Returns:
        Its address.

    Raises:
        InputError: the port is taken.
    """
    # Gradio asks for the newest version of itself, and reports starts, unless told not to.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            inbrowser=False,
            quiet=True,
            footer_links=[],
            enable_monitoring=False,
            ssr_mode=False,
            theme=_theme(),
            css=_CSS,
            max_file_size=LIMITS.bytes,
            state_session_capacity=_SESSIONS,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot be listened on, wanted a free port") from error
    if wait:
        print(f"isoclr app: {address} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return address


def run_app(model: str | os.PathLike = DEFAULT_MODEL, host: str = HOST, port: int = PORT) -> None:
    """Load a model and serve the page of it.

    Raises:
        InputError: as `load_engine` and `serve`.
    """
    serve(make_page(load_engine(model)), host, port)


def _theme() -> gr.themes.Base:
    """A theme without fonts: those of the browser do."""
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return gr.themes.Default(primary_hue="blue", font=sans, font_mono=mono)
