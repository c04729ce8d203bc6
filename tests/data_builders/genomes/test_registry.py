import hashlib
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

import data_builders
from data_builders.genomes import download as transfers
from data_builders.genomes.download import BsdSum
from data_builders.genomes.registry import default_cache, read_registry, sources
from data_builders.groups.build import GenomeSource, build
from data_builders.groups.grouping import Grouping
from data_builders.groups.parquet import read_groups
from data_builders.names import taxon
from data_builders.records import InputError
from file_server import FileServer, Served

# IsoCLR (arXiv 2310.08738): name, NCBI taxonomy id, who publishes its genome.
PAPER = [
    ("human", "9606", "gencode"),
    ("mouse", "10090", "gencode"),
    ("chicken", "9031", "refseq"),
    ("c_elegans", "6239", "refseq"),
    ("chimpanzee", "9598", "refseq"),
    ("cow", "9913", "refseq"),
    ("dog", "9615", "refseq"),
    ("fruit_fly", "7227", "refseq"),
    ("rat", "10116", "refseq"),
    ("zebrafish", "7955", "refseq"),
]
SERVERS = {
    "gencode": "ftp.ebi.ac.uk",
    "refseq": "ftp.ncbi.nlm.nih.gov",
    "ensembl": "ftp.ensembl.org",
}
ENSEMBL = range(100, 117)


@pytest.fixture(scope="module")
def shipped():
    return read_registry()


class TestShipped:
    @pytest.mark.parametrize(("name", "taxonomy", "provider"), PAPER)
    def test_has_the_genomes_of_the_paper(self, shipped, name, taxonomy, provider):
        entry = shipped.find(name)
        assert taxon(entry.species) == taxonomy
        assert entry.provider == provider
        assert shipped.find(entry.species) == entry

    def test_has_no_other(self, shipped):
        assert {taxon(row.species) for row in shipped.rows} == {
            taxonomy for _, taxonomy, _ in PAPER
        }
        assert len(entries(shipped)) == 10 + 10 * len(ENSEMBL)

    def test_releases_of_the_paper(self, shipped):
        assert (shipped.find("human").release, shipped.find("mouse").release) == ("41", "M25")

    @pytest.mark.parametrize("name", [name for name, *_ in PAPER])
    def test_every_ensembl_release_is_one_genome(self, shipped, name):
        for release in ENSEMBL:
            entry = shipped.find(name, release)
            assert (entry.provider, entry.release) == ("ensembl", str(release))
            assert entry.species == shipped.find(name).species

    def test_urls_are_well_formed(self, shipped):
        for entry in entries(shipped):
            for url in (entry.genome, entry.annotation):
                parts = urlsplit(url)
                assert (parts.scheme, parts.netloc) == ("https", SERVERS[entry.provider])
                assert not parts.query and not parts.fragment
                assert re.fullmatch(r"(/[A-Za-z0-9._-]+)+\.gz", parts.path)
                assert entry.assembly in parts.path or entry.provider == "gencode"
            assert entry.genome.endswith((".fa.gz", ".fna.gz"))
            assert entry.annotation.endswith(".gtf.gz")

    def test_urls_are_of_one_genome_each(self, shipped):
        urls = [url for entry in entries(shipped) for url in (entry.genome, entry.annotation)]
        assert len(set(urls)) == len(urls)

    @pytest.mark.parametrize(
        ("entry", "genome", "annotation", "checksums"),
        [
            (
                ("human", None),
                "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_41/"
                "GRCh38.primary_assembly.genome.fa.gz",
                "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_41/"
                "gencode.v41.annotation.gtf.gz",
                "MD5SUMS",
            ),
            (
                ("fly", None),
                "https://ftp.ncbi.nlm.nih.gov/genomes/all/GCF/000/001/215/"
                "GCF_000001215.4_Release_6_plus_ISO1_MT/"
                "GCF_000001215.4_Release_6_plus_ISO1_MT_genomic.fna.gz",
                "https://ftp.ncbi.nlm.nih.gov/genomes/all/GCF/000/001/215/"
                "GCF_000001215.4_Release_6_plus_ISO1_MT/"
                "GCF_000001215.4_Release_6_plus_ISO1_MT_genomic.gtf.gz",
                "md5checksums.txt",
            ),
            (
                ("dog", 110),
                "https://ftp.ensembl.org/pub/release-110/fasta/canis_lupus_familiaris/dna/"
                "Canis_lupus_familiaris.ROS_Cfam_1.0.dna.toplevel.fa.gz",
                "https://ftp.ensembl.org/pub/release-110/gtf/canis_lupus_familiaris/"
                "Canis_lupus_familiaris.ROS_Cfam_1.0.110.gtf.gz",
                "CHECKSUMS",
            ),
        ],
    )
    def test_templates_by_example(self, shipped, entry, genome, annotation, checksums):
        found = shipped.find(*entry)
        assert (found.genome, found.annotation, found.checksums) == (genome, annotation, checksums)

    @pytest.mark.parametrize(
        ("name", "before", "after", "release"),
        [("mouse", "GRCm38", "GRCm39", 103), ("rat", "Rnor_6.0", "mRatBN7.2", 105)],
    )
    def test_assembly_follows_the_release(self, shipped, name, before, after, release):
        assert shipped.find(name, release - 1).assembly == before
        assert shipped.find(name, release).assembly == after

    def test_holds_no_checksum(self, shipped):
        assert not re.search(r"[0-9a-fA-F]{32}", shipped.path.read_text())

    def test_is_installed_with_the_package(self, shipped):
        package = Path(data_builders.__file__).parent
        project = tomllib.loads((package.parent / "pyproject.toml").read_text())
        packaged = project["tool"]["setuptools"]["package-data"]["data_builders"]
        assert shipped.path.relative_to(package).as_posix() in packaged


def entries(registry):
    """Of every row, every release up to the last that was looked at."""
    return [
        row.entry(release)
        for row in registry.rows
        for release in ([None] if row.releases is None else ENSEMBL)
        if row.answers(release)
    ]


class TestFind:
    def test_unknown_species(self, shipped):
        with pytest.raises(
            InputError, match=r"got no species 'unicorn', wanted one of bos_taurus, "
        ):
            shipped.find("unicorn")

    def test_unknown_release(self, shipped):
        with pytest.raises(
            InputError, match=r"species.yaml: mouse: release: got 99, wanted of 100-102, 103-$"
        ):
            shipped.find("mouse", 99)


def table(**changes):
    """A small valid table, with changes to its one row."""
    provider = {
        "genome": "http://host/{release}/{species}.fa",
        "annotation": "http://host/{release}/{Species}.gtf",
        "checksums": "SUMS",
    }
    row = {"species": "human", "provider": "toy", "assembly": "A1", "release": 1, **changes}
    row = {name: value for name, value in row.items() if value is not ...}
    return {"providers": {"toy": provider}, "genomes": [row]}


def written(folder, content) -> Path:
    path = folder / "table.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


class TestReadRegistry:
    def test_valid(self, tmp_path):
        entry = read_registry(written(tmp_path, table())).find("homo_sapiens")
        assert (entry.genome, entry.annotation) == (
            "http://host/1/human.fa",
            "http://host/1/Human.gtf",
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"provider": "other"}, "row 1: provider: got 'other', wanted one of toy"),
            ({"organism": "x"}, "row 1: got 'organism', wanted no field that no template has"),
            ({"release": ...}, "row 1: wanted .* and either release or releases"),
            ({"releases": "1-2"}, "row 1: wanted .* and either release or releases"),
            ({"species": ...}, "row 1: wanted species, provider, assembly"),
            ({"assembly": None}, "row 1: assembly: got None, wanted a text or a number"),
            ({"release": ..., "releases": 3}, "row 1: releases: got '3', wanted 100-106 or 107-"),
            ({"release": ..., "releases": "3-2"}, "row 1: releases: got '3-2', wanted"),
            ({"species": "a human"}, "row 1: species: got 'a human', wanted a name of letters"),
            ({"species": "../../root"}, "row 1: species: got '../../root', wanted a name of"),
            ({"species": ".."}, "row 1: species: got '..', wanted a name of"),
            ({"species": "/etc"}, "row 1: species: got '/etc', wanted a name of"),
            ({"species": "a\\b"}, r"row 1: species: got 'a\\b', wanted a name of"),
            ({"species": "é"}, "row 1: species: got 'é', wanted a name of"),
            ({"species": "a\nb"}, "row 1: species: got 'a\nb', wanted a name of"),
            ({"release": "../1"}, "row 1: release: got '../1', wanted a name of"),
            ({"release": ".hidden"}, "row 1: release: got '.hidden', wanted a name of"),
        ],
    )
    def test_bad_rows(self, tmp_path, change, message):
        with pytest.raises(InputError, match=rf"table.yaml: genomes: {message}"):
            read_registry(written(tmp_path, table(**change)))

    @pytest.mark.parametrize(
        ("template", "message"),
        [
            ("http://host/{build}.fa", "got no field 'build', wanted it"),
            ("http://host/{digits}.fa", "got no field 'digits', wanted it"),
            ("ftp://host/x.fa", "got 'ftp://host/x.fa', wanted http"),
            ("file:///etc/passwd", "got 'file:///etc/passwd', wanted http"),
            ("http://host/folder/", "got 'http://host/folder/', wanted http"),
            ("http://host", "got 'http://host', wanted http"),
            ("http://host/a/..", "got 'http://host/a/..', wanted http"),
            ("http://host/%2e%2e%2fx", "got 'http://host/%2e%2e%2fx', wanted http"),
            ("http://host/a%00b", "got 'http://host/a%00b', wanted http"),
            ("http://host/.bashrc", "got 'http://host/.bashrc', wanted http"),
            ("http://host/{x", "got 'http://host/{x', wanted http"),
        ],
    )
    def test_bad_templates(self, tmp_path, template, message):
        content = table()
        content["providers"]["toy"]["genome"] = template
        with pytest.raises(InputError, match=rf"table.yaml: genomes: row 1: genome: {message}"):
            read_registry(written(tmp_path, content))

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([{}, {}], "row 2: human: releases: wanted none of .*row 1"),
            (
                [{}, {"species": "homo_sapiens"}],
                "row 2: species: got 'homo_sapiens', wanted 'human'",
            ),
            ([{"releases": "1-5"}, {"releases": "5-"}], "row 2: human: releases: wanted none of"),
            ([{"releases": "4-"}, {"releases": "2-4"}], "row 2: human: releases: wanted none of"),
            ([{"releases": "1-9"}, {"releases": "2-3"}], "row 2: human: releases: wanted none of"),
            ([{"releases": "2-3"}, {"releases": "1-9"}], "row 2: human: releases: wanted none of"),
            ([{"releases": "1-4"}, {"releases": "5-"}], None),
            ([{"releases": "1-4"}, {}], None),
            ([{}, {"species": "mouse"}], None),
        ],
    )
    def test_rows_that_clash(self, tmp_path, rows, message):
        content = table()
        content["genomes"] = [
            table(**row, **({"release": ...} if "releases" in row else {}))["genomes"][0]
            for row in rows
        ]
        path = written(tmp_path, content)
        if message is None:
            assert len(read_registry(path).rows) == 2
            return
        with pytest.raises(InputError, match=message):
            read_registry(path)

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[]",
            "providers: {}",
            "providers: {}\ngenomes: [{}]",
            "providers: []\ngenomes: []",
            "providers: {toy: 1}\ngenomes: []",
            "providers: {toy: {genome: 1, annotation: a, checksums: c}}\ngenomes: []",
            "providers: {}\ngenomes: 7",
            "{",
            "\x00",
        ],
    )
    def test_no_such_table(self, tmp_path, content):
        with pytest.raises(InputError, match=r"table.yaml: "):
            read_registry(written(tmp_path, content))

    @pytest.mark.parametrize(
        "name", ["file:///etc/passwd", "http://other/SUMS", "../SUMS", "/etc/passwd", "a/b", ".."]
    )
    def test_checksums_are_a_file_beside_the_genome(self, tmp_path, name):
        content = table()
        content["providers"]["toy"]["checksums"] = name
        with pytest.raises(
            InputError, match="providers: toy: checksums: got '.*', wanted the name"
        ):
            read_registry(written(tmp_path, content))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("a: &a [1]\nb: [*a, *a]", "got an alias"),
            ("providers:\n " + "[" * 1_000_000, "line 2: got lists within lists over 10 deep"),
            ("- " * 500_000, "line 1: got lists within lists over 10 deep"),
            ("providers: {}\ngenomes:\n" + "- {}\n" * 3000, "got 3000 rows, wanted at most 2000"),
            ("# " + "x" * (1 << 20), "got over 1 MiB, wanted a table of genomes"),
            ("providers: {? [a] : b}", "table.yaml: "),
            ("providers: !!python/object/apply:os.system [ls]\ngenomes: []", "got no YAML"),
        ],
    )
    def test_hostile_tables_end_soon(self, tmp_path, content, message):
        with pytest.raises(InputError, match=message) as error:
            read_registry(written(tmp_path, content))
        assert len(str(error.value)) < 1000

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match="No such file"):
            read_registry(tmp_path / "none.yaml")


PROVIDERS = {
    "old": {
        "genome": "{server}/old/{species}/{assembly}.fa.gz",
        "annotation": "{server}/old/{species}/{assembly}.gtf.gz",
        "checksums": "MD5SUMS",
    },
    "new": {
        "genome": "{server}/new/{release}/dna/{species}/{Species}.{assembly}.fa.gz",
        "annotation": "{server}/new/{release}/gtf/{species}/{Species}.{assembly}.{release}.gtf.gz",
        "checksums": "CHECKSUMS",
    },
}


@pytest.fixture
def mirror(clade, tmp_path, monkeypatch):
    """The clade as two providers would serve it, and the table that finds it there."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(transfers.time, "sleep", lambda seconds: None)
    with FileServer() as server:
        rows = []
        for species, genome, annotation in species_files(clade):
            row = {"species": species, "assembly": "A1", "server": server.url}
            rows += [{**row, "provider": "old", "release": "v1"}]
            rows += [{**row, "provider": "new", "releases": "7-"}]
            publish(server, f"/old/{species}", {"A1.fa.gz": genome, "A1.gtf.gz": annotation})
            stem = f"{species.capitalize()}.A1"
            publish(server, f"/new/7/dna/{species}", {f"{stem}.fa.gz": genome}, bsd_sum)
            publish(server, f"/new/7/gtf/{species}", {f"{stem}.7.gtf.gz": annotation}, bsd_sum)
        server.table = written(tmp_path, {"providers": PROVIDERS, "genomes": rows})
        yield server


def species_files(clade):
    return zip(clade.species, clade.genomes, clade.annotations, strict=True)


def md5(data: bytes) -> str:
    return f"{hashlib.md5(data).hexdigest()} "


def bsd_sum(data: bytes) -> str:
    hash_ = BsdSum()
    hash_.update(data)
    return hash_.hexdigest()


def publish(server, folder, files, checksum=md5) -> None:
    """Serves files under names of their own, beside a list of their checksums."""
    data = {name: path.read_bytes() for name, path in files.items()}
    server.files |= {f"{folder}/{name}": Served(content) for name, content in data.items()}
    lines = "".join(f"{checksum(content)} {name}\n" for name, content in data.items())
    listing = "MD5SUMS" if checksum is md5 else "CHECKSUMS"
    server.files[f"{folder}/{listing}"] = Served(lines.encode())


class TestSources:
    @pytest.mark.parametrize(
        ("release", "folder"), [(None, "old/v1"), (7, "new/7")], ids=["default", "release"]
    )
    def test_builds_what_local_files_build(self, mirror, clade, tmp_path, release, folder):
        for file in mirror.files.values():
            file.cuts, file.statuses = [5000], [503]
        found = sources(clade.species, release, cache=tmp_path / "cache", registry=mirror.table)
        assert [source.species for source in found] == list(clade.species)
        for source, genome, annotation in zip(found, clade.genomes, clade.annotations, strict=True):
            where = tmp_path / "cache" / folder / source.species
            assert str(source.genome).startswith(f"{where}/") and not where.exists()
            assert Path(source.genome).parent == Path(source.annotation).parent == where
            assert Path(source.genome).read_bytes() == genome.read_bytes()
            assert Path(source.annotation).read_bytes() == annotation.read_bytes()
        report = build(found, tmp_path / "downloaded", homology=clade.homology)
        for told, source in zip(report["sources"], found, strict=True):
            provider, _, version = folder.partition("/")
            assert (told["provider"], told["release"], told["assembly"]) == (
                *(provider, version, "A1"),
            )
            for role, file in told["files"].items():
                assert file["url"] == getattr(source, role).url
                assert file["url"].startswith(f"{mirror.url}/{provider}/")
        local = map(GenomeSource, clade.genomes, clade.annotations, clade.species)
        build(list(local), tmp_path / "local", homology=clade.homology)
        groups = list(read_groups(tmp_path / "downloaded"))
        assert groups and groups == list(read_groups(tmp_path / "local"))

    def test_second_time_asks_nothing(self, mirror, clade, tmp_path):
        def read():
            found = sources(clade.species, cache=tmp_path / "cache", registry=mirror.table)
            return [Path(source.genome).read_bytes() for source in found]

        first = read()
        asked = len(mirror.requests)
        assert asked and read() == first
        assert len(mirror.requests) == asked

    def test_an_open_file_is_checked_once(self, mirror, clade, tmp_path, monkeypatch):
        (one,) = sources(clade.species[:1], cache=tmp_path / "cache", registry=mirror.table)
        path = Path(one.genome)
        monkeypatch.setattr(transfers, "fetch", None)
        assert Path(one.genome) == path
        with pytest.raises(TypeError):
            Path(one.annotation)

    @pytest.mark.parametrize("merge", ["within", "across"])
    def test_a_shard_downloads_what_it_reads(self, mirror, clade, tmp_path, merge):
        found = sources(clade.species, cache=tmp_path / "cache", registry=mirror.table)
        options = {"homology": clade.homology, "grouping": Grouping(merge=merge)}
        build(found, tmp_path / "groups", shard=(1, 2), **options)
        species = {request.path.split("/")[2] for request in mirror.requests}
        assert species == set(clade.species[1:] if merge == "within" else clade.species)

    def test_nothing_is_downloaded_before_all_names_are_found(self, mirror, clade, tmp_path):
        names = [clade.species[0], "unicorn"]
        with pytest.raises(InputError, match="no species 'unicorn'"):
            sources(names, cache=tmp_path / "cache", registry=mirror.table)
        with pytest.raises(InputError, match=r"release: got 6, wanted of 7-"):
            sources(clade.species, 6, cache=tmp_path / "cache", registry=mirror.table)
        assert not mirror.requests

    def test_a_species_twice(self, tmp_path):
        with pytest.raises(InputError, match="species: got homo_sapiens 2 times, wanted it once"):
            sources(["human", "Homo sapiens"], cache=tmp_path)

    def test_names_with_the_same_files(self, mirror, clade, tmp_path):
        """Files of two species may have one name; each keeps its own."""
        content = yaml.safe_load(mirror.table.read_text())
        content["providers"]["old"] |= {
            "genome": "{server}/same/{species}/a.fa.gz",
            "annotation": "{server}/same/{species}/a.gtf.gz",
        }
        for species, genome, annotation in species_files(clade):
            publish(mirror, f"/same/{species}", {"a.fa.gz": genome, "a.gtf.gz": annotation})
        registry = written(tmp_path, content)
        found = sources(clade.species, cache=tmp_path / "cache", registry=registry)
        for source, genome in zip(found, clade.genomes, strict=True):
            assert Path(source.genome).read_bytes() == genome.read_bytes()


class TestDefaultCache:
    def test_follows_the_environment(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("ISOCLR_CACHE", raising=False)
        assert default_cache() == tmp_path / ".cache" / "isoclr"
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        assert default_cache() == Path("/xdg/isoclr")
        monkeypatch.setenv("ISOCLR_CACHE", "/scratch/genomes")
        assert default_cache() == Path("/scratch/genomes")
