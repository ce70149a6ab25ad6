"""`saeflow feature --server` prints what it prints without: each command is asked both ways, of a real explorer."""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

import saeflow as public
from cli.servers import free_port
from tests.cli.test_explore import explored
from tests.flows.commands import saeflow_here

AT = ("--study", "mini", "--layer", "17")
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def workspace(mini_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini study, with labels of its own."""
    return sharing(mini_workspace, tmp_path_factory.mktemp("served"))


def sharing(workspace: Path, place: Path) -> Path:
    for name in ("artifacts", "studies"):
        (place / name).symlink_to(workspace / name)
    return place


@pytest.fixture(scope="module")
def server(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with explored(workspace, tmp_path_factory.mktemp("terminal") / "out", "mini", "--layer", "17") as (_, url):
        yield url


@pytest.fixture(scope="module")
def picture(mini_workspace: Path) -> Path:
    study = public.open("mini", workspace=mini_workspace)
    return study.picture(study.samples["image"][0])


COMMANDS = {
    "all": ("overview", "--all", "--top-k", "4"),
    "overview": ("overview", "5", "--top-k", "3", "--max-examples", "1"),
    "sweep": ("sweep", "5"),
    "sweep of one": ("sweep", "5", "--family", "mood", "--language", "ar", "--where", "image"),
    "varied": ("sweep", "5", "--intervene", "--family", "mood", "--images", "2"),
    "varied word": ("sweep", "5", "--intervene", "--word", "a", "--with", "one", "--images", "2"),
    "heat map": ("heatmap", "5", "--x", "visible_gender", "--y", "place"),
    "varied heat map": ("heatmap", "5", "--x", "gender", "--y", "mood", "--intervene", "--images", "2"),
    "top": ("top", "5", "--by", "place", "--top-k", "2"),
    "decoder": ("decoder", "5", "--top-k", "3"),
    "compare": ("compare", "5", "7"),
    "compare layers": ("compare", "5", "7", "--other-layer", "33"),
    "search": ("search", "a woman sings", "--top-k", "5"),
    "search Arabic": ("search", "امرأة تغني", "--segment", "caption"),
    "label": ("label", "show", "5"),
    "labels": ("label", "list"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_prints_the_same_with_a_server_and_without(
    workspace: Path, server: str, words: tuple[str, ...]
) -> None:
    saeflow_here(workspace, "feature", "label", "set", "5", "people", "--author", "me", *AT)
    for form in ((), ("--json",)):
        here = saeflow_here(workspace, "feature", *words, *AT, *form)
        there = saeflow_here(workspace, "feature", *words, *AT, *form, "--server", server)
        assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
        assert here.stdout == there.stdout and here.stdout.count("\n") > 2
        assert there.stderr == ""


def test_a_picture_is_sent_and_a_page_is_the_same(workspace: Path, server: str, picture: Path, tmp_path: Path) -> None:
    pages = [tmp_path / name for name in ("here.html", "there.html")]
    words = ("feature", "search", "--picture", str(picture), "--segment", "image", *AT, "--html")
    assert saeflow_here(workspace, *words, str(pages[0])).returncode == 0
    assert saeflow_here(workspace, *words, str(pages[1]), "--server", server).returncode == 0
    text = pages[0].read_text("utf-8")
    assert text == pages[1].read_text("utf-8") and "a picture, run as a sample of the study: 16 rows of image" in text


def test_a_search_finds_what_fires_with_its_label(workspace: Path) -> None:
    words = ("feature", "search", "a woman sings", "--segment", "caption", "--json", *AT)
    (rows,) = json.loads(saeflow_here(workspace, *words, "--top-k", "2").stdout)["tables"].values()
    assert len(rows) == 2 and rows[0]["max"] >= rows[1]["max"] > 0
    assert all(row["segment"] == "caption" and row["rows"] >= 1 for row in rows)
    first = str(rows[0]["feature"])
    saeflow_here(workspace, "feature", "label", "set", first, "sings", *AT)
    (again,) = json.loads(saeflow_here(workspace, *words, "--top-k", "1").stdout)["tables"].values()
    assert again == [{**rows[0], "label": "sings"}]
    saeflow_here(workspace, "feature", "label", "set", first, "", *AT)


def test_the_server_s_study_and_layer_are_meant_where_none_is_named(workspace: Path, server: str) -> None:
    named = saeflow_here(workspace, "feature", "top", "5", *AT)
    address = server.removeprefix("http://")
    assert saeflow_here(workspace, "feature", "top", "5", "--server", address).stdout == named.stdout


def test_labels_are_set_removed_exported_and_imported_over_a_server(
    workspace: Path, server: str, mini_workspace: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = ("feature", "label")
    told = saeflow_here(elsewhere, *words, "set", "9", " two\nwords ", "--server", server)
    assert told.stdout == saeflow_here(workspace, *words, "set", "9", "two words", "--author", "x", *AT).stdout
    shown = json.loads(saeflow_here(workspace, *words, "show", "9", *AT, "--json").stdout)
    assert [row["author"] for row in shown["tables"]["history"]] == ["x", getpass.getuser()]
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    assert saeflow_here(workspace, *words, "export", str(here), "--study", "mini").returncode == 0
    assert saeflow_here(elsewhere, *words, "export", str(there), "--server", server).returncode == 0
    assert here.read_bytes() == there.read_bytes()
    other = sharing(mini_workspace, elsewhere)
    with explored(other, tmp_path / "terminal", "mini") as (_, url):
        count = len(json.loads(shown_all(workspace)))
        for new in (count, 0):
            added = saeflow_here(elsewhere, *words, "import", str(there), "--server", url).stdout
            assert f"{count} changes of labels in there.json, {new} of them new here" in added
    told = saeflow_here(elsewhere, *words, "set", "9", "", "--server", server)
    assert told.stdout.endswith(": no label\n")
    assert "It has no label." in saeflow_here(workspace, *words, "show", "9", *AT).stdout


def shown_all(workspace: Path) -> str:
    """Every change of every label, as JSON."""
    file = workspace / "all.json"
    saeflow_here(workspace, "feature", "label", "export", str(file), "--study", "mini")
    features = json.loads(file.read_text("utf-8"))["features"]
    return json.dumps([change for one in features for change in one["history"]])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("top", "5", "--study", "nobodys"),
            "study 'nobodys': is not shown here; GET /studies lists them (there: mini)",
        ),
        (("top", "5", "--layer", "5"), "layer 5 of mini is not there; ask for one of 0, 9, 17, 33"),
        (("top", "999"), "feature 999 is not there; layer 17 has features 0-127"),
        (("label", "set", "999", "x"), "feature 999 is not there; layer 17 has features 0-127"),
        (("sweep", "5", "--family", "weather"), "the samples have no attribute 'weather'; there are "),
        (("sweep", "5", "--intervene"), "name one attribute with --family, or a word with --word and another"),
        (("search", ""), "text: is empty; give a caption, or a picture"),
        (("search", "a", "--language", "fr"), "language: 'fr' is none of en, ar"),
        (("search", "a", "--segment", "tail"), "segment: there are no rows of 'tail'; give one of prompt, caption"),
        (("search", "a" * 2001), "text: has 2001 characters; write at most 2000"),
        (("search", "a \udcff"), "holds"),
        (("search", "--picture", "/nowhere.png"), "--picture /nowhere.png: No such file or directory"),
        (("search", "--picture", __file__), "picture: is no picture"),
        (("label", "import", __file__), "is not JSON"),
        (("label", "import", "/nowhere.json"), "/nowhere.json: No such file or directory"),
        (("label", "set", "5", "\x01"), "holds the control character"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else None,
)
def test_what_is_wrong_is_told_in_one_line_with_a_server_and_without(
    workspace: Path, server: str, words: tuple[str, ...], told: str
) -> None:
    there = saeflow_here(workspace, "feature", *words, "--server", server)
    assert there.returncode == 1 and told in there.stderr and there.stderr.count("\n") == 1
    if words[0] == "search":
        here = saeflow_here(workspace, "feature", *words, *AT)
        assert here.returncode == 1 and told in here.stderr and here.stderr.count("\n") == 1


def test_a_study_whose_model_is_gone_cannot_be_searched(mini_workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "artifacts").symlink_to(mini_workspace / "artifacts")
    (tmp_path / "studies").mkdir()
    for record in (mini_workspace / "studies").glob("*.json"):
        known = json.loads(record.read_text("utf-8"))
        known["study"]["model"]["path"] = str(tmp_path / "gone")
        (tmp_path / "studies" / record.name).write_text(json.dumps(known))
    told = saeflow_here(tmp_path, "feature", "search", "a", *AT)
    assert told.returncode == 1 and str(tmp_path / "gone") in told.stderr and told.stderr.count("\n") == 1


@contextmanager
def answering(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """A server of these answers by path, and of 404 elsewhere."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = answers.get(self.path, (404, b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with HTTPServer(("127.0.0.1", 0), Answers) as httpd:
        thread = Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}"
        finally:
            httpd.shutdown()
            thread.join()


HEALTHY = {"/health": (200, b'{"status": "ok", "version": "0.0.9"}')}
GONE = (404, b'{"detail": "there is nothing at this address; GET /openapi.json lists what there is"}')


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, "is no explorer of saeflow; start one with `saeflow explore`"),
        ({"/health": (200, b"OK")}, "is no explorer of saeflow; start one with `saeflow explore`"),
        ({**HEALTHY, "/ask": GONE}, "it does not know this question; saeflow 0.0.9 runs there and "),
        ({**HEALTHY, "/ask": (200, b'{"said": 1}')}, "its answer is not understood"),
        ({**HEALTHY, "/ask": (502, b"<html>")}, "answers with status 502"),
    ],
)
def test_a_server_that_is_none_or_another_version_is_told(
    tmp_path: Path, answers: dict[str, tuple[int, bytes]], told: str
) -> None:
    with answering(answers) as url:
        ended = saeflow_here(tmp_path, "feature", "top", "5", "--server", url)
    assert ended.returncode == 1 and f"{url}: {told}" in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "http://", "http://[::1", "http://127.0.0.1:x", "", "a b"])
def test_what_is_no_address_is_told(tmp_path: Path, address: str) -> None:
    ended = saeflow_here(tmp_path, "feature", "top", "5", "--server", address)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1, ended.stderr


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = saeflow_here(tmp_path, "feature", "top", "5", "--server", url)
    assert ended.returncode == 1 and f"{url}: no explorer answers there (" in ended.stderr
    assert "start one with `saeflow explore`" in ended.stderr and ended.stderr.count("\n") == 1


def test_a_token_is_given_by_option_or_variable(workspace: Path, tmp_path: Path) -> None:
    with explored(workspace, tmp_path / "terminal", "mini", "--token", TOKEN) as (_, url):
        words = ("feature", "top", "5", "--layer", "17", "--server", url)
        assert saeflow_here(workspace, *words, "--token", TOKEN).returncode == 0
        for given, told in (((), "it asks for its token; give that"), (("--token", "wrong"), "is not its own")):
            ended = saeflow_here(workspace, *words, *given)
            assert ended.returncode == 1 and told in ended.stderr and "SAEFLOW_EXPLORER_TOKEN" in ended.stderr
            assert TOKEN not in ended.stderr
        odd = saeflow_here(workspace, *words, "--token", "a\nb")
        assert odd.returncode == 1 and "--token: holds a character" in odd.stderr and "a\nb" not in odd.stderr
        missing = saeflow_here(workspace, *words[:3], "--server", url, "--token", TOKEN)
        assert "no layer is named and none is the default; name one of 0, 9, 17, 33" in missing.stderr
