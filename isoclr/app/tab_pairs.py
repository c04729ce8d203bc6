"""The tab of RNAs and proteins."""

import gradio as gr

from data_builders.records import InputError
from isoclr.app.inputs import Limits, read_upload
from isoclr.app.pairs import COLUMNS, explain_row, study_pairs
from isoclr.app.parts import KEPT, message_box, on, picture
from isoclr.evaluation.interact import PairModel

MISSING = (
    "No model of RNA–protein interaction comes with this installation. `isoclr train` makes one "
    "(see the guide INTERACTIONS), and `isoclr app --pairs FOLDER` shows it here."
)


def pair_tab(model: PairModel | None, name: str, limits: Limits) -> None:
    """Add what is handed in, and below it the scores of pairs.

    Args:
        model: of pairs; None: the tab says that there is none.
        name: of the model.
        limits: of what is handed in.
    """
    if model is None:
        gr.Markdown(MISSING, elem_id="no_pairs")
        return
    gr.Markdown(
        f"Every RNA is scored with every protein, by `{name}`. At most {limits.molecules} of each, "
        f"of {limits.letters:,} letters. A molecule that is like none in training is guesswork: "
        "the columns say how alike the nearest is."
    )
    texts, files = [], []
    with gr.Row():
        for what, hint in (("RNA", "ACGU…"), ("protein", "MKV…")):
            with gr.Column():
                texts.append(
                    gr.Textbox(
                        label=f"{what}: FASTA, or one bare sequence",
                        lines=5,
                        max_lines=10,
                        placeholder=f">name\n{hint}",
                        max_length=limits.bytes,
                        elem_id=f"{what.lower()}_text",
                    )
                )
                files.append(gr.File(label=f"or a FASTA file of {what}", height=130))
    button = gr.Button("Score", variant="primary", elem_id="score")
    message = message_box("wrong_pairs")
    with gr.Column(visible=False) as results:
        found = gr.State(time_to_live=KEPT)
        notes = gr.Textbox(label="Notes", interactive=False, lines=2, elem_id="pair_notes")
        table = gr.Dataframe(headers=COLUMNS, interactive=False, wrap=True, elem_id="pair_table")
        heat_map = picture("heat_map")
        gr.Markdown("### What the score of one pair owes to what")
        with gr.Row():
            rna = gr.Dropdown(label="RNA", elem_id="pair_rna")
            protein = gr.Dropdown(label="protein", elem_id="pair_protein")
        explain = gr.Button("Explain", elem_id="explain_pair")
        wrong = message_box("wrong_pair")
        explained = picture("pair_explained")

    def score(rna_text, protein_text, rna_file, protein_file):
        given = []
        for text, file in ((rna_text, rna_file), (protein_text, protein_file)):
            if file and (text or "").strip():
                raise InputError("got typed text and a file of the same, wanted one of them")
            given.append(read_upload(file, limits) if file else text or "")
        made = study_pairs(model, given[0], given[1], limits)
        choices = [
            [(molecule.id, place) for place, molecule in enumerate(molecules)]
            for molecules in (made.queries.rnas, made.queries.proteins)
        ]
        dropdowns = [gr.update(choices=names, value=0) for names in choices]
        return [made, "\n".join(made.notes), made.rows, made.heat_map(), *dropdowns]

    def show(studied):
        return [gr.update(visible=studied is not None), None]

    def explain_one(studied, first, second):
        return explain_row(model, studied, first, second)

    outputs = [found, notes, table, heat_map, rna, protein]
    on(button.click, score, [*texts, *files], outputs, message)
    found.change(show, [found], [results, explained], api_visibility="private")
    on(explain.click, explain_one, [found, rna, protein], [explained], wrong)
