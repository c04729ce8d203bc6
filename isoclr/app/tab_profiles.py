"""The tab of expression profiles."""

import gradio as gr

from isoclr.app.inputs import Limits, read_upload
from isoclr.app.parts import KEPT, message_box, on, picture
from isoclr.app.profiles import COLUMNS, ProfileModel, study_profiles

MISSING = (
    "No model of expression comes with this installation. `isoclr train` makes one (see the guide "
    "EXPRESSION), and `isoclr app --expression FOLDER` shows it here."
)


def profile_tab(model: ProfileModel | None, limits: Limits) -> None:
    """Add what is handed in, and below it the map of samples.

    Args:
        model: of expression; None: the tab says that there is none.
        limits: of what is handed in.
    """
    if model is None:
        gr.Markdown(MISSING, elem_id="no_profiles")
        return
    gr.Markdown(
        f"Embeds bulk samples by `{model.name}`: counts, TPM, FPKM or log2 of them, as TSV, CSV, "
        f"Parquet or .h5ad; at most {limits.samples:,} samples and {limits.bytes / 1e6:,.0f} MB. "
        "`isoclr expression embed` writes the embeddings themselves."
    )
    file = gr.File(label="Genes and samples", height=130, elem_id="matrix")
    button = gr.Button("Embed", variant="primary", elem_id="embed")
    message = message_box("wrong_profiles")
    with gr.Column(visible=False) as results:
        found = gr.State(time_to_live=KEPT)
        notes = gr.Textbox(label="Notes", interactive=False, lines=3, elem_id="profile_notes")
        label = gr.Dropdown(label="Colour the samples by", visible=False)
        shown = picture("profile_map")
        table = gr.Dataframe(headers=COLUMNS, interactive=False, wrap=True, elem_id="profiles")

    def embed(path):
        made = study_profiles(model, read_upload(path, limits) if path else b"", limits)
        columns = list(made.matrix.obs)
        first = columns[0] if columns else None
        choice = gr.update(choices=columns, value=first, visible=bool(columns))
        return [made, "\n".join(made.notes), made.nearest(), choice, made.map(first)]

    def draw(studied, column):
        return studied.map(column)

    def show(studied):
        return gr.update(visible=studied is not None)

    on(button.click, embed, [file], [found, notes, table, label, shown], message)
    found.change(show, [found], [results], api_visibility="private")
    on(label.input, draw, [found, label], [shown], message)
