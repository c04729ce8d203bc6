"""How many genes of a dataset a homology knows, by table and species.

A join that matches nothing is an error, and one that matches little a warning.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass

from data_builders.homology.homologous_genes import Homology
from data_builders.names import check_species, taxon
from data_builders.records import InputError

_FEW = 0.2  # of the genes of a species, both in the data and in the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The genes of one species that one table knows.

    Attributes:
        table: the name of the table's file.
        species: as the data has it.
        taxon: what the tables are searched for.
        genes: genes of the species in the data.
        matched: how many of them the table lists.
        in_table: genes of the species in the table.
    """

    table: str
    species: str
    taxon: str
    genes: int
    matched: int
    in_table: int

    def __str__(self) -> str:
        return f"{self.table}: has {self.matched:,} of {self.genes:,} genes of {self.species}"


class MatchCounter:
    """Finds the groups of genes, and counts the genes that are found."""

    def __init__(self, homology: Homology):
        self.homology = homology
        self._group_names = frozenset(homology.groups.values())
        self._tables: dict[str, dict[str, int]] = defaultdict(dict)  # species -> gene -> bits

    def group(self, species: str, gene: str, *other_names: str) -> str | None:
        """Return the group of a gene, None when none of its names has one.

        A gene without one whose own name, `species:gene`, is that of a group is an InputError.
        """
        found = self.homology.find(species, gene, *other_names)
        if found is None and f"{species}:{gene}" in self._group_names:
            raise InputError(
                f"{', '.join(self.homology.tables)}: got the group '{species}:{gene}' without gene "
                f"'{gene}' of {species}, wanted it in the group, or another name of the group: a "
                "gene that no table knows is the group of that name"
            )
        genes = self._tables[species]
        genes[gene] = genes.get(gene, 0) | (found[1] if found else 0)
        return found[0] if found else None

    def matches(self) -> list[Match]:
        """Return the counts by table and, sorted, by species."""
        tables = range(len(self.homology.tables))
        return [match for number in tables for match in self._matches_of(number)]

    def _matches_of(self, number: int) -> list[Match]:
        in_table = self.homology.genes_of(number)
        return [
            Match(
                table=self.homology.tables[number],
                species=species,
                taxon=taxon(species),
                genes=len(genes),
                matched=sum(bits >> number & 1 for bits in genes.values()),
                in_table=in_table[taxon(species)],
            )
            for species, genes in sorted(self._tables.items())
        ]

    def check(self, *, all_species: bool = True, unmatched: Collection[str] = ()) -> list[str]:
        """Return warnings about joins of little.

        Args:
            all_species: whether the data has all species of the dataset; of a shard it may have
                some, which need not be in every table.
            unmatched: species of which a table may know no gene: that is a warning then.

        Raises:
            InputError: a species of `unmatched` that the dataset has not; a table that lists a
                species of the data and none of its genes, or none of the species of the data.
        """
        if all_species:
            check_species("unmatched", unmatched, self._tables)
        may_lack = set(map(taxon, unmatched))
        warnings = []
        matches = []
        for number, table in enumerate(self.homology.tables):
            of_table = self._matches_of(number)
            matches += of_table
            if all_species and of_table and not any(match.in_table for match in of_table):
                raise InputError(self._no_species(number, table, of_table))
            for match in of_table:
                if match.in_table and not match.matched:
                    none = (
                        f"{table}: got none of the {match.genes:,} genes of '{match.species}', "
                        f"such as '{self._unmatched(match.species, number)}', wanted ids as in "
                        f"the table, such as '{self.homology.example(number, match.taxon)}'"
                    )
                    if match.taxon not in may_lack:
                        raise InputError(f"{none}; --unmatched {match.species} allows it")
                    warnings.append(none)
                shares = match.matched / match.genes, match.matched / max(match.in_table, 1)
                if match.matched and max(shares) < _FEW:
                    warnings.append(
                        f"{table}: only {match.matched:,} of the {match.genes:,} genes of "
                        f"'{match.species}' are in it: not "
                        f"'{self._unmatched(match.species, number)}', such as "
                        f"'{self.homology.example(number, match.taxon)}' are"
                    )
        return warnings + self._unknown_species(matches)

    def _unknown_species(self, matches: list[Match]) -> list[str]:
        """Return warnings about species that are in no table."""
        known = {match.species for match in matches if match.in_table}
        tables = range(len(self.homology.tables))
        taxa = sorted(set().union(*map(self.homology.genes_of, tables)))
        return [
            f"{species}: no table of homology has this species; they have {_listed(taxa)}"
            for species in sorted(self._tables)
            if species not in known
        ]

    def _no_species(self, number: int, table: str, matches: list[Match]) -> str:
        data = [f"{match.species} (taxon {match.taxon})" for match in matches]
        first = matches[0].species
        return (
            f"{table}: got genes of {_listed(sorted(self.homology.genes_of(number)))}, such as "
            f"'{self.homology.example(number)}', wanted genes of the data's {_listed(data)}, such "
            f"as '{self._unmatched(first, number)}'"
        )

    def _unmatched(self, species: str, table: int) -> str:
        genes = self._tables[species]
        return next((gene for gene, bits in genes.items() if not bits >> table & 1), "")


def described(matches: list[Match]) -> list[dict]:
    """Return matches for report.json."""
    return [asdict(match) for match in matches]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
