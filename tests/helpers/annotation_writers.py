"""Transcript models to lines of the formats that annotations come in."""


def clipped(intervals, start, end):
    """What of ascending intervals lies from start to end."""
    parts = [(max(s, start), min(e, end)) for s, e in intervals]
    return [(s, e) for s, e in parts if s < e]


def without_stop(model):
    """The CDS but for its last three bases, and these, both ascending."""
    pieces = list(model.cds if model.strand == "+" else model.cds[::-1])
    stop, bases = [], 3
    while bases:
        start, end = pieces.pop()
        taken = min(bases, end - start)
        bases -= taken
        edge = end - taken if model.strand == "+" else start + taken
        stop.append((edge, end) if model.strand == "+" else (start, edge))
        rest = (start, edge) if model.strand == "+" else (edge, end)
        if rest[0] < rest[1]:
            pieces.append(rest)
    return sorted(pieces), sorted(stop)


def phased(model, pieces):
    """Each piece of the CDS with its phase, 5'→3'."""
    pieces = pieces if model.strand == "+" else pieces[::-1]
    phase = model.phase
    for start, end in pieces:
        yield (start, end), phase
        phase = (phase - (end - start)) % 3


def gtf(model, *, stop="apart", ends_in_stop=True):
    """Lines as Ensembl writes them.

    A stop codon at the CDS's end is listed "apart", or left out ("absent"), or of the CDS ("in").
    """
    attributes = f'gene_id "{model.gene_id}"; transcript_id "{model.transcript_id}";'

    def line(kind, start, end, phase="."):
        columns = (model.chromosome, "x", kind, start + 1, end, ".", model.strand, phase)
        return "\t".join(map(str, (*columns, attributes)))

    cds, stops = list(model.cds), []
    if cds and ends_in_stop and stop != "in":
        cds, stops = without_stop(model)
    yield line("transcript", model.exons[0][0], model.exons[-1][1])
    yield from (line("exon", *exon) for exon in model.exons)
    yield from (line("CDS", *piece, phase) for piece, phase in phased(model, cds))
    if stop == "apart":
        yield from (line("stop_codon", *piece, phase) for piece, phase in phased(model, stops))


def listed(values):
    """Numbers with UCSC's comma after the last one."""
    return "".join(f"{value}," for value in values)


def genepred(model, *, extended=False, has_bin=False):
    """The line of genePred, genePredExt (extended) or refGene (extended, with a bin)."""
    start, end = model.exons[0][0], model.exons[-1][1]
    cds = (model.cds[0][0], model.cds[-1][1]) if model.cds else (end, end)
    starts, ends = zip(*model.exons, strict=True)
    columns = [model.transcript_id, model.chromosome, model.strand, start, end, *cds]
    columns += [len(model.exons), listed(starts), listed(ends)]
    if extended:
        # A frame counts the bases of the codon that are behind, a phase those to come.
        frame_of = {piece: -phase % 3 for piece, phase in phased(model, list(model.cds))}
        frames = []
        for exon in model.exons:
            (piece,) = clipped(model.cds, *exon) or [None]
            frames.append(frame_of.get(piece, -1))
        state = "none"
        if model.cds:
            state = "incmpl" if model.phase else "cmpl"
        states = (state, "cmpl" if model.cds else "none")
        columns += [0, model.gene_id, *states[:: 1 if model.strand == "+" else -1], listed(frames)]
    return "\t".join(map(str, [585, *columns] if has_bin else columns))


def bed12(model):
    """The line of BED12, thick from CDS start to end."""
    start, end = model.exons[0][0], model.exons[-1][1]
    thick = (model.cds[0][0], model.cds[-1][1]) if model.cds else (start, start)
    sizes = listed(e - s for s, e in model.exons)
    starts = listed(s - start for s, _ in model.exons)
    columns = (model.chromosome, start, end, model.transcript_id, 0, model.strand, *thick, "0,0,0")
    return "\t".join(map(str, (*columns, len(model.exons), sizes, starts)))
