"""What the page says to programs: at its own address, and by a link that is there on a phone, too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import WAIT_MS, Visitor

pytestmark = pytest.mark.browser


def test_its_address_opens_it(new_visitor: Callable[..., Visitor]) -> None:
    view = new_visitor().open("/?view=api").page.get_by_role("dialog", name="Use via API")
    expect(view).to_contain_text("inspect", timeout=WAIT_MS)


def test_a_link_leads_to_it_on_a_phone(new_visitor: Callable[..., Visitor]) -> None:
    page = new_visitor(390, 844).open().page
    page.get_by_role("link", name="For programs").click()
    expect(page.get_by_role("dialog", name="Use via API")).to_contain_text("inspect", timeout=WAIT_MS)
