"""The tab of transcripts."""

import gradio as gr

from data_builders.records import InputError
from isoclr.app.figures import draw_explanation, draw_tracks
from isoclr.app.inputs import Given, Limits, read_transcripts, read_upload
from isoclr.app.parts import KEPT, message_box, on, picture
from isoclr.app.transcripts import (
    BASES,
    Engine,
    attribute,
    mutate_base,
    nearest,
    study,
    table_of,
    warnings_of,
)

_EXAMPLE = (
    ">example\n"
    "GCTTCCTGAAGCAGCGGCTCCAGAGACACCATGGCTGTGAAGCTGTCCGAGGACCTGAAGAAGATCGAGGCTGCCAAGGAGCTGGTG\n"
    "CACAAGGGCGACTTCGAGAACGCCATCAAGCTGTTCGAGGAGGCCCTGAAGCTGAACCCCGAGTAATGTAAATATTTATTTATTTAA\n"
    "AGCTGTGTCTGAAATAAACTTGTGCAGTGATCTTGGAAAAAAAAAAAAAAAAAAAA\n"
)


def transcript_tab(engine: Engine, limits: Limits) -> None:
    """Add what is handed in, and below it what is found.

    Args:
        engine: the model.
        limits: of what is handed in.
    """
    inputs, button = _handed_in(engine, limits)
    head = inputs[-1]
    message = message_box("message")
    with gr.Column(visible=False) as results:
        notes = gr.Textbox(label="Notes", interactive=False, lines=2, max_lines=8, elem_id="notes")
        table = gr.Dataframe(label="Transcripts", interactive=False, wrap=True, elem_id="table")
        found = gr.State(time_to_live=KEPT)
        chosen = gr.Dropdown(label="Transcript to look at", elem_id="chosen")
        made = _looked_at(engine, found, chosen, head)

    def read(text, fasta, annotation, species, cds, junctions, guess, head_name):
        transcripts, said = _read(
            limits,
            text or "",
            fasta,
            annotation,
            Given(species=species or "", guess=guess, cds=cds or "", junctions=junctions or ""),
        )
        studied = study(engine, transcripts)
        columns, rows = table_of(engine, studied, head_name)
        said += warnings_of(engine, studied, head_name)
        names = [(transcript.transcript_id, row) for row, transcript in enumerate(transcripts)]
        shown = {"headers": columns, "data": rows}
        return [studied, "\n".join(said) or "none", shown, gr.update(choices=names, value=0)]

    def show(studied):
        return [gr.update(visible=studied is not None), *[None] * len(made)]

    on(button.click, read, inputs, [found, notes, table, chosen], message)
    found.change(show, [found], [results, *made], api_visibility="private")


def _handed_in(engine: Engine, limits: Limits) -> tuple[list, gr.Button]:
    """What a visitor hands in, in the order that `read` takes it, and the button."""
    with gr.Row():
        with gr.Column(scale=2):
            text = gr.Textbox(
                label="Spliced transcripts: FASTA, or one bare sequence",
                lines=8,
                max_lines=12,
                placeholder=">name\nACGU…",
                max_length=limits.bytes,
                elem_id="fasta",
            )
            example = gr.Button("Fill in an example", size="sm", elem_id="example")
        with gr.Column():
            fasta = gr.File(label="or a FASTA file, plain or gzip", height=130)
            annotation = gr.File(label="their GTF, GFF3, genePred or BED12", height=130)
    with gr.Row():
        species = gr.Textbox(label="Species", placeholder="homo_sapiens")
        cds = gr.Textbox(
            label="CDS of one transcript", placeholder="start-end, 0-based", elem_id="cds"
        )
        junctions = gr.Textbox(
            label="its exon junctions", placeholder="60, 110; or none", elem_id="junctions"
        )
        guess = gr.Checkbox(label="without a CDS, take the longest reading frame", value=True)
    names = list(engine.heads)
    head = gr.Dropdown(
        choices=names, value=names[0] if names else None, label="Predict", visible=bool(names)
    )
    if not names:
        gr.Markdown(f"`{engine.name}` brings no head, so nothing is predicted.")
    gr.Markdown(
        f"By `{engine.name}`. At most {limits.transcripts:,} transcripts of "
        f"{limits.nucleotides:,} nt, and {limits.bytes / 1e6:,.0f} MB a file. The model reads exon "
        "junctions and CDS too: without them a prediction is worth less."
    )
    button = gr.Button("Read and predict", variant="primary", elem_id="read")
    example.click(lambda: _EXAMPLE, None, [text], api_visibility="private")
    return [text, fasta, annotation, species, cds, junctions, guess, head], button


def _read(limits: Limits, text: str, fasta, annotation, given: Given):
    """Transcripts and notes of what was handed in; files are paths, or None."""
    if fasta and text.strip():
        raise InputError("got typed text and a FASTA file, wanted one of them")
    return read_transcripts(
        read_upload(fasta, limits) if fasta else text,
        read_upload(annotation, limits) if annotation else None,
        given,
        limits,
    )


def _looked_at(engine: Engine, found, chosen, head) -> list:
    """Add what is said of one transcript; return what a new upload must empty."""
    tracks, drawn = picture("tracks"), gr.State(time_to_live=KEPT)
    gr.Markdown("A click into the picture chooses the position of the mutation.")
    with gr.Row():
        with gr.Column():
            gr.Markdown("### Mutate a base")
            position = gr.Number(
                label="Position, 0-based", precision=0, value=0, elem_id="position"
            )
            base = gr.Radio(list(BASES), label="New base", value="A", elem_id="base")
            mutate = gr.Button("Mutate", elem_id="mutate")
            wrong_base = message_box("wrong_base")
            effect = gr.Textbox(label="Change", interactive=False, lines=4, elem_id="effect")
        with gr.Column():
            gr.Markdown("### Nearest of the other transcripts")
            near = gr.Dataframe(
                headers=["transcript", "gene", "cosine"],
                interactive=False,
                wrap=True,
                elem_id="near",
            )
    gr.Markdown(
        "### Bases that the prediction goes by\nGradients everywhere, and mutations of the 60 nt "
        "with the largest ones: about five seconds for 2,000 nt."
    )
    button = gr.Button("Explain", elem_id="explain", interactive=bool(engine.heads))
    wrong_explanation = message_box("wrong_explanation")
    explained = picture("explained")
    said = gr.Textbox(label="In numbers", interactive=False, lines=8, elem_id="said")

    def look(studied, row):
        if studied is None or row is None:
            return [None, None, None]
        made = draw_tracks(studied.transcripts[row])
        return [made.pixels, made, nearest(studied, row)]

    def choose(made, event: gr.SelectData):
        return made.position(event.index[0])

    def change(studied, row, at, letter, head_name):
        if at is None:
            raise InputError("position: got none, wanted a number")
        made = mutate_base(engine, studied, row, int(at), letter or "", head_name)
        used = engine.head(head_name)
        return "\n".join(made.lines(used.predicts if used else ""))

    def explain(studied, row, head_name):
        made = attribute(engine, studied.transcripts[row], head_name)
        return [draw_explanation(made), made.table()]

    for event in (found.change, chosen.input):
        event(look, [found, chosen], [tracks, drawn, near], api_visibility="private")
    tracks.select(choose, [drawn], [position], api_visibility="private")
    on(mutate.click, change, [found, chosen, position, base, head], [effect], wrong_base)
    on(button.click, explain, [found, chosen, head], [explained, said], wrong_explanation)
    return [effect, explained, said]
