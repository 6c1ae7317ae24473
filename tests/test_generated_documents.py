"""The documents say what the code says."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType

import pytest

import wspulse
import wspulse.client
import wspulse.testing
from tests.support.documents.api import PARTS
from tests.support.documents.generated import stale_documents
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.options.table import OPTION_TABLE


def test_generated_parts_of_the_documents_are_up_to_date() -> None:
    assert stale_documents() == [], "run scripts/generate-docs"


@pytest.mark.parametrize("module", [wspulse, wspulse.client, wspulse.testing], ids=lambda module: module.__name__)
def test_every_public_name_has_its_place_in_the_reference(module: ModuleType) -> None:
    placed = [name for part in PARTS if part.module is module for name in part.names]
    shared = {name for name in module.__all__ if module is not wspulse and name in wspulse.__all__}
    assert sorted(placed) == sorted({*module.__all__} - shared)


def test_option_table_names_every_option_in_its_order_and_with_its_default() -> None:
    options = {item.name: item for item in fields(ServerOptions)}
    assert [row.name for row in OPTION_TABLE if row.name != "connect"] == list(options)
    defaults = ServerOptions()
    for row in OPTION_TABLE:
        value = getattr(defaults, row.name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert float(row.default.split()[0]) == value
        elif isinstance(value, bool):
            assert row.default == str(value)
