"""The page itself: what it asks of whom, and that it can be used."""

import json
import re
import socket
import sys
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from isoclr.cli import main


@pytest.fixture(scope="module")
def address(engine):
    """Of a running page."""
    pytest.importorskip("gradio", reason="no gradio: pip install 'isoclr[app]'")
    from isoclr.app.page import Models, make_page, serve

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    page = make_page(Models(engine=engine))
    yield serve(page, port=port, wait=False).rstrip("/")
    page.close(verbose=False)


@pytest.mark.slow
def test_the_page_asks_no_other_host(address):
    with urlopen(address) as answer:
        html = answer.read().decode()
    asked = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']([^"']+)""", html)
    assert asked
    assert {urlsplit(url).hostname for url in asked} <= {None, "127.0.0.1"}
    config = json.loads(re.search(r"window\.gradio_config = (\{.*?\});</script>", html)[1])
    assert config["analytics_enabled"] is False
    with urlopen(f"{address}/theme.css") as answer:
        assert not re.search(rb"url\(['\"]?(?:https?:)?//", answer.read())


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(address, engine):
    from data_builders.records import InputError
    from isoclr.app.page import Models, make_page, serve

    with pytest.raises(InputError, match="cannot be listened on, wanted a free port"):
        serve(make_page(Models(engine=engine)), port=urlsplit(address).port, wait=False)


@pytest.mark.slow
def test_a_visitor_types_a_sequence_and_reads_the_result(address, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector):
        return browser.find_element("css selector", selector)

    def until(condition):
        return WebDriverWait(browser, 60, ignored_exceptions=[Exception]).until(
            lambda _: condition()
        )

    browser.get(address)
    until(lambda: find("#fasta textarea")).send_keys(">a <b>bold</b>\nGGATG!")
    find("#read").click()
    said = until(lambda: find("#message textarea").get_attribute("value"))
    assert said == "sequences:2: sequence of 'a': got '!', wanted a nucleotide"

    find("#fasta textarea").clear()
    find("#fasta textarea").send_keys(
        ">mine\nGGATG" + "GCC" * 40 + "TAATTTATTT\n>other\nACGTACGTAC"
    )
    find("#read").click()
    until(lambda: "mine" in find("#table").text)
    assert "2-128" in find("#table").text  # its longest reading frame
    until(lambda: "other" in find("#near").text)
    until(lambda: find("#tracks img"))
    find("#tracks img").click()  # its middle chooses a base in the middle
    until(lambda: 40 < int(find("#position input").get_attribute("value")) < 98)
    find("#position input").clear()
    find("#position input").send_keys("0")
    find("#mutate").click()
    said = until(lambda: find("#effect textarea").get_attribute("value"))
    assert "position 0: G to A, 5'UTR" in said and "a toy's number" in said
    find("#explain").click()
    until(lambda: find("#explained img"))

    tabs = browser.find_elements("css selector", "button[role=tab]")
    for tab, said in zip(tabs[1:], ("#no_pairs", "#no_profiles"), strict=True):
        tab.click()
        until(lambda said=said: "comes with this installation" in find(said).text)

    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert len(asked) > 5
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]


def test_without_gradio_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app"]) == 2
    message = capsys.readouterr().err
    assert message == "isoclr app: the page needs the package gradio: pip install 'isoclr[app]'\n"
