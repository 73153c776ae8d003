import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.analysis.escape import latex, markdown, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("test_accuracy", "test_accuracy", id="a line under letters is none of emphasis"),
        pytest.param("_x_ *y* `z`", r"\_x\_ \*y\* \`z\`", id="emphasis and code"),
        pytest.param("a|b", r"a\|b", id="the bar between cells"),
        pytest.param("<b>&amp;", "&lt;b&gt;&amp;amp;", id="HTML"),
        pytest.param("$x$ [l](u) ~~s~~ \\", r"\$x\$ \[l\](u) \~\~s\~\~ \\", id="formulas, links, deletions"),
        pytest.param("a\nb", r"a\\nb", id="a line end"),
    ],
)
def test_markdown(text: str, shown: str) -> None:
    """Markdown shows the text, not what it would mean."""
    assert markdown(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("50% & #1_{a}$", r"50\% \& \#1\_\{a\}\$", id="signs that mean something"),
        pytest.param("a\\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d", id="signs by name"),
        pytest.param("<a|b>", r"\textless{}a\textbar{}b\textgreater{}", id="signs of another font"),
        pytest.param("a--b---c", "a-{}-b-{}-{}-c", id="dashes stay apart"),
        pytest.param("1e-05", "1e-05", id="a dash alone"),
        pytest.param("[1] *", "{[}1{]} {*}", id="no argument of the line before"),
        pytest.param("a\n\nb", r"a\textbackslash{}n\textbackslash{}nb", id="no paragraph"),
    ],
)
def test_latex(text: str, shown: str) -> None:
    """LaTeX typesets the text, and takes none of it for a command."""
    assert latex(text) == shown


@given(st.text())
def test_nothing_of_a_text_is_a_command(text: str) -> None:
    """In LaTeX each special sign that is left is one that was put there, and braces are balanced."""
    shown = latex(text)
    bare = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]|\$\\pm\$|\{[][*]\}|[-']\{\}", "", shown)
    assert not set(bare) & set('&%$#_{}\\~^<>|`"[]*')
    assert "\n" not in shown


@given(st.text())
def test_what_cannot_be_seen_is_written_out(text: str) -> None:
    """No control sign and no line end passes, and a text that can be printed is left alone."""
    assert visible(text).isprintable()
    assert visible(text) == text or not text.isprintable()
