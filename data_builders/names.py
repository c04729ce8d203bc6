"""Names of species, genes and transcripts: which of them mean the same."""

import difflib
import re
from collections.abc import Collection, Iterable
from functools import cache

from data_builders.records import InputError

# NCBI taxonomy id: names of the species, as people, Ensembl, UniProt and assemblies have them. The
# first binomial also gives Ensembl's short forms, such as hsapiens and h_sapiens.
_TAXA = {
    "9606": "homo_sapiens human",
    "9598": "pan_troglodytes chimpanzee chimp pantr",
    "9597": "pan_paniscus bonobo panpa",
    "9593": "gorilla_gorilla gorilla gorilla_gorilla_gorilla gorgo",
    "9601": "pongo_abelii orangutan sumatran_orangutan ponab",
    "9544": "macaca_mulatta rhesus macaque rhesus_macaque rhesus_monkey macmu",
    "9541": "macaca_fascicularis crab-eating_macaque cynomolgus_monkey macfa",
    "9483": "callithrix_jacchus marmoset white-tufted-ear_marmoset caljacchus calja",
    "9615": "canis_lupus_familiaris dog canis_familiaris clfamiliaris cfamiliaris canlf",
    "9685": "felis_catus cat felca",
    "9913": "bos_taurus cow cattle bovin",
    "9940": "ovis_aries sheep",
    "9925": "capra_hircus goat caphi",
    "9823": "sus_scrofa pig",
    "9796": "equus_caballus horse",
    "9986": "oryctolagus_cuniculus rabbit rabit",
    "10141": "cavia_porcellus guinea_pig cavpo",
    "10090": "mus_musculus mouse house_mouse",
    "10116": "rattus_norvegicus rat norway_rat ratno",
    "13616": "monodelphis_domestica opossum gray_short-tailed_opossum mondo",
    "9258": "ornithorhynchus_anatinus platypus ornan",
    "9031": "gallus_gallus chicken chick",
    "9103": "meleagris_gallopavo turkey melga",
    "59729": "taeniopygia_guttata zebra_finch taegu",
    "8364": "xenopus_tropicalis frog tropical_clawed_frog western_clawed_frog xentr",
    "8355": "xenopus_laevis african_clawed_frog xenla",
    "7955": "danio_rerio zebrafish danre",
    "8090": "oryzias_latipes medaka japanese_medaka_hdrr oryla",
    "31033": "takifugu_rubripes fugu takru",
    "7227": "drosophila_melanogaster fly fruit_fly fruitfly drome",
    "7165": "anopheles_gambiae mosquito african_malaria_mosquito 180454 anoga",
    "7460": "apis_mellifera honeybee honey_bee apime",
    "6239": "caenorhabditis_elegans worm nematode roundworm caeel",
    "4932": "saccharomyces_cerevisiae yeast baker's_yeast budding_yeast 559292",
    "28985": "kluyveromyces_lactis 284590 klula",
    "33169": "eremothecium_gossypii ashbya_gossypii 284811 ashgo",
    "4896": "schizosaccharomyces_pombe fission_yeast 284812 schpo",
    "318829": "magnaporthe_oryzae pyricularia_oryzae 242507 mago7",
    "5141": "neurospora_crassa 367110 neucr",
    "3702": "arabidopsis_thaliana arabidopsis thale_cress arath",
    "4530": "oryza_sativa rice oryza_sativa_japonica 39947 orysj",
    "4577": "zea_mays maize corn",
    "44689": "dictyostelium_discoideum slime_mold dicdi",
}

# How UCSC, the Genome Reference Consortium and others name the assemblies of one species; a number
# follows.
_ASSEMBLIES = {
    "9606": "hg hs grch t2t-chm13v t2t-chm",
    "9598": "pantro pan_tro_ nhgri_mpantro",
    "9597": "panpan",
    "9593": "gorgor",
    "9601": "ponabe",
    "9544": "rhemac mmul_",
    "9541": "macfas",
    "9483": "caljac",
    "9615": "canfam ros_cfam_ uu_cfam_gsd_",
    "9685": "felcat felis_catus_",
    "9913": "bostau ars-ucd umd_",
    "9940": "oviari",
    "9823": "susscr sscrofa",
    "9796": "equcab",
    "9986": "orycun",
    "10141": "cavpor",
    "10090": "mm grcm ncbim",
    "10116": "rn rnor_ mratbn rgsc",
    "13616": "mondom",
    "9258": "ornana",
    "9031": "galgal gallus_gallus- grcg",
    "9103": "melgal",
    "59729": "taegut",
    "8364": "xentro xenopus_tropicalis_v ucb_xtro_",
    "8355": "xenla",
    "7955": "danrer grcz zv",
    "8090": "orylat",
    "31033": "fr",
    "7227": "dm bdgp",
    "7165": "anogam agamp",
    "7460": "apimel amel_",
    "6239": "ce wbcel ws",
    "4932": "saccer r64-",
    "3702": "tair araport",
    "4530": "irgsp-",
}

_REMARK = re.compile(r"_*\(.*\)")  # BioMart: Drosophila melanogaster (Fruit fly)
_TAXON_PREFIX = re.compile(r"(?:ncbi_?)?tax(?:on|id|on_id)?:(?=\d)")  # Alliance: NCBITaxon:9606
_ASSEMBLY = re.compile(r"(.*?)(\d[\d.]*)(?:[._-]?p\d+)?")

_VERSIONED = re.compile(
    r"(ENS[A-Z]*(?:E|FM|G|GT|P|R|T)\d{11})"  # Ensembl
    r"(?:\.\d+(?:_\d+)?)?"  # version; GENCODE appends _5 where it was mapped to GRCh37
    r"(_PAR_Y)?"
)
_REFSEQ_VERSIONED = re.compile(r"([NXY][MRP]_\d{6,})\.\d+")
_OLD_PAR_Y = re.compile(r"(ENS[GT])R(\d{10})(?:\.\d+)?")  # GENCODE before release 25
_PAR_Y = "_PAR_Y"


def _names_of_taxa() -> dict[str, str]:
    """Return name -> taxonomy id, names of two species left out."""
    taxon_of: dict[str, str] = {}
    ambiguous = set()
    for taxon_id, names in _TAXA.items():
        binomial, *others = names.split()
        genus, _, rest = binomial.partition("_")
        short = f"{genus[0]}{rest.replace('_', '')}", f"{genus[0]}_{rest}"
        for name in {binomial, *short, *others}:
            if taxon_of.setdefault(name, taxon_id) != taxon_id:
                ambiguous.add(name)
    return {name: taxon_id for name, taxon_id in taxon_of.items() if name not in ambiguous}


_TAXON_OF = _names_of_taxa()
_TAXON_OF_ASSEMBLY = {
    prefix: taxon_id for taxon_id, prefixes in _ASSEMBLIES.items() for prefix in prefixes.split()
}


@cache
def taxon(species: str) -> str:
    """Return one key for all names of a species.

    Args:
        species: its common or scientific name, Ensembl's or UniProt's short form, its NCBI taxonomy
            id, or the name of one of its assemblies (hg38, GRCh38.p14, mm10).

    Returns:
        The NCBI taxonomy id where the name is known, else the name in lower case with `_` for
        blanks.
    """
    name = species.strip().lower().replace(" ", "_")
    name = _TAXON_PREFIX.sub("", _REMARK.sub("", name))
    plain = name.replace(".", "")
    if plain in _TAXON_OF:
        return _TAXON_OF[plain]
    assembly = _ASSEMBLY.fullmatch(name)
    if assembly and assembly[1] in _TAXON_OF_ASSEMBLY:
        return _TAXON_OF_ASSEMBLY[assembly[1]]
    return plain


def check_species(option: str, wanted: Iterable[str], there: Collection[str]) -> None:
    """Refuse a name that means none of the species that are there, and say what is most like it."""
    taxa = {taxon(name) for name in there}
    for name in wanted:
        if taxon(name) not in taxa:
            near = difflib.get_close_matches(name, there, n=3) or sorted(there)[:5]
            raise InputError(
                f"{option}: got the species '{name}', wanted one of the data, such as "
                f"{' or '.join(near)}"
            )


def is_known_species(species: str) -> bool:
    """Return whether `taxon` knows the name, or it is a taxonomy id."""
    return taxon(species).isdigit()


def without_version(name: str) -> str:
    """Return an Ensembl or RefSeq id without its version; any other name as it is.

    GENCODE's suffix of GRCh37 (`.19_5`) belongs to the version. `_PAR_Y`, which tells the copy of a
    gene on Y from that on X, stays.
    """
    if name.startswith("ENS"):
        versioned = _VERSIONED.fullmatch(name)
        return versioned[1] + (versioned[2] or "") if versioned else name
    versioned = _REFSEQ_VERSIONED.fullmatch(name) if name[2:3] == "_" else None
    return versioned[1] if versioned else name


def names_to_try(name: str) -> tuple[str, ...]:
    """Return the names under which a gene may stand in a table, the most exact first.

    These are the name itself, the name without its version, and the name of its copy on X, which
    has the same homologs, for a gene of the pseudoautosomal region of Y.
    """
    if not name.startswith("ENS"):
        plain = without_version(name)
        return (name,) if plain == name else (name, plain)
    plain = without_version(name)
    on_x = plain.removesuffix(_PAR_Y)
    if old := _OLD_PAR_Y.fullmatch(name):
        on_x = f"{old[1]}0{old[2]}"
    return tuple(dict.fromkeys((name, plain, on_x)))
