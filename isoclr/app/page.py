"""The page, as Gradio shows it; everything that it says comes from the modules beside it."""

import os
from dataclasses import dataclass

import gradio as gr

from data_builders.records import InputError
from isoclr.app.inputs import LIMITS, Limits
from isoclr.app.parts import KEPT
from isoclr.app.profiles import ProfileModel
from isoclr.app.tab_pairs import pair_tab
from isoclr.app.tab_profiles import profile_tab
from isoclr.app.tab_transcripts import transcript_tab
from isoclr.app.transcripts import Engine, load_engine
from isoclr.evaluation.embed_expression import load_expression_model
from isoclr.evaluation.interact import PairModel
from isoclr.shipped import DEFAULT_MODEL, resolve_model, shipped_of_family

TITLE = "isoclr"
HOST, PORT = "127.0.0.1", 7860

_WAITING = 32  # requests that wait at most; one is computed at a time
_SESSIONS = 100
_CSS = ".gradio-container { max-width: 1100px !important; margin: 0 auto; }"


@dataclass(frozen=True, kw_only=True)
class Models:
    """The models that answer, a tab each.

    Attributes:
        engine: of transcripts.
        pairs: of RNAs and proteins; None where there is none.
        pairs_name: of that model.
        profiles: of expression; None where there is none.
    """

    engine: Engine
    pairs: PairModel | None = None
    pairs_name: str = ""
    profiles: ProfileModel | None = None


def load_models(
    model: str | os.PathLike = DEFAULT_MODEL,
    pairs: str | os.PathLike | None = None,
    expression: str | os.PathLike | None = None,
) -> Models:
    """Load the models of the page.

    Args:
        model: an encoder of transcripts, as `load_model` takes it.
        pairs: a model of interactions; None: the one that ships, if any.
        expression: a model of expression; None: the one that ships, if any.

    Raises:
        InputError: what loading raises.
    """
    pairs = pairs or next(iter(shipped_of_family("rpi")), None)
    expression = expression or next(iter(shipped_of_family("isoclr_expression")), None)
    profiles = None
    if expression is not None:
        encoder, processor = load_expression_model(resolve_model(expression))
        name = os.path.basename(os.path.normpath(expression))
        profiles = ProfileModel(name=name, encoder=encoder, processor=processor)
    return Models(
        engine=load_engine(model),
        pairs=None if pairs is None else PairModel(pairs),
        pairs_name="" if pairs is None else os.path.basename(os.path.normpath(pairs)),
        profiles=profiles,
    )


def make_page(models: Models, limits: Limits = LIMITS) -> gr.Blocks:
    """Make the page.

    Args:
        models: that answer.
        limits: of uploads.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(f"# {TITLE}\nWhat pre-trained encoders say of your RNA and your samples.")
        with gr.Tab("Transcripts"):
            transcript_tab(models.engine, limits)
        with gr.Tab("RNA–protein pairs"):
            pair_tab(models.pairs, models.pairs_name, limits)
        with gr.Tab("Expression"):
            profile_tab(models.profiles, limits)
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


def _theme() -> gr.themes.Base:
    """A theme without fonts: those of the browser do."""
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return gr.themes.Default(primary_hue="blue", font=sans, font_mono=mono)
