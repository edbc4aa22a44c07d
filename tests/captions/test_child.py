"""Users' templates that run or grow without end, or try to use files and modules."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fauds import resources
from fauds.captions import child, describe, load
from fauds.errors import DataError

pytestmark = pytest.mark.slow

Change = Callable[..., Path]

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}x"


def processes() -> set[str]:
    """Return the process ids of the children of this process."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time limit to half a second, which the child receives from its parent."""
    monkeypatch.setattr(child, "SECONDS", 0.5)


@pytest.mark.parametrize("template", [ENDLESS, "{{ 10 ** (10 ** 8) }}"], ids=["loop", "power"])
def test_an_endless_template_is_stopped_and_named(
    own_templates: Change, quick: None, template: str
) -> None:
    root = own_templates("local.j2", new=template)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"local\.j2 did not end within 0\.5 seconds") as caught:
        describe(12, templates=root)
    assert time.monotonic() - start < 30
    assert caught.value.where == str(root / "en" / "local.j2")


def test_an_endless_fragment_is_named_with_its_line(own_templates: Change, quick: None) -> None:
    first = load().states("AU12")["active"][0][0]
    root = own_templates("local/AU12.yaml", str(first), f"'{ENDLESS}'")
    with pytest.raises(DataError, match="did not end within") as caught:
        describe(12, templates=root)
    assert caught.value.where == f"{root / 'en' / 'local' / 'AU12.yaml'}:{first.line}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
@pytest.mark.parametrize(
    "template",
    [
        "{{ 'x' * 10 ** 9 }}",
        "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(40) %}"
        "{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    ],
    ids=["product", "loop"],
)
def test_a_template_that_uses_too_much_memory_is_stopped_and_named(
    own_templates: Change, template: str
) -> None:
    root = own_templates("local.j2", new=template)
    with pytest.raises(DataError, match=r"local\.j2.*(memory|ended)") as caught:
        describe(12, templates=root)
    assert "local.j2" in caught.value.where


def test_a_text_too_long_for_a_description_is_an_error(own_templates: Change) -> None:
    root = own_templates("local.j2", new="{{ 'long ' * 9000 }}")
    with pytest.raises(DataError, match=r"local\.j2 rendered a text of 44,999 characters"):
        describe(12, templates=root)


def test_the_child_can_neither_open_nor_write_files() -> None:
    code = (
        "from fauds.captions import child; child._limit()\n"
        "for name in ('/etc/hostname', '/tmp/fauds-test'):\n"
        "    try: open(name, 'r' if 'etc' in name else 'w')\n"
        "    except OSError as error: print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["24", "24"], done.stderr


def test_users_templates_are_rendered_and_the_child_ends_with_them(own_templates: Change) -> None:
    before = processes()
    root = own_templates("local.j2", new="{{ au }}: {{ fragments | join(' ') }}")
    templates = load("en", root)
    assert templates.local("AU12", "active") == "AU12: " + describe(12)
    assert processes() - before
    del templates
    assert not processes() - before


def test_a_killed_child_is_an_error_and_the_next_rendering_starts_a_new_one(
    own_templates: Change,
) -> None:
    root = own_templates("local.j2", new="{{ au }}: {{ fragments | join(' ') }}")
    templates = load("en", root)
    templates.local("AU12", "active")
    templates.renderer._process.kill()
    with pytest.raises(DataError, match="ended"):
        templates.local("AU12", "active")
    assert templates.local("AU12", "active").startswith("AU12: ")


def test_modules_in_the_current_folder_are_not_imported(
    own_templates: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jinja2.py").write_text("open('ran', 'w')")
    (tmp_path / "resource.py").write_text("raise ImportError('mine')")
    monkeypatch.chdir(tmp_path)
    root = own_templates("local.j2", new="{{ au }}")
    assert describe(12, templates=root) == "AU12" and not (tmp_path / "ran").exists()


def test_the_child_imports_the_same_fauds_as_its_parent(
    own_templates: Change, tmp_path: Path
) -> None:
    """The parent is started in a folder that holds another copy of fauds, such as a clone."""
    copy = tmp_path / "clone" / "fauds"
    shutil.copytree(resources.root("templates").parent / "fauds", copy)
    shutil.copytree(resources.root("templates"), tmp_path / "clone" / "templates")
    root = own_templates("local.j2", new="{{ au }}")
    code = (
        "import fauds; from pathlib import Path; from fauds.captions import describe; "
        f"print(fauds.__file__, describe(12, templates=Path({str(root)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=copy.parent
    )
    assert done.stdout.split() == [str(copy / "__init__.py"), "AU12"], done.stderr


def test_a_child_that_cannot_start_is_an_error_with_the_reason(
    own_templates: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jinja2.py").write_text("raise ImportError('no jinja2 today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    root = own_templates("local.j2", new="{{ au }}")
    with pytest.raises(DataError, match=r"could not start: .*no jinja2 today"):
        describe(12, templates=root)


def test_an_interrupted_request_does_not_answer_the_next_one(
    own_templates: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = load("en", own_templates("local.j2", new="{{ au }}"))
    assert templates.local("AU12", "active") == "AU12"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(child.json, "loads", interrupted)
        with pytest.raises(KeyboardInterrupt):
            templates.local("AU01", "active")
    assert templates.local("AU04", "active") == "AU04"


def test_every_thread_gets_its_own_text(own_templates: Change) -> None:
    templates = load("en", own_templates("local.j2", new="{{ au }}"))
    aus = ["AU01", "AU12"] * 100
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda au: templates.local(au, "active"), aus)) == aus
