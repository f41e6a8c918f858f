"""What those need who cannot see the page, or have no mouse: an answer that is spoken, focus that stays, words for all."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

# Gradio's own status says `common.complete` where something has ended, and has no words for it.
WORDS = {"common.complete": "Done"}
# The three best scores that Inspect shows, as a sentence; labels come from a checkpoint, and are no HTML.
SCORES_IN_A_SENTENCE = """async () => {
    await new Promise(resolve => setTimeout(resolve, 200)); // they are drawn a moment after they have come
    const best = [...document.querySelectorAll('#scores li')].slice(0, 3).map(
        row => `${row.querySelector('span').textContent} ${row.querySelector('b').textContent}`);
    if (!best.length) return '';
    const by = document.querySelector('#checkpoint input').value;
    return `${by} heard: ${best.join(', ')}.`.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}"""
_SCRIPT = Path(__file__).resolve().with_suffix(".js")


def answer_for_ears(elem_id: str) -> gr.HTML:
    """A sentence that a screen reader speaks whenever it changes, and that nobody sees: what the tab has found.

    The element is there from the beginning: what is spoken is a change inside it.
    """
    return gr.HTML(
        elem_id=elem_id,
        elem_classes="for-ears",
        js_on_load="element.setAttribute('role', 'status'); element.setAttribute('aria-live', 'polite');",
    )


def scroll_to(elem_id: str) -> str:
    """JavaScript that brings what a click has opened to where it is seen, unless it begins in the upper half already."""
    return f"""() => setTimeout(() => {{
        const opened = document.getElementById('{elem_id}');
        const top = opened ? opened.getBoundingClientRect().top : 0;
        if (top >= 0 && top <= window.innerHeight / 2) return;
        const still = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
        opened.scrollIntoView({{block: 'start', behavior: still ? 'auto' : 'smooth'}});
    }}, 100)"""


def words() -> gr.I18n:
    """What the page says where Gradio has no words; other languages fall back on these."""
    return gr.I18n(en=WORDS)


def script() -> str:
    """For the head of the page: focus stays where a visitor has put it, and what has a name says what it is."""
    return f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>"
